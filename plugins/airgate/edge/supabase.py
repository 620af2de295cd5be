"""Routes that sign people in with a one-time password of Supabase."""

from airgate.edge.connection import CallFailed
from airgate.edge.whole_call import Call, HttpCalls
from airgate.spec.answer import INTERNAL_ERROR, JSON_TYPE, Answer, json_answer, problem
from airgate.spec.javascript import parse
from airgate.spec.supabase_routes import Incomplete, SupabaseKind, SupabaseRoute, supabase_call

_FETCH_SECONDS = 10.0
_NO_PROJECT = json_answer(500, {"error": "Supabase environment is not configured.", "code": "SUPABASE_ENV_MISSING"})
_FAILED: dict[SupabaseKind, tuple[str, str]] = {
    "supabase_passwordless_auth": ("Failed to send one-time password", "SUPABASE_OTP_SEND_FAILED"),
    "supabase_passwordless_verify": ("Failed to verify one-time password", "SUPABASE_OTP_VERIFY_FAILED"),
    "supabase_passwordless_auth_alt": ("Failed to send one-time password", "SUPABASE_OTP_ALT_FAILED"),
}


async def one_time_password(route: SupabaseRoute, body: bytes, calls: HttpCalls) -> Answer:
    """The answer to a request to such a route.

    Args:
        route: What the route does.
        body: The body of the request.
        calls: Makes the request to Supabase.
    """
    try:
        posted = parse(body.decode("utf-8", "replace"))
    except ValueError:
        posted = None
    if posted is None:
        return problem(400, "The body must be a JSON object.", with_cors=True) if route.strict else INTERNAL_ERROR
    call = supabase_call(route.kind, posted)
    if isinstance(call, Incomplete):
        if route.strict:
            return problem(400, f"{call.text}.", with_cors=True)
        return json_answer(400, {"error": call.text, "code": call.code})
    if route.project is None:
        return _NO_PROJECT  # strict mode refuses such a file
    path, sent = call
    try:
        url = f"{route.project.url}{path}"
        answer = await calls.call(Call.to("POST", url, route.project.headers, sent, _FETCH_SECONDS))
    except CallFailed as failed:
        return _failed(route, failed.status, f"Supabase {failed.what}.")
    if answer.succeeded:
        return Answer(200, (JSON_TYPE, *(((b"cache-control", b"no-store"),) if route.strict else ())), answer.body)
    if answer.status >= 500:
        return _failed(route, 502, f"Supabase answered with the status {answer.status}.")
    if answer.status == 429 and route.strict:
        after = answer.headers.get("retry-after", "60")
        limited = problem(429, "Supabase takes no more requests for now.", with_cors=True)
        return Answer(429, (*limited.headers, (b"retry-after", after.encode("ascii", "replace"))), limited.body)
    return _failed(route, 400, "Supabase did not accept the request.")


def _failed(route: SupabaseRoute, status: int, detail: str) -> Answer:
    if route.kind == "supabase_passwordless_verify" and (status < 500 or not route.strict):
        status, detail = 401, "The one-time password is wrong or expired."
    if route.strict:
        return problem(status, detail, with_cors=True)
    text, code = _FAILED[route.kind]
    return json_answer(502 if status >= 500 else status, {"error": text, "code": code})

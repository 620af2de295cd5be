"""One-time passwords of Supabase through a real edge and a project on loopback (SPEC.md, section 10.5)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.edge_process import call, edge
from tests.scripted_server import Answer, ScriptedServer

KINDS = {"/send": "auth", "/verify": "verify", "/other": "auth_alt"}


@pytest.fixture(scope="module")
def project() -> Iterator[ScriptedServer]:
    opened = ScriptedServer()
    yield opened
    opened.stop()


def served(project: ScriptedServer, folder: Path, mode: str) -> Iterator[int]:
    config = folder / "config.json"
    routes = [
        {"method": "ANY", "path": path, "integration": {"type": f"supabase_passwordless_{kind}"}}
        for path, kind in KINDS.items()
    ]
    config.write_text(json.dumps({"paths": routes}))
    variables = {"SUPABASE_URL": f"{project.url}/", "SUPABASE_SERVICE_ROLE_KEY": "key"}
    with edge(config, "--mode", mode, variables=variables) as port:
        yield port


@pytest.fixture(scope="module")
def compatible(project: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    yield from served(project, tmp_path_factory.mktemp("edge"), "compatible")


@pytest.fixture(scope="module")
def strict(project: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    yield from served(project, tmp_path_factory.mktemp("edge"), "strict")


@pytest.fixture(autouse=True)
def fresh(project: ScriptedServer) -> None:
    """Each test scripts the project anew."""
    project.answers = [Answer(200, b'{"ok":1}')]
    project.seen.clear()


@pytest.mark.parametrize("mode", ["compatible", "strict"])
@pytest.mark.parametrize(
    ("path", "posted", "target", "sent"),
    [
        ("/send", {"email": "a@b.c"}, "/auth/v1/otp", {"email": "a@b.c", "create_user": True}),
        ("/send", {"phone": "+1", "email": ""}, "/auth/v1/otp", {"phone": "+1", "create_user": True}),
        ("/verify", {"token": "1", "email": "a"}, "/auth/v1/verify", {"email": "a", "token": "1", "type": "email"}),
        ("/verify", {"token": "1", "phone": "+1"}, "/auth/v1/verify", {"phone": "+1", "token": "1", "type": "sms"}),
        ("/other", {"email": "a"}, "/auth/v1/otp", {"email": "a", "create_user": True}),
    ],
)
def test_a_posted_contact_becomes_a_call_to_supabase(
    request: pytest.FixtureRequest,
    project: ScriptedServer,
    mode: str,
    path: str,
    posted: dict[str, Any],
    target: str,
    sent: dict[str, Any],
) -> None:
    """The project's key goes along, and its answer comes back."""
    response = call(request.getfixturevalue(mode), "POST", path, body=json.dumps(posted).encode())
    assert (response.status, response.body) == (200, b'{"ok":1}')
    (seen,) = project.seen
    assert (seen.method, seen.path, json.loads(seen.body)) == ("POST", target, sent)
    assert (seen.headers["apikey"], seen.headers["authorization"]) == ("key", "Bearer key")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/send", b"{}", 400, "missing_email_or_phone"),
        ("/send", b'{"email":"","phone":0}', 400, "missing_email_or_phone"),
        ("/send", b"[]", 400, "missing_email_or_phone"),
        ("/send", b'"text"', 400, "missing_email_or_phone"),
        ("/verify", b'{"token":"1"}', 400, "missing_token_or_contact"),
        ("/verify", b'{"email":"a"}', 400, "missing_token_or_contact"),
        ("/other", b'{"phone":"+1"}', 400, "missing_email"),
        ("/send", b"null", 500, None),
        ("/send", b"not json", 500, None),
        ("/send", None, 500, None),
    ],
)
def test_a_posted_value_without_what_is_needed_is_refused(
    compatible: int, strict: int, project: ScriptedServer, path: str, body: bytes | None, status: int, code: str | None
) -> None:
    """Compatible mode answers as recorded, strict mode with problem details; Supabase is not asked."""
    response = call(compatible, "POST", path, body=body)
    assert (response.status, json.loads(response.body).get("code")) == (status, code)
    response = call(strict, "POST", path, body=body)
    assert (response.status, response.header("content-type")) == (400, "application/problem+json")
    assert project.seen == []


@pytest.mark.parametrize(
    ("path", "answer", "recorded", "code", "strictly"),
    [
        ("/send", Answer(422), 400, "SUPABASE_OTP_SEND_FAILED", 400),
        ("/send", Answer(500), 502, "SUPABASE_OTP_SEND_FAILED", 502),
        ("/send", Answer(hang_up=True), 502, "SUPABASE_OTP_SEND_FAILED", 502),
        ("/other", Answer(400), 400, "SUPABASE_OTP_ALT_FAILED", 400),
        ("/other", Answer(503), 502, "SUPABASE_OTP_ALT_FAILED", 502),
        ("/verify", Answer(403), 401, "SUPABASE_OTP_VERIFY_FAILED", 401),
        ("/verify", Answer(500), 401, "SUPABASE_OTP_VERIFY_FAILED", 502),
        ("/send", Answer(429, headers={"Retry-After": "7"}), 400, "SUPABASE_OTP_SEND_FAILED", 429),
    ],
)
def test_a_failure_of_supabase_is_told(
    compatible: int,
    strict: int,
    project: ScriptedServer,
    path: str,
    answer: Answer,
    recorded: int,
    code: str,
    strictly: int,
) -> None:
    """Its refusals are the caller's fault, its failures are not; strict mode keeps 429 with the time to wait."""
    project.answers = [answer]
    body = b'{"email":"a","token":"1"}'
    response = call(compatible, "POST", path, body=body)
    assert (response.status, json.loads(response.body)["code"]) == (recorded, code)
    response = call(strict, "POST", path, body=body)
    assert (response.status, response.header("content-type")) == (strictly, "application/problem+json")
    assert response.header("retry-after") == ("7" if strictly == 429 else None)

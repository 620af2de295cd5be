"""What ``airflow gateway`` says and does; every run also proves that the connection's secret is nowhere in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from tests.cli.conftest import CANARY, Said
from tests.openapi.shop import SHOP
from tests.scripted_server import Answer, ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = str(ROOT / "include" / "openapi" / "sample-services.json")

Gateway = Callable[..., Said]
Connection = Callable[..., None]


@pytest.fixture
def document(tmp_path: Path) -> str:
    """A document in a file."""
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    return str(path)


def test_routes_of_a_file_need_no_connection(gateway: Gateway) -> None:
    """The document of the sample services, as JSON."""
    said = gateway("routes", "--document", SAMPLE, "--output", "json")
    rows = json.loads(said.out)
    assert said.code == 0
    assert rows[1] == {
        "method": "GET",
        "path": "/flights",
        "operation": "listFlights",
        "arguments": "date limit cursor",
        "summary": "Departures, cursor by cursor",
    }


def test_routes_of_the_connection_s_document(connection: Connection, gateway: Gateway, server: ScriptedServer) -> None:
    """A path below the gateway is asked for with the connection's auth, and tabulated."""
    connection({"openapi": "/openapi.yaml"})
    server.answers = [Answer(503), Answer(body=SHOP.encode())]
    said = gateway("routes")
    assert (said.code, server.seen[-1].path) == (0, "/openapi.yaml")
    assert server.seen[-1].headers["authorization"].startswith("Bearer ey")
    put = next(line for line in said.out.splitlines() if line.startswith("PUT"))
    assert [cell.strip() for cell in put.split("|")] == [
        *("PUT", "/orders/{id}", "reserveStock", "id* limit If-Match api_token day body*", "Reserve"),
    ]
    assert "503 Service Unavailable" in said.err


def test_standard_output_holds_the_token_alone(tmp_path: Path) -> None:
    """Airflow logs to standard output, here that a secret is too short to be masked: that goes elsewhere."""
    extra = {"auth": "jwt", "headers": {"X-Key": "abc"}}
    connection = {"conn_type": "gateway", "host": "https://gw.test", "login": "me", "password": CANARY, "extra": extra}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(connection),
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    command = [sys.executable, "-m", "airflow", "gateway", "token"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout)["claims"]["sub"] == "me"
    assert "too short" in done.stderr


def test_an_answer_cannot_steer_the_terminal(connection: Connection, gateway: Gateway, server: ScriptedServer) -> None:
    """Its escape sequences are left out, in the body, in headers and in errors; its lines stay."""
    steering = "\x1b]0;owned\x07\x1b[2Jhello\nthere"
    connection()
    server.answers = [Answer(body=steering.encode(), headers={"Content-Type": "text/plain", "ETag": "\x1b[31mx"})]
    said = gateway("call", "GET", "/")
    assert said.out == "hello\nthere\n"
    assert "etag: x" in said.err
    server.answers = [Answer(422, body=steering.encode(), headers={"X-Request-Id": "\x1b[31mx"})]
    failed = gateway("call", "GET", "/")
    assert failed.code == 1
    assert "\x1b" not in said.err + failed.err


def test_a_typed_header_is_secret_unless_it_is_known(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """A service that repeats it does not bring it to the screen."""
    connection()
    server.answers = [Answer(body=b"hunter2-hunter2 and text/csv", headers={"Content-Type": "text/plain"})]
    said = gateway("call", "GET", "/", "--header", "X-Door=hunter2-hunter2", "--header", "Accept=text/csv")
    assert said.out == "*** and text/csv\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("routes",), "openapi is not set"),
        (("routes", "--conn-id", "nowhere"), "connection 'nowhere' is not defined. Set AIRFLOW_CONN_NOWHERE, or run: "),
        (
            ("routes", "--document", "/nowhere.json"),
            "there is no file /nowhere.json, and as a path below the gateway: ",
        ),
        (
            ("routes", "--document", "/n.json", "--conn-id", "x"),
            "no file /n.json, and as a path below the gateway: connection 'x'",
        ),
        (("routes", "--document", "nowhere.yaml"), "the OpenAPI document nowhere.yaml cannot be read"),
        (("token", "--conn-id", "nowhere"), "connection 'nowhere' is not defined"),
        (("call",), "give METHOD and PATH, or --operation ID"),
        (("call", "GET", "/", "--arg", "a=1"), "--arg needs --operation"),
        (("call", "GET", "/", "--operation", "x"), "--operation names method and path itself"),
        (("call", "GET", "/", "--json", "{"), "--json is not JSON"),
        (("call", "GET", "/", "--param", "canary"), "--param must be NAME=VALUE"),
        (("call", "GET", "/", "--json", "@/nowhere.json"), "No such file"),
        (("call", "GET", "http://elsewhere/"), "path must be relative to the gateway"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    connection: Connection, gateway: Gateway, arguments: tuple[str, ...], message: str
) -> None:
    """No traceback, nothing on standard output."""
    said = gateway(*arguments)
    assert (said.code, said.out) == (1, "")
    assert message in said.err
    assert "Traceback" not in said.err


def test_a_call_shows_how_it_went(connection: Connection, gateway: Gateway, server: ScriptedServer) -> None:
    """Attempts, waits, status and request id beside the body, which alone is on standard output."""
    server.answers = [Answer(503), Answer(200, b'{"b":1}', {"X-Request-ID": "r-7"})]
    query = ("--param", "a=1", "--param", "a=2")
    said = gateway("call", "post", "/x", *query, "--json", '{"q": 1}', "--key", "k-1", "--header", "X-Team=data")
    assert said.code == 0
    assert json.loads(said.out) == {"b": 1}
    first, *lines = said.err.splitlines()
    assert first == f"POST /x through gateway_default, {server.url}"
    assert "503 Service Unavailable; attempt 1 of 2, again in 0.00 s" in said.err
    assert any(line.startswith("200 OK after 2 attempts") for line in lines)
    assert "request id: r-7" in lines
    assert "content-type: application/json" in lines
    seen = server.seen[1]
    assert (seen.query, seen.body, seen.headers["x-team"]) == ({"a": ["1", "2"]}, b'{"q":1}', "data")
    assert seen.headers["idempotency-key"] == "k-1"


def test_a_failed_call_says_what_came_and_leaves_with_1(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """Standard output stays empty, so that a pipe gets nothing that is not an answer."""
    server.answers = [Answer(404, b'{"error": "no such order"}')]
    said = gateway("call", "GET", "/orders/7")
    assert (said.code, said.out) == (1, "")
    assert "answered 404 Not Found" in said.err
    assert "no such order" in said.err


def test_an_operation_is_called_by_its_id(
    connection: Connection, gateway: Gateway, server: ScriptedServer, document: str
) -> None:
    """Texts for parameters, typed values for the body, both checked before anything is sent."""
    arguments = ["call", "--operation", "reserveStock", "--document", document, "--arg", "id=a/b", "--arg", "limit=2"]
    said = gateway(*arguments, "--arg", 'items:=[{"sku": "x"}]')
    assert (said.code, len(server.seen)) == (0, 1)
    assert (server.seen[0].method, server.seen[0].path) == ("PUT", "/orders/a%2Fb")
    assert (server.seen[0].query, server.seen[0].body) == ({"limit": ["2"]}, b'{"items":[{"sku":"x"}]}')
    said = gateway(*arguments, "--json", '{"items": []}')
    assert (said.code, len(server.seen)) == (1, 1)
    assert said.err == "failed: operation 'reserveStock': body/items: must have at least 1 item, not 0\n"


def test_an_answer_that_echoes_secrets_is_masked(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """The connection's, those that were typed under a secret name, and fields of the answer with such a name."""
    typed = "typed-secret-0123"
    echo = {
        "said": f"{CANARY} {typed}",
        "access_token": "fresh-token-0123",
        "count": 1,
        "list": [{"password": "pw-0123"}],
    }
    server.answers = [Answer(200, json.dumps(echo).encode())]
    said = gateway("call", "GET", f"/x?api_key={typed}", "--header", f"X-Api-Key={typed}")
    assert json.loads(said.out) == {"said": "*** ***", "access_token": "***", "count": 1, "list": [{"password": "***"}]}
    assert typed not in said.out + said.err
    server.answers = [Answer(400, json.dumps(echo).encode())]
    said = gateway("call", "GET", "/x", "--header", f"X-Api-Key={typed}")
    assert said.code == 1
    assert typed not in said.err


def test_a_long_answer_is_cut_behind_the_masking(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """Half of a secret is not shown either."""
    server.answers = [Answer(200, b"x" * 30 + CANARY.encode(), {"Content-Type": "text/plain"})]
    said = gateway("call", "GET", "/", "--max-body", "40")
    assert "x" * 30 in said.out
    assert "canary" not in said.out
    assert "--max-body 0 shows all" in said.err


def test_a_token_is_shown_without_what_makes_it_valid(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """Header and claims, no signature, and nothing is sent for it."""
    connection({"jwt_issuer": "https://i/", "jwt_claims": {"client_secret": "claimed-secret"}})
    said = gateway("token")
    shown = json.loads(said.out)
    assert (said.code, server.seen) == (0, [])
    assert shown["header"] == {"alg": "HS256", "typ": "JWT"}
    assert (shown["claims"]["sub"], shown["claims"]["iss"]) == ("me", "https://i/")
    assert shown["claims"]["client_secret"] == "***"
    assert "the token expires in" in said.err
    assert "eyJ" not in said.out + said.err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"auth": "basic"}, "BasicAuth, has no token"),
        ({"auth": "none"}, "NoAuth, has no token"),
        ({"auth": "bearer"}, "the token is not a JWT"),
    ],
)
def test_an_auth_without_a_readable_token_says_so(
    connection: Connection, gateway: Gateway, extra: dict[str, object], message: str
) -> None:
    """And shows nothing of the secret it has instead."""
    connection(extra)
    said = gateway("token")
    assert (said.code, said.out) == (1, "")
    assert message in said.err


def test_a_fetched_token_is_shown_as_well(connection: Connection, gateway: Gateway, server: ScriptedServer) -> None:
    """OAuth2 asks its token endpoint, and the token itself stays out of sight."""
    token = jwt.encode({"scope": "read", "exp": 4102444800}, "k" * 32, "HS256")
    body = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 300}).encode()
    server.answers = [Answer(200, body)]
    connection({"auth": "oauth2", "oauth_url": f"{server.url}/token"})
    said = gateway("token")
    assert said.code == 0, said.err
    assert json.loads(said.out)["claims"]["scope"] == "read"
    assert [seen.path for seen in server.seen] == ["/token"]
    assert token.rpartition(".")[2] not in said.out + said.err


def test_a_good_connection_passes_the_check(
    connection: Connection, gateway: Gateway, server: ScriptedServer, document: str
) -> None:
    """One line a step."""
    connection({"openapi": document, "health_path": "/health"})
    said = gateway("check")
    assert (said.code, server.seen[0].path) == (0, "/health")
    assert [line[:19].split() for line in said.out.splitlines()] == [
        ["ok", "connection"],
        ["ok", "document"],
        ["ok", "auth"],
        ["ok", "gateway"],
    ]


def test_the_check_goes_on_behind_a_failed_step(
    connection: Connection, gateway: Gateway, server: ScriptedServer, tmp_path: Path
) -> None:
    """A person sees at once that the document is wrong in one place and that the gateway refuses the token."""
    (tmp_path / "bad.yaml").write_text(
        SHOP.replace("'#/components/schemas/Reservation'", "'#/components/schemas/Gone'")
    )
    connection({"openapi": str(tmp_path / "bad.yaml")})
    server.answers = [Answer(401)]
    said = gateway("check")
    assert said.code == 1
    assert [line.split()[:2] for line in said.out.splitlines() if not line.startswith("   ")] == [
        ["ok", "connection"],
        ["failed", "document"],
        ["ok", "auth"],
        ["failed", "gateway"],
    ]
    assert "nothing stands at '#/components/schemas/Gone'" in said.out
    assert "Check the connection's auth type" in said.out


def test_the_check_of_a_health_path_that_is_not_there_names_the_field(
    connection: Connection, gateway: Gateway, server: ScriptedServer
) -> None:
    """The default is /, which many gateways do not answer."""
    server.answers = [Answer(404)]
    assert "Set extra.health_path to a path that answers" in gateway("check").out


def test_a_connection_with_a_wrong_field_ends_the_check(connection: Connection, gateway: Gateway) -> None:
    """Nothing else can be checked without it."""
    connection({"auht": "jwt"})
    said = gateway("check")
    assert said.code == 1
    assert said.out.startswith("failed  connection  connection 'gateway_default': unknown in extra: auht")
    assert len(said.out.splitlines()) == 1


def test_airflow_itself_has_the_commands(connection: Connection, server: ScriptedServer, tmp_path: Path) -> None:
    """The installed package's metadata leads `airflow` to them, and standard output is the answer alone."""
    server.answers = [Answer(503), Answer(200, b'{"b": 1}')]
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    environment.pop("_AIRFLOW_PROCESS_CONTEXT", None)
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "gateway", "call", "GET", "/x"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"b": 1}
    assert "200 OK after 2 attempts" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_looking_for_the_commands_is_cheap() -> None:
    """Every `airflow` command pays for it: no command, hook or HTTP library is imported."""
    script = (
        "import sys, airflow.cli.cli_config\n"
        "before = set(sys.modules)\n"
        "from airgate.cli import get_gateway_cli_commands\n"
        "get_gateway_cli_commands()\n"
        "print(sorted(set(sys.modules) - before - {'airgate'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['airgate.cli']"

"""Spellings of a guarded path, before an upstream that decodes paths the usual way and guards nothing itself."""

import re
import socket
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.edge.edge_process import call, receive
from tests.edge.security.attacked_edge import Attacked, attacked, proxy, token
from tests.edge.security.raw_client import answers

GUARDED = b"/admin/secret"


def understood(target: str) -> bytes:
    """What an upstream serves for a target: decoded once, backslashes turned, `;...` dropped, dots resolved."""
    path = unquote_to_bytes(target.partition("?")[0]).replace(b"\\", b"/")
    path = re.sub(rb"\xc0\xae|\xe0\x80\xae", b".", re.sub(rb"\xc0\xaf|\xe0\x80\xaf|\xc1\x9c", b"/", path))
    kept: list[bytes] = []
    for segment in path.split(b"\0")[0].split(b"/"):
        bare = segment.partition(b";")[0]
        if bare == b"..":
            del kept[-1:]
        elif bare not in (b"", b"."):
            kept.append(bare)
    return b"/" + b"/".join(kept)


def understood_with_parameters(target: str) -> bytes:
    """The same of an upstream to which `;` is a character like any other."""
    return understood(target.replace(";", "_").replace("%3b", "_").replace("%3B", "_"))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    routes = (
        proxy("/admin/{.+}", auth=True),
        proxy("/public/{.+}"),
        proxy("/users/{id}"),
        {**proxy("/exact"), "auth": True},
        {"method": "GET", "path": "/answers/{id}", "response": {"ok": True}},
    )
    with attacked(tmp_path_factory.mktemp("paths"), *routes, limits={"header_seconds": 60}) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(edge: Attacked) -> None:
    edge.upstream.forget()


REFUSED = {
    "/admin/secret": 401,
    "/admin//secret": 401,
    "//admin/secret": 401,
    "/./admin/secret": 401,
    "/admin/./secret": 401,
    "/x/../admin/secret": 401,
    "/admin/x/../secret": 401,
    "/public/../admin/secret": 401,
    "/%61dmin/secret": 401,
    "/%61%64%6D%69%6e/secret": 401,
    "/x/%2e%2e/admin/secret": 401,
    "/x/%2E%2e/admin/secret": 401,
    "/x/.%2e/admin/secret": 401,
    "/%2e/admin/secret": 401,
    "/x\\..\\admin\\secret": 401,
    "\\admin\\secret": 400,
    "/\\admin\\secret": 401,
    "/admin\\secret": 401,
    "/admin%2fsecret": 400,
    "/admin%2Fsecret": 400,
    "/admin%5csecret": 400,
    "/%2fadmin/secret": 400,
    "/%5cadmin/secret": 400,
    "/.%2fadmin/secret": 400,
    "/x%2f..%2fadmin/secret": 400,
    "/x/..%2fadmin/secret": 400,
    "/x/..%5cadmin/secret": 400,
    "/x/%2e%2e%2fadmin/secret": 400,
    "/public/..%2f..%2fadmin/secret": 400,
    "/admin;/secret": 400,
    "/admin;x=1/secret": 400,
    "/admin%3bx/secret": 400,
    "/;/admin/secret": 400,
    "/x/..;/admin/secret": 400,
    "/x/..;a=b/admin/secret": 400,
    "/x/%2e%2e;/admin/secret": 400,
    "/x;/..;/admin/secret": 400,
    "/public/..;/admin/secret": 400,
    "/public/x/..;/..;/admin/secret": 400,
    "/;%2fadmin/secret": 400,
    "/admin/secret%00": 400,
    "/admin%00/secret": 400,
    "/%00/../admin/secret": 401,
    "/admin/secret;.css": 401,
    "/%%36%31dmin/secret": 400,
    "/x/%%32%65%%32%65/admin/secret": 400,
    "/admin%%32%66secret": 400,
    "/admin%u002fsecret": 400,
    "/%zz/../admin/secret": 401,
    "/100%": 400,
    "/x/%c0%ae%c0%ae/admin/secret": 400,
    "/admin%c0%afsecret": 400,
    "/admin%e0%80%afsecret": 400,
    "/admin%c1%9csecret": 400,
    "http://other/admin/secret": 400,
    "//other/../admin/secret": 401,
    "/admin/secret#": 401,
    "/admin/secret?x": 401,
    "/admin/secret/": 401,
    "/exact%2f": 400,
    "/exact/": 400,
    "/exact//": 400,
    "/x/../exact/.": 400,
    "/exact;x": 400,
    "/exact%3bx": 400,
    "/users/1%2fsecret": 400,
    "/users/1%5csecret": 400,
    "/users/..;/admin/secret": 400,
}
SERVED = {
    "/public/a": "/a",
    "/public/": "/",
    "/public/a/": "/a/",
    "/public/a%2fb": "/a%2fb",
    "/public/a%5Cb": "/a%5Cb",
    "/public/map;x=1/y": "/map;x=1/y",
    "/users/1;v=2": "/users/1;v=2",
    "/users/1%20%C3%A9": "/users/1%20%C3%A9",
    "/x#/../admin/secret": "/x",
    "/x?/../admin/secret": "/x?/../admin/secret",
    # Decoded once, as RFC 3986 (2.4) has it, these are no path below /admin.
    "/admin%252fsecret": "/admin%252fsecret",
    "/%2561dmin/secret": "/%2561dmin/secret",
    "/x/%252e%252e/admin/secret": "/x/%252e%252e/admin/secret",
    # Paths are told apart by case, and a dot at the end of a segment is part of its name (RFC 3986, 6.2.2).
    "/Admin/secret": "/Admin/secret",
    "/admin./secret": "/admin./secret",
}


@pytest.mark.parametrize(("target", "status"), REFUSED.items())
def test_no_spelling_of_a_guarded_path_reaches_the_upstream(edge: Attacked, target: str, status: int) -> None:
    """Without a token it is 401 where routing finds the guarded route, and 400 where two routes could be meant."""
    assert call(edge.port, "GET", target).status == status
    assert edge.arrived() == []


@pytest.mark.parametrize("target", [target for target, status in REFUSED.items() if status == 401])
def test_with_a_token_the_upstream_is_asked_for_what_was_guarded(edge: Attacked, target: str) -> None:
    """The path that is sent is the one that was judged."""
    assert call(edge.port, "GET", target, [token()]).status == 200
    (seen,) = edge.arrived()
    assert understood(f"/admin{seen.target}") == GUARDED


@pytest.mark.parametrize(("target", "sent"), SERVED.items())
def test_a_path_with_one_reading_is_served(edge: Attacked, target: str, sent: str) -> None:
    """Escapes and parameters that lead to no other route go on as they are."""
    assert call(edge.port, "GET", target).status == 200
    assert [each.target for each in edge.arrived()] == [sent]


@pytest.mark.parametrize("target", ["/answers/a%2Fb", "/answers/a%5cb;c", "/answers/%252f"])
def test_a_path_that_goes_to_no_upstream_has_no_other_reading(edge: Attacked, target: str) -> None:
    """The edge answers itself, and knows what it has read."""
    assert call(edge.port, "GET", target).status == 200
    assert edge.arrived() == []


@pytest.mark.parametrize("target", ["/admin%2fsecret", "/x/%2e%2e/admin/secret", "/%%36%31dmin/secret"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PROPFIND"])
def test_no_method_reaches_it_either(edge: Attacked, method: str, target: str) -> None:
    """The judgement is the same for all methods."""
    assert call(edge.port, method, target).status in (400, 401)
    assert edge.arrived() == []


PIECES = (
    "/",
    "/",
    "//",
    "\\",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "..",
    ".",
    "%2e",
    "%2E",
    "%2e%2e",
    ".%2e",
    ";",
    "%3b",
    ";x=1",
)
PIECES += (
    "admin",
    "%61dmin",
    "adm%69n",
    "secret",
    "%73ecret",
    "public",
    "x",
    "%00",
    "%",
    "%%36%31",
    "%25",
    "%c0%af",
    "#",
)
PIECES += ("%C0%AE", "%e0%80%ae", "?", "a", "dmin", "é", "%20", "users")


@given(st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "/" + "".join(pieces)))
@example("/%%36%31dmin/secret")
@example("/public/..%2f..%2fadmin/secret")
@example("/public/..;/admin/secret")
@example("/;admin%2fsecret")
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_random_spelling_reaches_a_guarded_path(edge: Attacked, line: socket.socket, target: str) -> None:
    """Whatever the upstream is asked for without a token, it cannot take it for something below /admin.

    `/public/...` is sent without its prefix: what is asked for there is the file's own choice.
    """
    del edge.upstream.requests[:]
    line.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = receive(line)
    assert answer.status in (200, 400, 401, 404, 405), target
    seen = edge.upstream.requests
    assert len(seen) == (answer.status == 200)
    assert edge.upstream.doubts == []
    for each in seen:
        if b"/public" in understood(target)[:8]:
            continue
        for reading in (understood, understood_with_parameters):
            assert reading(each.target) + b"/" != b"/exact/", (target, each.target)
            assert not reading(each.target).startswith(b"/admin/"), (target, each.target)


@pytest.fixture
def line(edge: Attacked) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=20) as connection:
        yield connection


def test_the_upstream_of_this_test_reads_paths_the_usual_way() -> None:
    """So that the tests above can fail."""
    assert understood("/x/..%2fadmin%5c./%73ecret;y?z") == GUARDED
    assert understood("/admin%252fsecret") == b"/admin%2fsecret"
    assert understood_with_parameters("/admin;x/secret") == b"/admin_x/secret"
    assert answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")[0].body == b"ok"

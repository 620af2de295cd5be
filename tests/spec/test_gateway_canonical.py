"""Strict mode's one spelling of a path, and what it guards."""

from __future__ import annotations

import json

import pytest

from airgate.spec.answer import AMBIGUOUS_PATH, Answer
from airgate.spec.check import problems
from airgate.spec.config import Mode, load
from airgate.spec.gateway import Forward, decide
from airgate.spec.message import Request
from airgate.spec.url import canonical_path

PROXY = {"method": "ANY", "integration": {"type": "http_proxy", "server": "up"}}
FILE = {
    "servers": [{"alias": "up", "url": "http://up.test"}, {"alias": "other", "url": "http://other.test"}],
    "authorizer": {"type": "jwt", "secret": "s" * 32},
    "paths": [
        {**PROXY, "path": "/secret", "auth": True, "mapping": {"headers": {"X-Gateway-Subject": "$request.jwt.sub"}}},
        {"method": "ANY", "path": "/other/{.+}", "integration": {"type": "http_proxy", "server": "other"}},
        {**PROXY, "path": "/{.+}"},
    ],
}


def decided(path: bytes, mode: Mode = "strict", headers: list[tuple[bytes, bytes]] | None = None) -> Answer | Forward:
    return decide(load(json.dumps(FILE), {}, mode), Request("GET", path, b"", headers or []), 0.0)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/a/b", "/a/b"),
        ("/a//b///c", "/a/b/c"),
        ("//a", "/a"),
        ("/%73ecret", "/secret"),
        ("/%61%2D%5F%7e%2E", "/a-_~."),
        ("/a%20b%2Fc%3f", "/a%20b%2Fc%3f"),
        ("/a/", "/a/"),
        ("/a%2f..%2fb", None),
        ("/a%5C..", None),
        ("/..%2fb", None),
        ("/a..b%2f", "/a..b%2f"),
        ("/%252e%252e%252f", "/%252e%252e%252f"),
    ],
)
def test_a_path_has_one_spelling(path: str, canonical: str | None) -> None:
    """Escapes of plain characters are undone, others kept; what hides a climb has no spelling at all."""
    assert canonical_path(path) == canonical


@pytest.mark.parametrize("path", [b"/secret", b"//secret", b"/%73ecret", b"/x/../secret", b"/x/%2e%2E//secre%74"])
def test_a_guarded_path_has_no_second_name(path: bytes) -> None:
    """An unguarded wildcard beside it does not let anybody in, whichever way the path is written."""
    answer = decided(path)
    assert isinstance(answer, Answer)
    assert answer.status == 401


def test_a_hidden_climb_is_refused() -> None:
    """What the upstream would make of it cannot be known."""
    assert decided(b"/public/..%2fsecret") is AMBIGUOUS_PATH


def test_the_canonical_path_goes_to_the_upstream() -> None:
    """Routing and upstream see the same path; compatible mode passes the escapes on, as the gateway does."""
    strict, compatible = decided(b"//a/%62//c"), decided(b"//a/%62//c", "compatible")
    assert isinstance(strict, Forward)
    assert isinstance(compatible, Forward)
    assert (strict.path, compatible.path) == ("/a/b/c", "/a/%62/c")


@pytest.mark.parametrize("name", [b"x-gateway-subject", b"x_gateway_subject", b"x-gateway_subject"])
def test_a_header_that_a_route_maps_cannot_be_sent_past_it(name: bytes) -> None:
    """On no route to the same server, in no spelling that an application reads as the same; elsewhere it may pass."""
    spoofed = [(name, b"admin"), (b"accept", b"*/*")]
    for path, passes in ((b"/open", False), (b"/other/x", True)):
        forward = decided(path, headers=spoofed)
        assert isinstance(forward, Forward)
        assert ((name.decode(), "admin") in forward.headers) is passes
        assert ("accept", "*/*") in forward.headers
    compatible = decided(b"/open", "compatible", spoofed)
    assert isinstance(compatible, Forward)
    assert (name.decode(), "admin") in compatible.headers


@pytest.mark.parametrize(
    ("file", "pointer"),
    [
        ({"cors": {"allow_origins": ["*"], "allow_credentials": True}, "paths": []}, "/cors/allow_origins"),
        ({"paths": [{"method": "GET", "path": "/a//b"}]}, "/paths/0/path"),
        ({"paths": [{"method": "GET", "path": "/%61"}]}, "/paths/0/path"),
    ],
)
def test_files_that_strict_mode_cannot_keep_safe_are_refused(file: dict, pointer: str) -> None:
    """Each with its place."""
    assert [problem.pointer for problem in problems(json.dumps(file), {})] == [pointer]

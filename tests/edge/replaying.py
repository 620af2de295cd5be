"""Replays golden vectors against a real edge process, and lists where it differs."""

import base64
import gzip
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.edge.echo_upstream import Document, EchoUpstream, Seen
from tests.edge.edge_process import Response, call, edge

_RESPONSE_HEADERS = frozenset(
    {
        "content-type",
        "location",
        "vary",
        "www-authenticate",
        "cache-control",
        "set-cookie",
        "etag",
        "content-encoding",
        "allow",
        "retry-after",
        "content-disposition",
        "content-language",
        "last-modified",
        "expires",
        "link",
    }
)
_UPSTREAM_ALWAYS = frozenset({"host", "content-type", "authorization", "cookie", "origin"})
_UPSTREAM_NEVER = frozenset(
    {
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "accept-encoding",
        "upgrade",
        "te",
        "trailer",
        "proxy-connection",
        "expect",
    }
)
_MAX_INLINE_BODY = 4096
_PORT = re.compile(r"127\.0\.0\.1:(188\d\d)\b")


def by_config(vectors: Path) -> dict[str, list[str]]:
    """The vectors of a file as JSON lines, by the name of their configuration."""
    found: dict[str, list[str]] = {}
    for line in vectors.read_text().splitlines():
        found.setdefault(json.loads(line)["config_name"], []).append(line)
    return found


def all_differences(vectors: Path, configs: Path) -> dict[str, list[str]]:
    """Replay all vectors of a file, a few configurations at a time; the differences (none: agreed) by vector id."""
    cases = by_config(vectors)
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda name: differences(configs, name, cases[name]), cases)
        return {key: found for result in results for key, found in result.items()}


def differences(configs: Path, name: str, lines: Iterable[str]) -> dict[str, list[str]]:
    """Run the edge with one configuration and replay its vectors; the differences (none: agreed) by vector id."""
    upstream = EchoUpstream()
    ports: dict[str, str] = {}
    try:
        text = (configs / f"{name}.json").read_text()
        variables = dict(_variables(configs / f"{name}.env"))
        for recorded_port, alias in _servers(text, variables).items():
            ports[recorded_port] = str(upstream.reserve() if alias == "down" else upstream.open(alias))
        for recorded_port, documents in _documents(configs / f"{name}.upstream.json").items():
            ports[recorded_port] = str(upstream.open(recorded_port, documents))
        for recorded_port in set(_PORT.findall(text)) - ports.keys():
            ports[recorded_port] = str(upstream.reserve())

        def moved(recorded: str) -> str:
            return _PORT.sub(lambda found: f"127.0.0.1:{ports.get(found[1], found[1])}", recorded)

        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / f"{name}.json"
            config.write_text(moved(text))
            moved_variables = {key: moved(value) for key, value in variables.items()}
            with edge(config, "--mode", "compatible", variables=moved_variables) as port:
                vectors = [json.loads(moved(line)) for line in lines]
                return {vector["id"]: list(_replay(vector, port, upstream, text)) for vector in vectors}
    finally:
        upstream.close()


def _documents(path: Path) -> dict[str, dict[str, Document]]:
    """The fixed answers of each upstream port of a configuration, by path."""
    if not path.exists():
        return {}

    def body(value: object) -> bytes:
        return (value if isinstance(value, str) else json.dumps(value)).encode()

    return {
        port: {target: Document(given.get("status", 200), body(given["body"])) for target, given in answers.items()}
        for port, answers in json.loads(path.read_text()).items()
    }


def _variables(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines() if path.exists() else ():
        key, _, value = line.partition("=")
        yield key, value


def _servers(text: str, variables: dict[str, str]) -> dict[str, str]:
    """The first alias of each upstream port of a configuration."""
    found: dict[str, str] = {}
    for server in re.findall(r'\{[^{}]*"url"[^{}]*\}', text):
        alias, url = (json.loads(server).get(key, "") for key in ("alias", "url"))
        alias, url = (variables.get(value[5:], "") if value.startswith("$env.") else value for value in (alias, url))
        port = _PORT.search(url)
        if port:
            found.setdefault(port[1], alias)
    return found


def _replay(vector: dict[str, Any], port: int, upstream: EchoUpstream, config: str) -> Iterator[str]:
    request = vector["request"]
    upstream.take()
    got = call(
        port,
        request["method"],
        request["path_with_query"],
        request["headers"],
        _request_body(request),
        chunked=bool(request.get("chunked")),
    )
    skipped = vector.get("skip") or []
    yield from _compare("status", {got.status}, {got.status} & _accepted(vector))
    if "headers" not in skipped:
        ignored = set(vector.get("skip_headers") or [])
        wanted = {name: value for name, value in vector["response"]["headers"].items() if name not in ignored}
        found = _grouped((name, value) for name, value in got.headers if _is_compared(name) and name not in ignored)
        yield from _compare("headers", found, wanted)
    if "body" not in skipped and request["method"] != "HEAD":
        yield from _compare("body", _packed(_decoded(got)), _recorded(vector["response"]))
    if "upstream" not in skipped:
        names = {name.lower() for name, _ in request["headers"]} | _mapped_names(config)
        yield from _compare("upstream", _shape(upstream.take(), names), _wanted_call(vector["upstream_saw"]))


def _compare(what: str, got: object, wanted: object) -> Iterator[str]:
    if got != wanted:
        yield f"{what}: got {got!r}, wanted {wanted!r}"


def _accepted(vector: dict[str, Any]) -> set[int]:
    return set(vector.get("accept_status") or [vector["response"]["status"]])


def _request_body(request: dict[str, Any]) -> bytes | None:
    if request.get("body_b64") is not None:
        return base64.b64decode(str(request["body_b64"]))
    if request.get("body_gen"):
        return (str(request["body_gen"]["text"]) * int(request["body_gen"]["repeat"])).encode()
    return None if request.get("body") is None else str(request["body"]).encode()


def _is_compared(name: str) -> bool:
    return name in _RESPONSE_HEADERS or name.startswith(("access-control-", "x-up-"))


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _decoded(response: Response) -> bytes:
    return gzip.decompress(response.body) if response.header("content-encoding") == "gzip" else response.body


def _packed(body: bytes) -> object:
    """A body in the form of the vectors: the bytes, or their number and hash when they are many."""
    return body if len(body) <= _MAX_INLINE_BODY else (len(body), hashlib.sha256(body).hexdigest())


def _recorded(side: dict[str, Any]) -> object:
    if "body_len" in side:
        return side["body_len"], side["body_sha256"]
    if "body_b64" in side:
        return base64.b64decode(side["body_b64"])
    return (side.get("body") or "").encode()


def _mapped_names(config: str) -> set[str]:
    try:
        paths = json.loads(config).get("paths")
    except (ValueError, AttributeError):
        return set()
    routes = [route for route in paths or [] if isinstance(route, dict)] if isinstance(paths, list) else []
    return {name.lower() for route in routes for name in (route.get("mapping") or {}).get("headers") or {}}


def _shape(seen: list[Seen], names: set[str]) -> object:
    if not seen:
        return None
    first, compared = seen[0], (_UPSTREAM_ALWAYS | names) - _UPSTREAM_NEVER
    headers = _grouped(pair for pair in first.headers if pair[0].lower() in compared)
    return first.alias, first.method, first.target, headers, _packed(first.body or b""), len(seen)


def _wanted_call(saw: dict[str, Any] | None) -> object:
    if saw is None:
        return None
    line = (saw["server_alias"], saw["method"], saw["path_with_query"])
    return *line, saw["headers"], _recorded(saw), 1 + saw.get("extra_calls", 0)

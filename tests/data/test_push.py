"""Pushing records in batches: what is sent, what is settled, what a later try goes on with."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.client.message import Response, headers_of
from airgate.data.frames.reading import write_frame
from airgate.data.push.batches import Offered, PushBatch
from airgate.data.push.items import ItemResults, is_accepted
from airgate.data.push.plan import Push, PushReport
from airgate.data.push.pushing import push
from airgate.data.store.manifest import Manifest
from airgate.errors import InvalidResponse, KeyReused, OutcomeUnknown, Unavailable, Unprocessable
from tests.data.reads import FileCheckpoint, letters_of, local


def answer(body: Any = None, status: int = 200) -> Response:
    return Response(status, headers_of(), json.dumps(body).encode(), "POST", "http://gw/items")


@dataclass
class Service:
    """Honours keys, as a service behind a gateway does: a key's first answer is repeated.

    Of its requests some fail before they arrive, and some behind their effect.
    """

    bad: set[int] = field(default_factory=set)
    """Records that it refuses, and with them the whole batch that they are in."""
    unreachable: set[int] = field(default_factory=set)
    """Requests, by their number, that do not arrive."""
    lost: set[int] = field(default_factory=set)
    """Requests whose answer does not."""
    effects: Counter[int] = field(default_factory=Counter)
    answers: dict[str, bool] = field(default_factory=dict)
    requests: int = 0
    doubted: list[str] = field(default_factory=list)
    """Batches that came as ones that an earlier try may have sent."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    ends: float | None = None

    def send(self, batch: PushBatch) -> Response:
        with self.lock:
            number, self.requests = self.requests, self.requests + 1
            if batch.in_doubt:
                self.doubted.append(batch.name)
            if number in self.unreachable:
                raise Unavailable("nobody is there", attempts=1)
            ids = [record["id"] for record in batch.records]
            if batch.name not in self.answers:
                self.answers[batch.name] = not self.bad & set(ids)
                if self.answers[batch.name]:
                    self.effects.update(ids)
            if number in self.lost:
                error = OutcomeUnknown("no answer", attempts=1, retryable=True)
                error.in_doubt = True
                raise error
            if not self.answers[batch.name]:
                raise Unprocessable("answered 422", status=422, attempts=1, excerpt="bad")
            return answer()


def data_set(path: Path, count: int) -> Offered:
    manifest = write_frame(pa.table({"id": range(count)}), local(path / "records"), part_rows=7)
    return offered(manifest)


def offered(*manifests: Manifest) -> Offered:
    return Offered(manifests, (), lambda uri: local(Path(uri.removeprefix("file://"))))


def run(path: Path, service: Service, records: Offered, **options: Any) -> PushReport:
    plan = Push("POST /items", "one", **{"batch_size": 4, "in_flight": 2, **options})
    return push(plan, records, service, local(path / "out"), FileCheckpoint(path / "state.json"))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 40),
    size=st.integers(1, 9),
    in_flight=st.integers(1, 3),
    bad=st.sets(st.integers(0, 39), max_size=5),
    unreachable=st.sets(st.integers(0, 30), max_size=3),
    lost=st.sets(st.integers(0, 30), max_size=3),
)
def test_every_record_is_accepted_once_or_dead_lettered_once(
    count: int, size: int, in_flight: int, bad: set[int], unreachable: set[int], lost: set[int]
) -> None:
    """Whatever is refused, does not arrive or loses its answer, tried again until it ends."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        records = data_set(path, count)
        service = Service(bad=bad, unreachable=unreachable, lost=lost)
        report = None
        for _ in range(len(unreachable) + len(lost) + 1):
            try:
                report = run(path, service, records, batch_size=size, in_flight=in_flight)
                break
            except (Unavailable, OutcomeUnknown):
                continue
        assert report is not None
        refused = bad & set(range(count))
        assert service.effects == Counter(set(range(count)) - refused)
        dead = [json.loads(letter["record"])["id"] for letter in letters_of(report.dead_letters, local(path / "out"))]
        assert sorted(dead) == sorted(refused)
        assert (report.offered, report.pushed, report.dead_lettered) == (count, count - len(refused), len(refused))


@pytest.mark.parametrize("first", [0, 2, 4])
def test_batches_are_the_same_in_every_try(tmp_path: Path, first: int) -> None:
    """Across parts and data sets, also when only those behind a number are asked for."""
    records = offered(*data_set(tmp_path / "a", 10).manifests, *data_set(tmp_path / "b", 7).manifests)
    batches = list(records.batches(4, first))
    assert [batch.number for batch in batches] == list(range(first, 5))
    assert [batch.row for batch in batches] == [4 * number for number in range(first, 5)]
    ids = [*range(10), *range(7)]
    assert [record["id"] for batch in batches for record in batch.records] == ids[4 * first :]
    assert records.rows == 17


def test_the_content_tells_records_apart(tmp_path: Path) -> None:
    """Keys and progress go by it: other records, another order or other columns are another push."""
    one, two = data_set(tmp_path / "a", 5).manifests[0], data_set(tmp_path / "b", 6).manifests[0]
    several = [offered(one, two), offered(two, one), offered(one), Offered((one,), (), offered().open_folder, ("id",))]
    assert len({each.content for each in several}) == 4
    assert offered(one, two).content == several[0].content


def test_halves_keep_their_places_and_have_names_of_their_own() -> None:
    """A dead letter names its place within the whole batch, whatever half of a half it was found in."""
    batch = PushBatch(3, 12, tuple({"id": number} for number in range(5)), (0, 1, 2, 4, 5))
    low, high = batch.halves()
    assert (low.name, high.name, high.halves()[1].name) == ("3/0", "3/1", "3/11")
    assert [half.places for half in (low, high)] == [(0, 1), (2, 4, 5)]
    assert high.letter(1, "x").index == 4


def test_a_later_try_doubts_what_an_earlier_one_may_have_sent(tmp_path: Path) -> None:
    """The service may still be busy with it; what was settled is not sent, what was never reached is not doubted."""
    records = data_set(tmp_path, 40)
    service = Service(lost={3})
    with pytest.raises(OutcomeUnknown):
        run(tmp_path, service, records, in_flight=1)
    report = run(tmp_path, service, records, in_flight=1)
    assert service.doubted == ["3", "4", "5", "6", "7"]  # a window is 8 batches for each one in flight
    assert (report.calls, service.requests) == (11, 11)


def test_settled_batches_beside_a_failed_one_are_not_sent_again(tmp_path: Path) -> None:
    """Without keys there is no doubt about what was answered, nor about what provably did not arrive."""
    records = data_set(tmp_path, 16)
    service = Service(unreachable={2})
    with pytest.raises(Unavailable):
        run(tmp_path, service, records, repeatable=False, in_flight=1)
    run(tmp_path, service, records, repeatable=False, in_flight=1)
    assert service.requests == 5
    assert set(service.effects.values()) == {1}


def test_a_halved_batch_that_fails_half_way_is_in_doubt_without_keys(tmp_path: Path) -> None:
    """One half was accepted, so the whole must not go again."""
    records = data_set(tmp_path, 4)
    service = Service(bad={3}, unreachable={2})
    with pytest.raises(Unavailable):
        run(tmp_path, service, records, repeatable=False)
    with pytest.raises(OutcomeUnknown, match=r"may have sent 1 batches \(rows 0 to 3\)"):
        run(tmp_path, service, records, repeatable=False)
    assert service.effects == Counter([0, 1])
    # A clear is what asks for it.
    service.answers.clear()
    run(tmp_path, service, records, repeatable=False, round=1)
    assert service.effects == Counter([0, 1, 0, 1, 2])


def test_progress_of_other_records_is_not_taken_over(tmp_path: Path) -> None:
    """Unless the task was cleared, which begins anew."""
    records = data_set(tmp_path, 16)
    with pytest.raises(Unavailable):
        run(tmp_path, Service(unreachable={2}), records, in_flight=1)
    plan = Push("POST /items", "another", batch_size=4)
    service, checkpoint = Service(), FileCheckpoint(tmp_path / "state.json")
    with pytest.raises(KeyReused, match="had 8 of them settled"):
        push(plan, records, service, local(tmp_path / "out"), checkpoint)
    cleared = Push("POST /items", "another", batch_size=4, round=1)
    assert push(cleared, records, service, local(tmp_path / "out"), checkpoint).pushed == 16


def test_a_failure_stops_what_was_not_begun(tmp_path: Path) -> None:
    """A service that is away is not asked once for each batch of the window."""
    service = Service(unreachable=set(range(100)))
    with pytest.raises(Unavailable):
        run(tmp_path, service, data_set(tmp_path, 100), in_flight=2)
    assert service.requests <= 3


@pytest.mark.parametrize(
    ("results", "body", "refused"),
    [
        (
            ItemResults("status"),
            [{"status": 200}, {"status": "422"}, {"status": "HTTP/1.1 201 Created"}],
            {1: "status 422"},
        ),
        (ItemResults("ok"), [{"ok": True}, {"ok": False}, {}], {1: "status false", 2: "status null"}),
        (ItemResults(error="e"), [{"e": None}, {"e": {"code": 7}}, {}], {1: '{"code":7}'}),
        (ItemResults("s", "e"), [{"s": 200, "e": "x"}, {"s": 500}, {"s": 200}], {0: "status 200: x", 1: "status 500"}),
        (ItemResults("state == 'done'"), [{"state": "done"}, {"state": "no"}, {"state": "done"}], {1: "status false"}),
        (ItemResults(error="m", results="a.b", index="i"), {"a": {"b": [{"i": 2, "m": "x"}]}}, {2: "x"}),
        (ItemResults(error="m", results="errors", index="i"), {"taken": 3}, {}),
        (ItemResults(), {"anything": 1}, {}),
    ],
)
def test_an_answer_tells_which_records_were_refused(results: ItemResults, body: Any, refused: dict[int, str]) -> None:
    """By status, error or both, of all records or of some."""
    found = results.refused(answer(body, 207), 3, 0.0)
    assert {place: item.reason for place, item in found.items()} == refused


@pytest.mark.parametrize(
    ("results", "body"),
    [
        (ItemResults("status"), [{"status": 200}]),
        (ItemResults("status"), {"status": 200}),
        (ItemResults("status", index="i"), [{"status": 400, "i": True}]),
        (ItemResults("status", index="i"), [{"status": 400, "i": 3}]),
    ],
)
def test_an_answer_that_does_not_tell_is_invalid(results: ItemResults, body: Any) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidResponse):
        results.refused(answer(body), 3, 0.0)


@pytest.mark.parametrize(
    ("status", "accepted"),
    [
        (200, True),
        (299, True),
        (300, False),
        (0, False),
        (True, True),
        (False, False),
        (None, False),
        ("204", True),
        ("HTTP/1.1 404 Not Found", False),
        ("created", False),
        ("", False),
        ([200], False),
    ],
)
def test_a_status_says_whether_a_record_was_accepted(status: object, accepted: bool) -> None:
    """A number, its text, a status line as in WebDAV, or a truth value."""
    assert is_accepted(status) is accepted

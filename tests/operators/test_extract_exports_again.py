"""GatewayExtractOperator: exports that break off, change, have to be waited for, and whose reader dies."""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airgate.errors import DeadlineExceeded, RateLimited, Unavailable
from tests.export_service import ExportService
from tests.operators.exports import FORMS, ROWS, column, durable, ids, ndjson, read, wanted
from tests.state_store import FileStore

_PROCESSES = multiprocessing.get_context("forkserver")


@pytest.mark.parametrize(("content", "form", "headers"), FORMS)
@pytest.mark.parametrize("length", ["told", "chunks"])
def test_a_body_that_breaks_off_never_passes_for_whole(
    context, service: ExportService, length: str, content: Callable[[], bytes], form: Any, headers: dict[str, str]
) -> None:
    """It is asked for again; a service that never gives all of it fails the task, and what came is durable."""
    service.content, service.headers, service.length = content(), headers, length
    size = len(service.content)
    service.breaks = [size - 1, size // 2]
    manifest = read(export=form).execute(context)
    assert ids(manifest) == wanted()
    context["ti"].run_id, service.breaks = "another", [size * 9 // 10, *[0] * 99]
    with pytest.raises(Unavailable):
        read(export=form).execute(context)
    assert durable(context)["position"]["offset"] > 1_000_000
    assert not (Path(manifest["path"].removeprefix("file://")).parent.parent / "another/t/manifest.json").exists()


def break_off(context: dict[str, Any], service: ExportService, **arguments: Any) -> int:
    """Let a try fail in the middle; gives the position that is durable."""
    service.breaks = [len(service.content) * 2 // 3, *[0] * 9]
    with pytest.raises(Unavailable):
        read(**arguments).execute(context)
    service.breaks, service.asked = [], []
    return int(durable(context)["position"]["offset"])


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', ""])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_retry_goes_on_behind_what_is_durable(context, service: ExportService, etag: str, ranges: bool) -> None:
    """With a range where the service has them and a strong ETag; else the beginning comes again and is passed over."""
    service.etag, service.ranges = etag, ranges
    offset = break_off(context, service)
    assert 1_000_000 < offset < len(service.content)
    manifest = read().execute(context)
    assert ids(manifest) == wanted()
    strong = etag.startswith('"')
    assert service.asked == [(offset, etag) if strong else (0, "")]
    assert manifest["received"] == ROWS


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("etag", ['"v2"', '"v1"'])
def test_two_versions_are_never_mixed(
    context, service: ExportService, caplog: pytest.LogCaptureFixture, heeds_if_range: bool, etag: str
) -> None:
    """Another file between two tries is read from its beginning, also where a service gives ranges of what it has.

    One that has the name of the one before, and comes as a range, cannot be told from it: so says RFC 9110, 8.8.1.
    """
    break_off(context, service)
    service.content, service.etag, service.heeds_if_range = ndjson(name="m"), etag, heeds_if_range
    if etag == '"v1"':
        service.ranges = False
    with caplog.at_level(logging.WARNING):
        manifest = read().execute(context)
    assert ids(manifest) == wanted()
    assert {name[0] for name in column(manifest, "name")} == {"m"}
    assert "starting from the beginning" in caplog.text


def test_a_file_that_has_only_grown_goes_on(context, service: ExportService) -> None:
    """Its beginning is proven to be the same, so that the rest belongs to it whatever the version is called."""
    break_off(context, service)
    service.content, service.etag = ndjson(ROWS + 10), '"v2"'
    manifest = read().execute(context)
    assert ids(manifest) == wanted(ROWS + 10)
    assert len(service.asked) == 1


def test_a_file_that_has_shrunk_is_read_from_its_beginning(context, service: ExportService) -> None:
    """The range behind its end is refused, and the whole is another one."""
    break_off(context, service)
    service.content, service.heeds_if_range = ndjson(1000), False
    assert ids(read().execute(context)) == wanted(1000)
    assert [start for start, _ in service.asked][1:] == [0, 0]


def test_a_file_that_changes_while_it_is_read_fails_the_try(context, service: ExportService) -> None:
    """What was read of the one before cannot be taken back within it; the next try reads the new one."""
    service.breaks, service.etag = [len(service.content) * 2 // 3], ""
    service.before = {2: {"content": ndjson(name="m")}}
    with pytest.raises(ValueError, match="has changed while it was read"):
        read().execute(context)
    assert {name[0] for name in column(read().execute(context), "name")} == {"m"}


def test_a_long_wait_gives_the_worker_back(context, service: ExportService) -> None:
    """Before the file, and in its middle: what came is durable, and the read goes on behind it."""
    service.busy, service.breaks = [60], [len(service.content) * 2 // 3]
    service.before = {3: {"busy": [60]}}
    operator = read()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    with pytest.raises(TaskDeferred):
        operator.resume(context)
    offset = durable(context)["position"]["offset"]
    assert offset > 1_000_000
    assert ids(operator.resume(context)) == wanted()
    assert [start for start, _ in service.asked][-1] == offset


def test_a_service_that_never_gets_on_is_not_asked_for_ever(context, service: ExportService) -> None:
    """Waits without a piece in between count: an answer that breaks off with its first bytes is no progress."""
    service.breaks = [10] * 99
    service.before = {number: {"busy": [60]} for number in range(2, 99, 2)}
    operator = read()
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    with pytest.raises(TaskDeferred):
        operator.resume(context)
    with pytest.raises(RateLimited):
        operator.resume(context)


def test_a_body_may_take_longer_than_a_call(context, service: ExportService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's deadline ends with its beginning; the task's own holds for all of it."""
    extra = {"deadline": 1, "attempts": 1}
    gateway = {"conn_type": "gateway", "host": service.address, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    service.pause = 0.06  # the file comes in 44 pieces
    began = time.monotonic()
    assert ids(read().execute(context)) == wanted()
    assert time.monotonic() - began > 1.5
    context["ti"].run_id, context["ti"].max_tries = "another", 3
    with pytest.raises(DeadlineExceeded):
        read(deadline=1).execute(context)


def _run(address: str, home: Path) -> None:
    """One try of the task, in a process of its own."""
    os.environ["AIRFLOW_CONN_GATEWAY_DEFAULT"] = json.dumps({"conn_type": "gateway", "host": address})
    os.environ["AIRFLOW__AIRGATE__DATA_ROOT"] = f"file://{home}/data"
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2, try_number=1)
    read().execute({"ti": ti, "task_state_store": FileStore(home / "state.json")})  # type: ignore[arg-type]


@pytest.mark.parametrize(("ranges", "packed"), [(True, False), (False, False), (True, True)])
def test_a_process_that_is_killed_in_the_middle_of_a_file_loses_and_doubles_nothing(
    context, service: ExportService, tmp_path: Path, ranges: bool, packed: bool
) -> None:
    """SIGKILL while bytes come in, twice; the third process completes the data set behind what was durable."""
    rows, jumps = 2 * ROWS, ranges and not packed
    content = gzip.compress(ndjson(rows), 1) if packed else ndjson(rows)
    service.content, service.ranges = content, ranges
    # Behind the second piece; then behind the third, of what is left or of the whole.
    service.stalls = [len(content) * 9 // 20, len(content) * (9 if jumps else 13) // 20]
    places = []
    for _ in range(2):
        known = durable(context).get("position")
        process = _PROCESSES.Process(target=_run, args=(service.address, tmp_path))
        process.start()
        ends = time.monotonic() + 60
        while durable(context).get("position") == known and time.monotonic() < ends:
            time.sleep(0.01)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        places.append(durable(context)["position"]["offset"])
    assert 0 < places[0] < places[1]
    manifest = read().execute(context)
    assert ids(manifest) == wanted(rows)
    assert (manifest["received"], manifest["dead_lettered"]) == (rows, 1)
    assert [start for start, _ in service.asked] == ([0, 0, 0] if packed else [0, *places])

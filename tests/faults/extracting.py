"""A process that runs an extract task and kills itself, with SIGKILL, at one of the steps of the read.

A step is a page or an export that is asked for or has come, a piece of an export, a file that is about to be written,
begun, written but not in its place yet, in its place, or removed, a row group of a part, and an entry of Airflow's
stores before and after it is made. So every boundary of the read is a moment to die at, and the same one each time.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args

from airflow.sdk import Asset
from airflow.sdk.io import attach
from fsspec.implementations.local import LocalFileSystem

from airgate.data.read import cutting, ingest
from airgate.data.store import part_list
from airgate.data.store.part_file import PartFile
from airgate.data.store.storage import Folder
from airgate.operators import CsvFile, GatewayExtractOperator, Incremental, NdjsonFile, extract_read
from airgate.operators.export_calls import ExportCalls
from airgate.operators.long_read import PageCalls
from airgate.pagination import CursorPages, OffsetPages
from tests.faults.records_service import PAGE, PARENTS
from tests.s3_server import BUCKET, s3_client
from tests.state_store import FileStore

# Imported when a task runs, and here before processes are forked: each would spend half its time on it otherwise.
assert extract_read

Mode = Literal[
    "pages",
    "in flight",
    "prefetch",
    "children",
    "incremental",
    "inferred",
    "partitioned",
    "row groups",
    "s3",
    "export",
    "packed export",
]
MODES: tuple[Mode, ...] = get_args(Mode)

PART_ROWS = 25
ROW_GROUP_ROWS = 7
PIECE_BYTES = 400
"""So few that every second part or so makes a piece of the list of parts, which otherwise takes dozens of them."""
CUT_BYTES = 300
"""Of an export, in a piece: three records or so."""
IN_FLIGHT = 3

RECORDS = Asset("records")
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "value": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "kind": {"type": "string"},
    },
    "required": ["id"],
}


def task(mode: Mode) -> GatewayExtractOperator:
    """The task of a mode."""
    offsets = OffsetPages(limit=PAGE)
    arguments: dict[str, Any] = {
        "pages": {"path": "/records", "paginator": offsets},
        "in flight": {"path": "/records", "paginator": offsets, "in_flight": IN_FLIGHT},
        "prefetch": {"path": "/records", "paginator": CursorPages(limit=PAGE), "prefetch": True},
        "children": {
            "path": "/parents/{parent}/records",
            "paginator": offsets,
            "parents": [{"name": name} for name in PARENTS],
            "parent_params": {"parent": "name"},
            "parent_columns": {"parent": "name"},
            "parents_in_flight": IN_FLIGHT,
        },
        "incremental": {
            "path": "/records",
            "paginator": offsets,
            "incremental": Incremental(param="since", field="at", asset=RECORDS),
        },
        "inferred": {"path": "/records", "paginator": offsets, "schema": None},
        "partitioned": {"path": "/records", "paginator": offsets, "partition_by": ["kind"]},
        "row groups": {"path": "/records", "paginator": offsets, "row_group_rows": ROW_GROUP_ROWS},
        "s3": {"path": "/records", "paginator": offsets, "row_group_rows": ROW_GROUP_ROWS},
        "export": {"path": "/export", "export": NdjsonFile()},
        "packed export": {"path": "/export.csv.gz", "export": CsvFile()},
    }[mode]
    return GatewayExtractOperator(**{"task_id": "t", "schema": SCHEMA, "part_rows": PART_ROWS, **arguments})


class Steps:
    """Counts the steps of a read and kills the process at one of them.

    Args:
        log: Gets the name of each step.
        last: Number of the step to die at, from 1; 0 to live.
    """

    def __init__(self, log: Path, last: int) -> None:
        self._log = log.open("a", buffering=1)
        self._last = last
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        """Take note of a step, or die."""
        with self._lock:
            self._count += 1
            self._log.write(name + "\n")
            if self._count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a step before it and one after it."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            self(f"before {name(*arguments)}")
            result = function(*arguments, **options)
            self(f"after {name(*arguments)}")
            return result

        return wrapped

    def watch(self) -> None:
        """Make the read of this process take its steps here."""
        PageCalls.__call__ = self.around(lambda *_: "page", PageCalls.__call__)  # type: ignore[method-assign]
        ExportCalls.__call__ = self.around(lambda *_: "export", ExportCalls.__call__)  # type: ignore[method-assign]
        ExportCalls.took = self.around(lambda *_: "piece", ExportCalls.took)  # type: ignore[method-assign]
        Folder.write = self.around(lambda folder, name, content: _plain(name), Folder.write)  # type: ignore[method-assign]
        Folder.create = self.around(lambda folder, name: f"begin {_plain(name)}", Folder.create)  # type: ignore[method-assign]
        PartFile.append = self.around(lambda *_: "row group", PartFile.append)  # type: ignore[method-assign]
        PartFile.commit = self.around(lambda *_: "end of part", PartFile.commit)  # type: ignore[method-assign]
        Folder.remove = self.around(lambda *_, **__: "tidying", Folder.remove)  # type: ignore[method-assign]
        LocalFileSystem.rm_file = self.around(lambda *_: "removal", LocalFileSystem.rm_file)
        FileStore.set = self.around(lambda store, key, value: key, FileStore.set)  # type: ignore[method-assign]
        replace = Path.replace

        def in_place(path: Path, target: Path) -> Path:
            if path.name.startswith("."):  # the store's own file is another matter
                self(f"unplaced {_plain(Path(target).name)}")
            return replace(path, target)

        Path.replace = in_place  # type: ignore[method-assign]


def _plain(name: str) -> str:
    """The name of a file without what differs from run to run."""
    return re.sub(r"^(part-list-\d+)-\w+", r"\1", name)


def data_root(mode: Mode, home: Path) -> str:
    """Where the data sets of a mode are."""
    return f"s3://{BUCKET}/{home.name}/data" if mode == "s3" else f"file://{home}/data"


def extract(mode: Mode, address: str, s3: str, home: Path, last: int) -> None:
    """Run the task in this process, as one try of it.

    Args:
        mode: Which.
        address: Of the service.
        s3: Address of an S3 server.
        home: Folder for data and stores, which outlive the process.
        last: Step to die at, 0 for none.
    """
    os.environ["AIRFLOW_CONN_GATEWAY_DEFAULT"] = f'{{"conn_type": "gateway", "host": "{address}"}}'
    os.environ["AIRFLOW__AIRGATE__DATA_ROOT"] = data_root(mode, home)
    part_list.PIECE_BYTES = PIECE_BYTES
    cutting.PIECE_BYTES = CUT_BYTES
    if mode == "s3":
        attach("s3", fs=s3_client(s3))
    if mode in ("row groups", "s3"):
        ingest.DECODED_TOGETHER = 1  # a page at a time, so that a row group may end between two of them
    with (home / "log").open("a") as log:  # what is said here is no line of the suite
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    Steps(home / "steps", last).watch()
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=2, try_number=1)
    task(mode).execute(
        {  # type: ignore[arg-type]
            "ti": ti,
            "task_state_store": FileStore(home / "task.json"),
            "asset_state_store": {RECORDS: FileStore(home / "asset.json")},
        }
    )
    (home / "succeeded").touch()

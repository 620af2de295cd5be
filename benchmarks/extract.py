"""Extract: pages of 1,000 records over loopback, from bytes to Parquet, against the floor of decoding them.

The floor is one requests session that decodes each page with orjson and forgets it: what checks the records and keeps
them takes longer. Airgate runs with all its features: calls that would be repeated, a locked schema, parts flushed to
the disk, a checkpoint behind each. Each variant runs in a process of its own, in turn; its CPU seconds and its peak
memory beyond its imports are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DISTINCT, PER_PAGE = 200, 1000
"""Pages that the server has; a longer collection repeats them."""

SCHEMA = {
    "properties": {
        **{f"i{number}": {"type": "integer"} for number in range(6)},
        **{f"f{number}": {"type": ["number", "null"]} for number in range(4)},
        **{f"s{number}": {"type": "string"} for number in range(5)},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": [*(f"i{number}" for number in range(6)), "at"],
}


def page(number: int) -> bytes:
    """The JSON of one page up to its cursor: about 300 KB, 16 fields a record."""
    records = [
        {
            **{f"i{field}": row * 31 + field for field in range(6)},
            **{f"f{field}": None if (row + field) % 7 == 0 else row / (field + 3) for field in range(4)},
            **{f"s{field}": f"text {row % 1000} {field}" for field in range(5)},
            "at": f"2013-01-{row % 28 + 1:02d}T{row % 24:02d}:00:00Z",
        }
        for row in range(number * PER_PAGE, (number + 1) * PER_PAGE)
    ]
    return json.dumps({"data": records})[:-1].encode() + b', "next_cursor": '


def serve() -> None:
    """Serve ``/{pages}/records`` until the parent closes stdin; the first line on stdout is the port."""
    pages = [page(number) for number in range(DISTINCT)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            target = urlsplit(self.path)
            number, count = int(parse_qs(target.query).get("cursor", ["0"])[0]), int(target.path.split("/")[1])
            begins, ends = pages[number % DISTINCT], b'"%d"}' % (number + 1) if number + 1 < count else b"null}"
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(begins) + len(ends)))
            self.end_headers()
            self.wfile.write(begins)
            self.wfile.write(ends)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


@contextmanager
def server() -> Iterator[str]:
    """A process that serves the pages; gives its address."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate()


Work = Callable[[], int]
"""Reads the collection; gives the number of records."""


def floor(address: str) -> Work:
    """The least: fetch, decode, forget."""
    import orjson
    import requests

    def work() -> int:
        session, cursor, count = requests.Session(), "0", 0
        while cursor is not None:
            answer = orjson.loads(session.get(f"{address}/records", params={"cursor": cursor}, timeout=60).content)
            count, cursor = count + len(answer["data"]), answer["next_cursor"]
        return count

    return work


class Kept:
    """A checkpoint in a file, as durable as the parts; or none at all."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path, self.durable = path, durable

    def load(self) -> None:
        """Nothing: each read begins anew."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep it."""
        if not self.durable:
            return
        new = self.path.with_suffix(".new")
        with new.open("w") as file:
            file.write(json.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def clear(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def airgate(address: str, durable: bool = True) -> Work:
    """What GatewayExtractOperator runs: calls of the hook, locked schema, durable parts with checkpoints, progress."""
    os.environ["AIRFLOW_CONN_BENCHMARK"] = json.dumps({"conn_type": "gateway", "host": address})
    import fsspec
    import pyarrow.json  # noqa: F401 - counted among the imports, not as work

    from airgate.data.extract import Collection, extract
    from airgate.data.progress import Progress
    from airgate.data.shape.schema import arrow_schema
    from airgate.data.store.storage import Folder
    from airgate.hooks import GatewayHook
    from airgate.operators.long_read import PageCalls
    from airgate.pagination import CursorPages, PageFetch, PageRequest

    if not durable:
        os.fsync = lambda descriptor: None
    paginator = CursorPages(limit=PER_PAGE)
    hook = GatewayHook("benchmark")
    fetch = PageFetch(PageCalls(hook), "/records")
    fetch(PageRequest(paginator.params(paginator.first())))  # Airflow imports some of its parts with the first call

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder, hook, Progress("GET /records") as progress:
            manifest = extract(
                Collection("GET /records", paginator, arrow_schema(SCHEMA)),
                fetch,
                Folder(fsspec.filesystem("file"), f"{folder}/out", f"file://{folder}/out"),
                Kept(Path(folder) / "checkpoint", durable=durable),
                [progress],
            )
            return manifest.written

    return work


def unsafe(address: str) -> Work:
    """Airgate without what a killed process needs: no checkpoint, nothing flushed to the disk."""
    return airgate(address, durable=False)


def httpoperator(address: str) -> Work:
    """What a DAG does with Airflow's HttpOperator and a pagination function: all answers are kept, then pandas."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - counted among the imports, not as work
    import requests

    def work() -> int:
        session, cursor, answers = requests.Session(), "0", []
        while cursor is not None:
            answer = session.get(f"{address}/records", params={"cursor": cursor}, timeout=60)
            answers.append(answer)
            cursor = answer.json()["next_cursor"]
        frame = pd.DataFrame([record for answer in answers for record in answer.json()["data"]])
        frame["at"] = pd.to_datetime(frame["at"])
        with tempfile.TemporaryDirectory() as folder:
            frame.to_parquet(f"{folder}/out.parquet")
        return len(frame)

    return work


def dlt(address: str) -> Work:
    """The rest_api source of dlt into Parquet files."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    from dlt.sources.rest_api import rest_api_source

    paginator = {"type": "cursor", "cursor_path": "next_cursor", "cursor_param": "cursor"}
    endpoint = {"path": "records", "params": {"limit": PER_PAGE}, "data_selector": "data", "paginator": paginator}
    source = rest_api_source(
        {"client": {"base_url": f"{address}/"}, "resources": [{"name": "records", "endpoint": endpoint}]}
    )

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            pipeline = dlt.pipeline(
                "bench",
                pipelines_dir=f"{folder}/pipelines",
                destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/out"),
                dataset_name="bench",
            )
            pipeline.run(source, loader_file_format="parquet")
            return int(pipeline.last_trace.last_normalize_info.row_counts["records"])

    return work


def airbyte(address: str) -> Work:
    """A declarative source of the Airbyte CDK, its records counted as they come: nothing is written."""
    import logging

    from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer, Type
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

    anything = {"type": "object", "additionalProperties": True}
    by_cursor = {
        "type": "CursorPagination",
        "cursor_value": "{{ response.get('next_cursor') }}",
        "stop_condition": "{{ not response.get('next_cursor') }}",
    }
    retriever = {
        "type": "SimpleRetriever",
        "requester": {"type": "HttpRequester", "url_base": f"{address}/", "path": "records", "http_method": "GET"},
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_token_option": {
                "type": "RequestOption",
                "inject_into": "request_parameter",
                "field_name": "cursor",
            },
            "pagination_strategy": by_cursor,
        },
    }
    stream = {
        "type": "DeclarativeStream",
        "name": "records",
        "retriever": retriever,
        "schema_loader": {"type": "InlineSchemaLoader", "schema": anything},
    }
    described = {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["records"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }
    wanted = {"name": "records", "json_schema": anything, "supported_sync_modes": ["full_refresh"]}
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": [{"stream": wanted, **modes}]})
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=described)

    def work() -> int:
        messages = source.read(logging.getLogger("airbyte"), {}, catalog, [])
        return sum(message.type is Type.RECORD for message in messages)

    return work


VARIANTS = {
    "floor": floor,
    "airgate": airgate,
    "unsafe": unsafe,
    "httpoperator": httpoperator,
    "dlt": dlt,
    "airbyte": airbyte,
}


def spent() -> float:
    """CPU seconds of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(name: str, address: str, rows: int) -> dict[str, float]:
    """Run a variant in this process; CPU and wall seconds and peak memory in MB, all beyond its imports."""
    work = VARIANTS[name](f"{address}/{rows // PER_PAGE}")
    memory, cpu, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, spent(), time.perf_counter()
    count = work()
    after = {"cpu": spent() - cpu, "wall": time.perf_counter() - wall}
    assert count == rows, count
    return {**after, "rss": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024}


def medians(address: str, rows: int, pythons: dict[str, str], runs: int) -> dict[str, dict[str, float]]:
    """Run the variants in turn; the median of each of their measures."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for _ in range(runs):
        for name, python in pythons.items():
            command = [python, __file__, "--variant", name, address, "--rows", str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-4000:]}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            time.sleep(0.2)
    return {
        name: {key: statistics.median(run[key] for run in each) for key in ("cpu", "wall", "rss")}
        for name, each in results.items()
    }


def size(rows: int) -> str:
    """How figures are named: ``200k``, ``2m``."""
    return f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else f"{rows // 1000}k"


def scale_figures(rows: int, median: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """CPU, memory and time at one size."""
    floor, ours = median["floor"], median["airgate"]
    return [
        {
            "figure": f"extract.floor_ratio.{size(rows)}",
            "value": round(ours["cpu"] / floor["cpu"], 2),
            "unit": "CPU seconds / CPU seconds of the floor",
            "better": "lower",
            "goal": 2.0,
            "peers": {name: round(each["cpu"] / floor["cpu"], 2) for name, each in median.items() if each is not ours},
        },
        {
            "figure": f"extract.rss_over_imports_mb.{size(rows)}",
            "value": round(ours["rss"], 1),
            "unit": "MB",
            "better": "lower",
            "goal": 64,
            "peers": {name: round(each["rss"], 1) for name, each in median.items() if each is not ours},
        },
        {
            "figure": f"extract.wall_seconds.{size(rows)}",
            "value": round(ours["wall"], 2),
            "unit": "s",
            "better": "lower",
            "peers": {name: round(each["wall"], 2) for name, each in median.items() if each is not ours},
        },
    ]


def peer_figures(median: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Against the peers, and against airgate without checkpoints and flushing."""
    ours, found = median["airgate"], []
    for name, goal in (("dlt", 9.0), ("httpoperator", 2.5)):
        if name in median:
            value = round(median[name]["cpu"] / ours["cpu"], 2)
            unit = "CPU seconds of the peer / CPU seconds"
            seconds = {name: round(median[name]["cpu"], 2), "airgate": round(ours["cpu"], 2)}
            figure = {"figure": f"extract.{name}_speedup", "value": value, "unit": unit, "better": "higher"}
            found.append({**figure, "goal": goal, "peers": seconds})
    overhead = ours["cpu"] / median["unsafe"]["cpu"] - 1
    found.append(
        {
            "figure": "extract.checkpoint_overhead",
            "value": round(100 * overhead, 1),
            "unit": "% of CPU seconds",
            "better": "lower",
            "goal": 10.0,
            "peers": {"unsafe": 0.0},
        }
    )
    return found


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--rows", type=int, help="one size instead of 200,000 and 2,000,000; whole thousands")
    parser.add_argument("--runs", type=int, default=3, help="of each variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants beside floor, airgate and unsafe")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--variant", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.variant:
        print(json.dumps(measure(*options.variant, options.rows)))
        return
    if options.rows is not None and (options.rows < PER_PAGE or options.rows % PER_PAGE):
        parser.error(f"--rows must be whole thousands, not {options.rows}")
    sizes = [options.rows] if options.rows else [200_000, 2_000_000]
    home = tempfile.TemporaryDirectory(prefix="airgate-bench-")
    os.environ |= {"AIRFLOW_HOME": home.name, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    pythons = dict.fromkeys(("floor", "airgate", "unsafe"), sys.executable)
    peers = options.only if options.only is not None else ["httpoperator", "dlt", "airbyte"]
    figures = []
    with server() as address:
        for place, rows in enumerate(sizes):
            here = dict(pythons)
            if place == 0:  # the peers keep all in memory, or take minutes
                from _peers import REQUIREMENTS, peer_python

                for peer in peers:
                    python = peer_python(peer) if peer in REQUIREMENTS else sys.executable
                    here |= {peer: python} if python else {}
            median = medians(address, rows, here, options.runs)
            figures += scale_figures(rows, median) + (peer_figures(median) if place == 0 else [])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    for figure in figures:
        if options.json:
            print(json.dumps({"bench": "extract", **figure, "n": options.runs, "machine": machine}))
        else:
            goal = f"goal {figure['goal']}; " if "goal" in figure else ""
            print(f"{figure['figure']:<36} {figure['value']} {figure['unit']} ({goal}{figure['peers']})")


if __name__ == "__main__":
    main()

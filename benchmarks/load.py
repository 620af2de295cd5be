"""Load: 200,000 rows of 16 columns into DuckDB and PostgreSQL, against dlt, pandas.to_sql and COPY.

Into DuckDB it goes end to end, from the pages of the extract benchmark to the table, and CPU seconds are compared with
that benchmark's floor, which decodes the pages and forgets them: it writes neither a part nor a table. Airgate keeps
checkpoints, flushes its parts to the disk, and loads them in one transaction. Into a PostgreSQL that this script
starts, which flushes its log to the disk, it goes from an Arrow table in memory, and seconds of the clock are compared,
since half of the work is the server's. Each variant runs in a process of its own, in turn, and into a new database.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import PER_PAGE, SCHEMA, Kept, Work, floor, server, spent

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 200_000

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' PostgreSQL


def rows() -> pa.Table:
    """What the pages of the extract benchmark hold, as one Arrow table."""
    import datetime

    import pyarrow as pa

    numbers = range(ROWS)
    start = datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC)
    moments = [start + datetime.timedelta(hours=row % 8000) for row in numbers]
    return pa.table(
        {
            **{f"i{field}": [row * 31 + field for row in numbers] for field in range(6)},
            **{
                f"f{field}": [None if (row + field) % 7 == 0 else row / (field + 3) for row in numbers]
                for field in range(4)
            },
            **{f"s{field}": [f"text {row % 1000} {field}" for row in numbers] for field in range(5)},
            "at": pa.array(moments, pa.timestamp("us", "UTC")),
        }
    )


def duckdb(address: str) -> Work:
    """Extract into Parquet parts, then load these: what two tasks do."""
    import duckdb  # noqa: F401 - counted among the imports, not as work
    import fsspec
    import pyarrow.json  # noqa: F401 - the same

    from airgate.client.gateway import Gateway
    from airgate.client.message import Request, join_url
    from airgate.client.session import GatewaySession
    from airgate.data.dialects.duckdb import open_duckdb
    from airgate.data.extract import Collection, extract
    from airgate.data.frames.reading import read_tables
    from airgate.data.loads.load import Load
    from airgate.data.shape.schema import arrow_schema
    from airgate.data.store.storage import Folder
    from airgate.pagination import CursorPages

    opened = GatewaySession(Gateway(address))  # loads the certificates, which requests does when it is imported

    def work() -> int:
        with tempfile.TemporaryDirectory() as name, opened as session:
            folder = Folder(fsspec.filesystem("file"), f"{name}/out", f"file://{name}/out")
            manifest = extract(
                Collection("GET /records", CursorPages(limit=PER_PAGE), arrow_schema(SCHEMA)),
                lambda page: session.call(Request("GET", join_url(address, "/records", params=page.params))),
                folder,
                Kept(Path(name) / "checkpoint"),
            )
            with open_duckdb(f"{name}/w.duckdb") as warehouse:
                load = Load("records", (), "bench", mode="append")
                return warehouse.load(load, read_tables([manifest], lambda uri: folder)).inserted

    return work


def dlt_duckdb(address: str) -> Work:
    """The rest_api source of dlt into DuckDB."""
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
                destination=dlt.destinations.duckdb(f"{folder}/w.duckdb"),
                dataset_name="bench",
            )
            pipeline.run(source, loader_file_format="parquet")
            return int(pipeline.last_trace.last_normalize_info.row_counts["records"])

    return work


def postgres(uri: str, mode: str, load_id: str) -> Work:
    """One load of all rows."""
    import adbc_driver_postgresql.dbapi  # noqa: F401 - counted among the imports, not as work

    from airgate.data.dialects.postgres import open_postgres
    from airgate.data.loads.load import Load

    table = rows()

    def work() -> int:
        with open_postgres(uri) as warehouse:
            parts = (table.slice(start, 20_000) for start in range(0, ROWS, 20_000))
            key = ("i0",) if mode == "merge" else ()
            return warehouse.load(Load("records", key, load_id, mode=mode), parts).rows

    return work


def pg_append(uri: str) -> Work:
    """Airgate, into a table that it makes."""
    return postgres(uri, "append", "first")


def pg_merge(uri: str) -> Work:
    """Airgate: every row is there already, and is written anew."""
    postgres(uri, "merge", "first")()
    return postgres(uri, "merge", "second")


def pg_to_sql(uri: str) -> Work:
    """Pandas through SQLAlchemy and psycopg2, as its documentation shows it."""
    import sqlalchemy

    frame = rows().to_pandas()
    engine = sqlalchemy.create_engine(uri.replace("postgresql://", "postgresql+psycopg2://"))

    def work() -> int:
        frame.to_sql("records", engine, index=False)
        return ROWS

    return work


def pg_copy(uri: str) -> Work:
    """COPY of the same rows as text, which stands ready in memory, into a table that stands ready: the least."""
    import io

    import psycopg2
    import pyarrow.csv as csv

    text = io.BytesIO()
    csv.write_csv(rows(), text)
    connection = psycopg2.connect(uri)
    cursor = connection.cursor()
    columns = [
        *(f"i{number} bigint" for number in range(6)),
        *(f"f{number} double precision" for number in range(4)),
        *(f"s{number} text" for number in range(5)),
        "at timestamptz",
    ]
    cursor.execute(f"CREATE TABLE records ({', '.join(columns)})")
    connection.commit()

    def work() -> int:
        text.seek(0)
        cursor.copy_expert("COPY records FROM STDIN (FORMAT csv, HEADER)", text)
        connection.commit()
        return ROWS

    return work


def pg_dlt(uri: str) -> Work:
    """dlt, with the Arrow table as its resource."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    table = rows()
    destination = dlt.destinations.postgres(uri.replace("@", ":any@"))  # it wants a password where none is asked for

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination=destination, dataset_name="bench")
            pipeline.run([table], table_name="records", write_disposition="append")
        return ROWS

    return work


PAGED = {"floor": floor, "duckdb": duckdb, "dlt_duckdb": dlt_duckdb}
IN_POSTGRES = {
    "pg_append": pg_append,
    "pg_merge": pg_merge,
    "pg_copy": pg_copy,
    "pg_to_sql": pg_to_sql,
    "pg_dlt": pg_dlt,
}
VARIANTS = PAGED | IN_POSTGRES


def measure(name: str, place: str) -> dict[str, float]:
    """Run a variant in this process: CPU and wall seconds beyond its imports."""
    work = VARIANTS[name](place)
    cpu, wall = spent(), time.perf_counter()
    count = work()
    after = {"cpu": spent() - cpu, "wall": time.perf_counter() - wall}
    assert count == ROWS, count
    return after


def medians(paged: str, uri: str, pythons: dict[str, str], runs: int) -> dict[str, dict[str, float]]:
    """Run the variants in turn; the median of each of their measures."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for run in range(runs):
        for name, python in pythons.items():
            place = paged if name in PAGED else _database(uri, f"{name}_{run}")
            command = [python, __file__, "--variant", name, place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-4000:]}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            time.sleep(0.2)
    return {
        name: {key: statistics.median(run[key] for run in each) for key in ("cpu", "wall")}
        for name, each in results.items()
    }


def _database(uri: str, name: str) -> str:
    """A new database; what earlier variants left to be written is written first."""
    import psycopg2

    connection = psycopg2.connect(uri)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.cursor().execute("CHECKPOINT")
    connection.close()
    return uri.rpartition("/")[0] + f"/{name}"


def figures(median: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """What is claimed."""
    cpu = {name: round(each["cpu"], 2) for name, each in median.items()}
    wall = {name: round(each["wall"], 2) for name, each in median.items()}
    found = [
        _figure("load.duckdb_floor_ratio", cpu, "duckdb", "floor", 2.5, "CPU seconds / CPU seconds of the floor"),
        _figure("load.duckdb_dlt_speedup", cpu, "dlt_duckdb", "duckdb", 8, "CPU seconds of dlt / CPU seconds"),
        _figure("load.pg_append_to_sql_speedup", wall, "pg_to_sql", "pg_append", 15, "seconds of to_sql / seconds"),
        _figure("load.pg_append_dlt_speedup", wall, "pg_dlt", "pg_append", 8, "seconds of dlt / seconds"),
    ]
    if "pg_merge" in wall:
        found.append(
            {
                "figure": "load.pg_merge_rows_per_s",
                "value": round(ROWS / median["pg_merge"]["wall"]),
                "unit": "rows/s, all of which are in the table before",
                "better": "higher",
                "goal": 80_000,
                "peers": {"pg_copy": round(ROWS / median["pg_copy"]["wall"])},
            }
        )
    return [figure for figure in found if figure]


def _figure(name: str, seconds: dict[str, float], above: str, below: str, goal: float, unit: str) -> dict[str, Any]:
    """A ratio; nothing when a peer is missing."""
    if above not in seconds or below not in seconds:
        return {}
    return {
        "figure": name,
        "value": round(seconds[above] / seconds[below], 2),
        "unit": unit,
        "better": "lower" if below == "floor" else "higher",
        "goal": goal,
        "peers": {above: seconds[above], below: seconds[below]},
    }


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=5, help="of each variant")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="these variants (default: all)")
    parser.add_argument("--variant", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(*options.variant)))
        return
    from _peers import peer_python

    from tests.postgres_server import postgres_server

    pythons = dict.fromkeys(options.only or VARIANTS, sys.executable)
    if peers := [name for name in pythons if "dlt" in name]:
        python = peer_python("dlt")
        pythons = {
            name: python if name in peers else here for name, here in pythons.items() if python or name not in peers
        }
    with server() as address, postgres_server(fsync="on") as postgres:
        median = medians(f"{address}/{ROWS // PER_PAGE}", postgres.uri, pythons, options.runs)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    for figure in figures(median):
        if options.json:
            print(json.dumps({"bench": "load", **figure, "n": options.runs, "machine": machine}))
        else:
            print(
                f"{figure['figure']:<36} {figure['value']} {figure['unit']} (goal {figure['goal']}; {figure['peers']})"
            )


if __name__ == "__main__":
    main()

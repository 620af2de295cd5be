"""Reads whose process is killed: at every page, row group, part, list, checkpoint and commit in turn, then tried again.

Each case runs the task in a process that dies at one step, and again in one that lives; its data set is then compared,
record by record, with the collection. Some cases die several times in a row. One JSON line a case, and a summary last.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from airgate.data.store.storage import Folder
from interrupts import INTERRUPTS, Interrupted
from tests.faults import extracting
from tests.faults.extracting import IN_FLIGHT, MODES, PART_ROWS, Mode
from tests.faults.records_service import BAD_EVERY, PAGE, PARENTS, TOTAL, RecordsService, record, records_service
from tests.s3_server import BUCKET, s3_client, s3_server

PATIENCE = 60.0
"""Seconds for a process; one that takes longer fails the case."""

STORMS = 5
"""Cases for each mode in which the process dies several times."""

_PROCESSES = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Case:
    """Where the processes of one task die, one after the other."""

    mode: Mode
    steps: tuple[int, ...]


def cases(counts: dict[Mode, int], seed: int) -> list[Case]:
    """Every step of every mode once, and storms.

    Args:
        counts: Steps of an undisturbed read.
        seed: The same one gives the same storms.
    """
    draw = random.Random(seed)
    made = [Case(mode, (step,)) for mode, count in counts.items() for step in range(1, count + 1)]
    for mode, count in counts.items():
        made += [
            Case(mode, tuple(draw.randint(1, count // 2) for _ in range(draw.randint(2, 4)))) for _ in range(STORMS)
        ]
    return made


def sample(some: Sequence[Case], number: int, seed: int) -> list[Case]:
    """So many of them, each mode as often as the others, at steps that the seed draws."""
    draw = random.Random(seed)
    modes = [mode for mode in MODES if any(case.mode == mode for case in some)]
    return [draw.choice([case for case in some if case.mode == modes[n % len(modes)]]) for n in range(number)]


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    died: int
    """Processes that were killed."""
    died_at: list[str]
    lost: int
    doubled: int
    wrong: list[str]
    """Whatever else is not as it should be."""
    again: int
    """Most pages that a try asked for although an earlier one had."""

    @property
    def held(self) -> bool:
        """Whether the promise did."""
        return not (self.lost or self.doubled or self.wrong)


def everything(mode: Mode) -> list[tuple[str | None, int]]:
    """Parent and number of each record, in order."""
    if mode == "children":
        return [(name, number) for name, count in PARENTS.items() for number in range(count)]
    return [(None, number) for number in range(TOTAL)]


def fits(mode: Mode, number: int) -> bool:
    """Whether a record fits the schema of a mode. An inferred one has seen the damaged records, and takes them."""
    return mode == "inferred" or number % BAD_EVERY != 0


def most_again(mode: Mode) -> int:
    """Pages that may be asked for once more by one death: those of a part that was not durable, and what was ahead."""
    if "export" in mode:  # one file, and where a range of it begins is what is durable
        return 1
    if mode == "inferred":  # until there is a schema nothing can be durable, and it is inferred from 1000 records
        return -(-TOTAL // PAGE)
    # A read of children may have two pages of each of its parents waiting, and another in hand.
    ahead = {"in flight": 2 * IN_FLIGHT, "prefetch": 1, "children": 3 * IN_FLIGHT}.get(mode, 0)
    return -(-PART_ROWS // PAGE) + 1 + ahead


@dataclass(frozen=True)
class World:
    """What outlives the processes."""

    service: RecordsService
    s3: str
    """Address of the S3 server."""
    home: Path
    """Folder for all else."""

    def folder(self, mode: Mode) -> Folder:
        """Where the data set goes."""
        uri = f"{extracting.data_root(mode, self.home)}/d/r/t"
        fs = s3_client(self.s3) if mode == "s3" else fsspec.filesystem("file")
        return Folder(fs, fs._strip_protocol(uri), uri)

    def begin_anew(self, mode: Mode) -> None:
        """Remove what earlier cases left."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if mode == "s3":
            self.folder(mode).remove(re.compile(".*"), but=())


def run_case(case: Case, world: World) -> Outcome:
    """Let the processes die one after the other, then one live, and look at what is there."""
    world.begin_anew(case.mode)
    service, home = world.service, world.home
    died, died_at, wrong, asked_before, again = 0, [], [], set[str](), 0
    for step in (*case.steps, 0):
        service.asked.clear()
        process = _PROCESSES.Process(target=extracting.extract, args=(case.mode, service.address, world.s3, home, step))
        process.start()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            wrong.append("a process did not end")
            break
        again = max(again, len(asked_before & set(service.asked)))
        asked_before |= set(service.asked)
        if process.exitcode == -signal.SIGKILL:
            died += 1
            died_at.append((home / "steps").read_text().splitlines()[-1])
            wrong += _ahead_of_its_data(home)
        elif process.exitcode:
            wrong.append(f"a try ended with exit code {process.exitcode}")
    if not (home / "succeeded").exists():
        return Outcome(died, died_at, 0, 0, [*wrong, "no try succeeded"], again)
    return _compared(case.mode, world, died, died_at, wrong, again)


def _ahead_of_its_data(home: Path) -> list[str]:
    """A watermark without the data set that it tells of."""
    there = [path for path in (home / "asset.json", home / "data/_watermarks/records/watermark.json") if path.exists()]
    complete = (home / "data/d/r/t/manifest.json").exists()
    return [f"{path.name} is ahead of its data" for path in there if not complete]


def _compared(mode: Mode, world: World, died: int, died_at: list[str], wrong: list[str], again: int) -> Outcome:
    folder = world.folder(mode)
    manifest = json.loads(folder.read("manifest.json"))
    contents = {file["name"]: folder.read(file["name"]) for file in manifest["parts"] + manifest["dead_letters"]}
    wrong += [
        f"{file['name']} is not the file of the manifest"
        for file in manifest["parts"] + manifest["dead_letters"]
        if hashlib.sha256(contents[file["name"]]).hexdigest() != file["sha256"]
    ]
    tables = [pq.read_table(io.BytesIO(contents[part["name"]]), partitioning=None) for part in manifest["parts"]]
    table = pa.concat_tables(tables, promote_options="permissive").to_pydict()
    parents = table.get("parent") or [None] * len(table["id"])
    found = list(zip(parents, table["id"], strict=True))
    wanted = [(name, number) for name, number in everything(mode) if fits(mode, number)]
    lines = [line for file in manifest["dead_letters"] for line in contents[file["name"]].splitlines()]
    letters = sorted(_number(json.loads(line)["record"]) for line in lines)
    if letters != sorted(number for _, number in everything(mode) if not fits(mode, number)):
        wrong.append(f"the dead letters are {letters}")
    if (sorted(found) if mode == "partitioned" else found) != wanted:
        wrong.append("the records are not those of the collection in its order")
    if manifest["received"] != len(everything(mode)):
        wrong.append(f"received {manifest['received']}")
    if left := set(folder.sizes()) - contents.keys() - {"manifest.json", "schema.json"}:
        wrong.append(f"left behind: {sorted(left)}")
    if again > most_again(mode):
        wrong.append(f"{again} pages were asked for again, not {most_again(mode)} at the most")
    if mode == "incremental":
        store = json.loads((world.home / "asset.json").read_text())
        if store["airgate.watermark"]["value"] != record(1)["at"].replace("Z", "+00:00"):
            wrong.append(f"the watermark is {store}")
    lost, doubled = (Counter(wanted) - Counter(found)).total(), (Counter(found) - Counter(wanted)).total()
    return Outcome(died, died_at, lost, doubled, wrong, again)


def _number(text: str) -> int:
    """Of a record, JSON or CSV."""
    return int(json.loads(text)["id"] if text.startswith("{") else text.partition(",")[0])


def steps_of(mode: Mode, world: World) -> int:
    """How many steps an undisturbed read has."""
    outcome = run_case(Case(mode, ()), world)
    assert outcome.held, outcome
    return len((world.home / "steps").read_text().splitlines())


def run_suite(
    home: Path, choose: Callable[[list[Case]], Sequence[Case]], seed: int, say: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run the cases that are chosen of all; give the summary.

    Args:
        home: Folder for all that is written.
        choose: Of all cases, those to run.
        seed: What they are drawn with.
        say: Told each line.
    """
    began = time.monotonic()
    _PROCESSES.set_forkserver_preload(["tests.faults.extracting", "s3fs"])
    lines = []
    with records_service() as service, s3_server() as s3:
        s3_client(s3).mkdir(BUCKET)
        world = World(service, s3, home / "case")
        counts = {mode: steps_of(mode, world) for mode in MODES}
        for case in choose(cases(counts, seed)):
            outcome = run_case(case, world)
            lines.append({"suite": "extract", **asdict(case), **asdict(outcome), "held": outcome.held})
            say(lines[-1])
    total = summary(lines, counts, seed, time.monotonic() - began)
    say(total)
    return total


def summary(lines: Sequence[dict[str, Any]], counts: dict[Mode, int], seed: int, seconds: float) -> dict[str, Any]:
    """The last line."""
    return {
        "suite": "extract",
        "summary": True,
        "seed": seed,
        "runs": len(lines),
        "held": sum(line["held"] for line in lines),
        "killed": sum(bool(line["died"]) for line in lines),
        "lost": sum(line["lost"] for line in lines),
        "doubled": sum(line["doubled"] for line in lines),
        "most_pages_again": {
            mode: max((line["again"] for line in lines if line["mode"] == mode), default=0) for mode in counts
        },
        "steps": counts,
        "died_at": Counter(step for line in lines for step in line["died_at"]),
        "seconds": round(seconds),
    }


def main(arguments: Sequence[str]) -> int:
    """Run the suite; 0 when every read met its kill, and none lost or doubled a record."""
    parser = argparse.ArgumentParser(prog="scripts/test --faults extract", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="makes storms and samples reproducible")
    parser.add_argument("--runs", type=int, default=0, help="a sample of so many cases instead of all")
    options = parser.parse_args(arguments)

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    def choose(some: list[Case]) -> Sequence[Case]:
        return sample(some, options.runs, options.seed) if options.runs else some

    INTERRUPTS.install()
    try:
        with tempfile.TemporaryDirectory(prefix="airgate-faults-") as folder:
            total = run_suite(Path(folder), choose, options.seed, say)
    except Interrupted as interrupted:
        return interrupted.exit_code
    # A kill that missed its process proves nothing. Threads make the number of steps vary by a few.
    return 0 if total["held"] == total["runs"] and total["killed"] >= 0.95 * total["runs"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

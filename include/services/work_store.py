"""Where the work service keeps its jobs: an SQLite file, so that they outlive its process."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from include.services.work_jobs import Job
from include.services.work_orders import Apply, Deployment, Destroy, Order, Plan, digest

_TABLES: Final = """
create table if not exists jobs (
    number integer primary key autoincrement,
    kind text not null,
    body blob not null,
    key text unique,
    fingerprint text not null,
    reference text,
    submitted_at real not null,
    cancelled_at real,
    before blob
);
create index if not exists jobs_by_reference on jobs (reference);
create table if not exists ledger (at real not null, event text not null, job text not null);
create table if not exists settings (name text primary key, value text not null);
"""


class OtherOrder(Exception):
    """The key has gone with another order before."""


class Store:
    """The jobs, and a ledger of what was asked for.

    Args:
        path: The file; ``:memory:`` for none.
    """

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode = wal")
        self._db.executescript(_TABLES)
        self._db.execute(
            "insert or ignore into settings values ('signing', ?)", (secrets.token_hex(32),)
        )  # one for all processes that share the file
        self._signing = self._one("select value from settings where name = 'signing'")["value"]

    def submit(self, kind: str, order: Order, key: str | None) -> tuple[Job, bool]:
        """Take an order up; gives its job, and whether an earlier order under the key had made it.

        Raises:
            OtherOrder: The key has gone with another order.
        """
        body = msgspec.json.encode(order)
        print_ = digest(kind, body.decode())
        self._db.execute("begin immediate")
        try:
            known = self._row("select * from jobs where key = ?", key) if key is not None else None
            if known is None:
                number = self._insert(kind, order, key, body, print_)
                known = self._one("select * from jobs where number = ?", number)
                event = "submitted"
            else:
                event = "replayed" if known["fingerprint"] == print_ else "refused"
            job = Job.of(known)
            self._note(event, job.id)
        finally:
            self._db.execute("commit")
        if event == "refused":
            raise OtherOrder
        return job, event == "replayed"

    def job(self, id_: str) -> Job | None:
        """The job of that name."""
        _, _, number = id_.rpartition("-")
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            return None
        row = self._row("select * from jobs where number = ?", int(number))
        job = None if row is None else Job.of(row)
        return job if job is not None and job.id == id_ else None

    def jobs(self, *, key: str | None, reference: str | None) -> list[Job]:
        """The newest hundred, of that key and that reference where one is given."""
        rows = self._db.execute(
            "select * from jobs where (?1 is null or key = ?1) and (?2 is null or reference = ?2) "
            "order by number desc limit 100",
            (key, reference),
        )
        return [Job.of(row) for row in rows]

    def cancel(self, job: Job) -> bool:
        """End a job; False when it is over."""
        now = time.time()
        self._note("cancel asked", job.id)
        if job.over(now):
            return False
        self._db.execute("update jobs set cancelled_at = ? where number = ?", (now, job.number))
        self._note("cancelled", job.id)
        return True

    def deployed(self, environment: str, now: float) -> Job | None:
        """The deployment whose version runs in an environment."""
        return self._latest(["deployments"], environment, now)

    def resources(self, environment: str, now: float) -> tuple[list[str], Job | None]:
        """What there is in an environment, and the job that made or took it."""
        job = self._latest(["applies", "destroys"], environment, now)
        return (list(job.before or []) if job is not None and job.kind == "applies" else []), job

    def changing(self, environment: str, now: float) -> Job | None:
        """A job that is at work on an environment's resources."""
        found = [each for each in self._of(["applies", "destroys"], environment) if not each.over(now)]
        return found[-1] if found else None

    def truth(self, now: float) -> dict[str, Any]:
        """What was asked for and how the jobs stand, in numbers."""
        events = dict(self._db.execute("select event, count(*) from ledger group by event"))
        jobs = [Job.of(row) for row in self._db.execute("select * from jobs")]
        states = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
        kinds: dict[str, int] = {}
        for job in jobs:
            states[job.status(now)] += 1
            kinds[job.kind] = kinds.get(job.kind, 0) + 1
        return {
            "jobs": len(jobs),
            "kinds": kinds,
            "states": states,
            "submissions": sum(events.get(name, 0) for name in ("submitted", "replayed", "refused")),
            "replays": events.get("replayed", 0),
            "refused_keys": events.get("refused", 0),
            "cancel_requests": events.get("cancel asked", 0),
            "cancellations": events.get("cancelled", 0),
        }

    def ledger(self) -> list[dict[str, Any]]:
        """What was asked for, in order."""
        rows = self._db.execute("select at, event, job from ledger order by rowid")
        return [dict(row) for row in rows]

    def reset(self) -> None:
        """Forget all jobs; numbers go on, so that an old name never means another job."""
        self._db.execute("delete from jobs")
        self._db.execute("delete from ledger")

    def signature(self, path: str) -> str:
        """What a signed path has to be asked with."""
        return hmac.new(self._signing.encode(), path.encode(), "sha256").hexdigest()

    def _insert(self, kind: str, order: Order, key: str | None, body: bytes, print_: str) -> int:
        now = time.time()
        before = msgspec.json.encode(self._before(order, now))
        cursor = self._db.execute(
            "insert into jobs (kind, body, key, fingerprint, reference, submitted_at, before) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            (kind, body, key, print_, order.reference, now, before),
        )
        return int(cursor.lastrowid or 0)

    def _before(self, order: Order, now: float) -> Any:
        if isinstance(order, Deployment):
            running = self.deployed(order.environment, now)
            return running.order.version if running is not None and isinstance(running.order, Deployment) else None
        if isinstance(order, Plan | Destroy):
            return self.resources(order.environment, now)[0]
        if isinstance(order, Apply):
            plan = self.job(order.plan)
            return plan.order.resources if plan is not None and isinstance(plan.order, Plan) else []
        return None

    def _latest(self, kinds: Iterable[str], environment: str, now: float) -> Job | None:
        done = [job for job in self._of(kinds, environment) if job.succeeded(now)]
        return max(done, key=lambda job: (job.ends_at, job.number), default=None)

    def _of(self, kinds: Iterable[str], environment: str) -> list[Job]:
        wanted = tuple(kinds)
        rows = self._db.execute(
            f"select * from jobs where kind in ({', '.join('?' * len(wanted))}) order by number",  # noqa: S608
            wanted,
        )
        return [job for row in rows if getattr((job := Job.of(row)).order, "environment", None) == environment]

    def _note(self, event: str, job: str) -> None:
        self._db.execute("insert into ledger values (?, ?, ?)", (time.time(), event, job))

    def _row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
        return row

    def _one(self, statement: str, *values: Any) -> sqlite3.Row:
        row = self._row(statement, *values)
        assert row is not None
        return row

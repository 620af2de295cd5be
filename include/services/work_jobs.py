"""One job of the work service. How it stands is computed from when it began, so nothing is lost with a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from include.services.work_orders import KINDS, Order

_FAILS_AT: Final = 0.6
"""Share of its time after which a job fails that is to fail."""
_QUEUED: Final = 0.1
"""Share of its time that it only waits."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the store."""

    number: int
    kind: str
    """The path that took the order."""
    order: Order
    submitted_at: float
    """Unix time."""
    cancelled_at: float | None
    before: Any
    """What stood where it puts something, when it was ordered."""

    @classmethod
    def of(cls, row: Any) -> Job:
        """What a row of the table holds."""
        order = msgspec.json.decode(row["body"], type=KINDS[row["kind"]])
        before = None if row["before"] is None else msgspec.json.decode(row["before"])
        return cls(row["number"], row["kind"], order, row["submitted_at"], row["cancelled_at"], before)

    @property
    def id(self) -> str:
        """Its name."""
        return f"{self.order.singular}-{self.number}"

    @property
    def ends_at(self) -> float:
        """Unix time at which it is or was over."""
        own = self.submitted_at + self.order.seconds * (1.0 if self.order.fail is None else _FAILS_AT)
        return own if self.cancelled_at is None else self.cancelled_at

    def status(self, now: float) -> str:
        """The word for how it stands: queued, running, succeeded, failed, cancelled."""
        if self.cancelled_at is not None:
            return "cancelled"
        if now >= self.ends_at:
            return "succeeded" if self.order.fail is None else "failed"
        return "queued" if now < self.submitted_at + _QUEUED * self.order.seconds else "running"

    def succeeded(self, now: float) -> bool:
        """Whether its effect has happened."""
        return self.status(now) == "succeeded"

    def over(self, now: float) -> bool:
        """Whether nothing more comes."""
        return self.status(now) not in {"queued", "running"}

    def document(self, now: float) -> dict[str, Any]:
        """Its status document."""
        status, share = self.status(now), self._share(now)
        failed = status == "failed"
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.order.name,
            "reference": self.order.reference,
            "status": status,
            "percent": round(100 * share, 1),
            "phase": "" if self.over(now) else self._phase(share),
            "message": self._message(status, share),
            "submitted_at": self.submitted_at,
            "ended_at": self.ends_at if self.over(now) else None,
            "result": self.order.result(self.id, self.before) if status == "succeeded" else None,
            "error": {"message": self.order.fail, "retryable": self.order.transient} if failed else None,
        }

    def log(self, now: float) -> str:
        """What it wrote so far, a line a phase."""
        share = self._share(now)
        step = 1 / len(self.order.phases)
        lines = [f"{self.id}: queued"]
        for position, phase in enumerate(self.order.phases):
            if share > position * step or share == 1.0:
                lines.append(f"{self.id}: {phase}")
        status = self.status(now)
        if self.over(now):
            lines.append(f"{self.id}: {status}" + (f": {self.order.fail}" if status == "failed" else ""))
        return "\n".join(lines) + "\n"

    def _share(self, now: float) -> float:
        if not self.order.seconds:
            return 1.0
        return max(0.0, min(1.0, (min(now, self.ends_at) - self.submitted_at) / self.order.seconds))

    def _phase(self, share: float) -> str:
        if share < _QUEUED:
            return ""
        return self.order.phases[min(int(share * len(self.order.phases)), len(self.order.phases) - 1)]

    def _message(self, status: str, share: float) -> str:
        if status == "failed":
            return str(self.order.fail)
        return {"queued": "waits for its turn", "running": f"{self._phase(share)} {self.order.name}"}.get(status, "")

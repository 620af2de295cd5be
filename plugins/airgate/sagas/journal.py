"""The journal of a saga: XComs of a task that never runs.

Airflow deletes a task's own XComs when its next try begins, before any code of ours, and lets no other task read its
state store. The saga's task ``journal`` is an ``EmptyOperator``, which the scheduler marks as succeeded without
starting a process: what is written there stays for as long as the run does, whatever is retried, cleared or killed, and
any task of the run may read it (measured on Airflow 3.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.policy.saga.effects import Entry


@dataclass(frozen=True, slots=True)
class XComJournal:
    """The journal of one saga of one run; of a mapped saga, that of one map index."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any, task_id: str) -> XComJournal:
        """The journal that a task instance shares with the others of its saga."""
        return cls(ti.dag_id, ti.run_id, task_id, -1 if ti.map_index is None else ti.map_index)

    def read(self, name: str) -> Any:
        """The entry, None without one."""
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_one(key=name, **self._place())

    def write(self, name: str, entry: Entry) -> None:
        """Write an entry; durable when this returns."""
        from airflow.sdk.execution_time.xcom import XCom

        XCom.set(name, dict(entry), **self._place())

    def _place(self) -> dict[str, Any]:
        return {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id, "map_index": self.map_index}

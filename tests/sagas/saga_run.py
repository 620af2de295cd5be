"""Runs of DAGs with sagas, task by task as ``dag.test()`` runs them, that can be gone on with after anything happened.

``dag.test()`` itself begins a new run at each call. What is done to a run here is what the scheduler and the API do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import DAG

PATIENCE = 90.0
"""Seconds that a run may take."""


@dataclass
class SagaRun:
    """One run of a DAG."""

    dag: DAG
    run_id: str
    answers: list[str] = field(default_factory=list)
    """What a person says to each question, in turn."""
    questions: list[str] = field(default_factory=list)
    """What was asked, by task id."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Subject and body of each question."""
    nobody: bool = False
    """Nobody answers; the scheduler ends the wait when its time is over."""

    @classmethod
    def asked_for(cls, dag: DAG, run_id: str | None = None, conf: dict[str, Any] | None = None) -> SagaRun:
        """Make a run; nothing of it is done yet."""
        from airflow.sdk import timezone
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        scheduler_dag = _stored(dag)
        now = timezone.utcnow()
        run_id = run_id or f"run-{time.monotonic_ns()}"
        with create_session() as session:
            scheduler_dag.create_dagrun(
                run_id=run_id, logical_date=now, data_interval=(now, now), run_after=now, run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST, state="running", start_date=now, conf=conf, session=session,
            )  # fmt: skip
        return cls(dag, run_id)

    def go(self, before: Callable[[SagaRun], None] | None = None) -> SagaRun:
        """Run what is to be run until the run has ended.

        Args:
            before: Called each time before tasks are started.
        """
        from airflow.utils.session import create_session

        scheduler_dag, ends = _stored(self.dag), time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < ends, self.states()
            if before is not None:
                before(self)
            with create_session() as session:
                dag_run = self._dag_run(session)
                if dag_run.state not in {"running", "queued"}:
                    return self
                dag_run.dag = scheduler_dag
                dag_run.state = "running"
                self._schedule(dag_run, session)
            if not self._start_scheduled():
                self._answer()
                time.sleep(0.1)

    def _schedule(self, dag_run: Any, session: Any) -> None:
        from airflow.sdk import timezone

        for ti in dag_run.update_state(session=session)[0]:
            if ti.state != "up_for_reschedule":
                ti.try_number += 1
            ti.state, ti.scheduled_dttm = "scheduled", timezone.utcnow()

    def _start_scheduled(self) -> bool:
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        with create_session() as session:
            scheduled = [
                ti for ti in self._dag_run(session).get_task_instances(session=session) if ti.state == "scheduled"
            ]
            session.expunge_all()
        for ti in sorted(scheduled, key=lambda ti: (ti.task_id, ti.map_index)):
            _run_task(ti=ti, task=self.dag.task_dict[ti.task_id], run_triggerer=True)
        return bool(scheduled)

    def _answer(self) -> None:
        """Answer what a task asks, as the API does for a person, or the scheduler when nobody has."""
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.models.hitl import HITLDetail
        from airflow.models.trigger import handle_event_submit
        from airflow.sdk import timezone
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session

        with create_session() as session:
            for ti in self._dag_run(session).get_task_instances(session=session):
                detail = session.get(HITLDetail, ti.id) if ti.state == "awaiting_input" else None
                if detail is None or detail.response_received:
                    continue
                if self.nobody:
                    SchedulerJobRunner(Job()).check_awaiting_input_timeouts(session=session)
                    return
                self.questions.append(ti.task_id)
                self.asked.append((detail.subject, detail.body))
                assert self.answers, f"{ti.task_id} asks and nobody answers: {detail.subject}: {detail.body}"
                said = self.answers.pop(0)
                assert said in detail.options, detail.options
                detail.responded_by = {"id": "7", "name": "Grace"}
                detail.responded_at, detail.chosen_options, detail.params_input = timezone.utcnow(), [said], {}
                session.add(detail)
                event = TriggerEvent(detail.as_resume_event_payload())
                handle_event_submit(event, task_instance=ti, session=session)

    def _dag_run(self, session: Any) -> Any:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        return session.scalar(select(DagRun).where(DagRun.dag_id == self.dag.dag_id, DagRun.run_id == self.run_id))

    # -- what is seen of it -----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The run's."""
        from airflow.utils.session import create_session

        with create_session() as session:
            return str(self._dag_run(session).state)

    def states(self) -> dict[str, str]:
        """Each task's, without the group's name."""
        return {task_id: state for task_id, (state, _) in self._tasks().items()}

    def tries(self, task_id: str) -> int:
        """How often a task was tried."""
        return self._tasks()[task_id][1]

    def _tasks(self) -> dict[str, tuple[str, int]]:
        from airflow.utils.session import create_session

        with create_session() as session:
            found = self._dag_run(session).get_task_instances(session=session)
            return {
                _short(ti.task_id) + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""): (str(ti.state), ti.try_number)
                for ti in found
            }

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task gave."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = XComModel.get_many(
                key=key, run_id=self.run_id, dag_ids=self.dag.dag_id, task_ids=task_id, map_indexes=map_index
            )
            row = session.scalars(rows).first()
            return None if row is None else XComModel.deserialize_value(row)

    def view(self, group: str = "order", map_index: int = -1) -> dict[str, Any]:
        """How the saga ended, as its verdict tells."""
        view = self.xcom(f"{group}.verdict", "saga", map_index)
        assert view is not None, self.states()
        return dict(view)

    def steps(self, group: str = "order") -> dict[str, str]:
        """How each step ended."""
        return {step["name"]: step["state"] for step in self.view(group)["steps"]}

    def step(self, name: str) -> dict[str, Any]:
        """One step of the verdict."""
        return next(step for step in self.view()["steps"] if step["name"] == name)

    # -- what people and the scheduler do to it ---------------------------------------------------------------------

    def clear(self, *task_ids: str, downstream: bool = True) -> None:
        """Clear tasks as the API does for a person: with all that follows, and then their setups, or alone."""
        from airflow.models.taskinstance import find_relevant_relatives
        from airflow.utils.session import create_session

        scheduler_dag = _stored(self.dag)
        chosen: set[Any] = {f"order.{task_id}" for task_id in task_ids}
        with create_session() as session:
            if downstream:
                chosen |= set(
                    find_relevant_relatives(
                        chosen, [], dag=scheduler_dag, run_id=self.run_id, direction="downstream", session=session
                    )
                )
            scheduler_dag.clear(run_id=self.run_id, task_ids=chosen, session=session)

    def mark(self, task_id: str, state: str) -> None:
        """Put a task into a state, as a person or the scheduler does."""
        from airflow.utils.session import create_session

        with create_session() as session:
            ti = self._dag_run(session).get_task_instance(f"order.{task_id}", session=session)
            ti.set_state(state, session=session)

    def notice_dead(self) -> None:
        """Fail the try whose process was killed, as the scheduler does when its heartbeats stay away."""
        from airflow.utils.session import create_session

        scheduler_dag = _stored(self.dag)
        with create_session() as session:
            for ti in self._dag_run(session).get_task_instances(session=session):
                if ti.state == "running":
                    ti.task = scheduler_dag.get_task(ti.task_id)
                    ti.handle_failure("its heartbeats stayed away", session=session)


def _short(task_id: str) -> str:
    return task_id.removeprefix("order.")


def _stored(dag: DAG) -> Any:
    """The DAG as the scheduler has it, in its database."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "tests") is None:
            session.add(DagBundleModel(name="tests"))
            session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("tests", None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name="tests", session=session)
    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))

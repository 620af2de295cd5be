"""The demo: three days of data through the whole stack, watched, checked and told."""

from __future__ import annotations

import signal
import time
from typing import Any

from interrupts import Interrupted
from stack import runs
from stack.console import Console
from stack.failure import Failed
from stack.layout import Layout
from stack.outcome import Outcome, misbehaviour, verify
from stack.running import Stack, running

DAG_ID = "flights_etl"
DAYS = ("2013-01-01", "2013-01-02", "2013-01-03")

RUN_PATIENCE = 900.0
"""Seconds that the three runs may take, kills and retries included."""


def demonstrate(*, once: bool) -> int:
    """Start the stack, do the work and tell what came of it; without `once` stay up then. Gives the exit code.

    Raises:
        Interrupted: a signal asked for the end; by then everything is stopped and told.
    """
    layout, console = Layout.here(), Console()
    outcome = Outcome(DAG_ID, layout.warehouse)
    try:
        console.say(f"starting the services, the gateway and Airflow; all they write goes to {layout.home}")
        with running(layout, console.say, hold=layout.unfinished.exists()) as stack:
            work(stack, console, outcome)
            outcome.state = "success"
            console.show(f"\n{invitation(stack, once=once)}")
            if not once:
                console.conclude(outcome.line(console.seconds))
                stay_up(stack)
    except Failed as error:
        console.show(f"\nerror: {error}")
        return 1
    except Interrupted as interrupted:
        outcome.state = "success" if outcome.state == "success" else "interrupted"
        console.show(f"\nstopped by {signal.Signals(interrupted.number).name}")
        raise
    finally:
        console.conclude(outcome.line(console.seconds))
    return 0


def stay_up(stack: Stack) -> None:
    """Wait for a signal.

    Raises:
        Failed: the supervisor is gone, so there is nothing to stay up for.
    """
    while True:
        stack.supervisor.standings()
        time.sleep(2)


def work(stack: Stack, console: Console, outcome: Outcome) -> None:
    """Run the DAG for the three days and show the result.

    Raises:
        RunsFailed: a run failed; the message holds the failing tasks' logs.
        NotTrue: the numbers are not what the services served.
    """
    console.say(f"up; Airflow's pages are at {stack.address('api-server')}")
    runs.wait_parsed(stack.airflow, DAG_ID, stack.since)
    if stack.layout.unfinished.exists():
        left = runs.give_up_unfinished(stack.airflow, DAG_ID)
        console.say(f"marked {left} runs as failed that an interrupted demo had left unfinished")
        stack.schedule()
    stack.layout.unfinished.touch()
    # The runs begin only when the DAG is no longer paused, so that no order to Airflow is given while its tasks start.
    stack.airflow.pause(DAG_ID)
    days = runs.start(stack.airflow, DAG_ID, DAYS)
    outcome.run_ids = list(days)
    stack.airflow.pause(DAG_ID, paused=False)
    console.say(f"asked the scheduler for {len(days)} runs of {DAG_ID}: {', '.join(DAYS)}")
    states: dict[str, str] = {}
    for look in runs.follow(stack.airflow, DAG_ID, outcome.run_ids, RUN_PATIENCE, stack.supervisor.standings):
        console.follow(look, days)
        states = look.states
    stack.layout.unfinished.unlink()
    tasks = stack.airflow.tasks(DAG_ID, outcome.run_ids)
    outcome.task_retries = runs.retries(tasks)
    done = [run_id for run_id in outcome.run_ids if states[run_id] == "success"]
    outcome.reports = [stack.airflow.xcom(DAG_ID, run_id, "report") for run_id in done]
    if len(done) < len(days):
        raise runs.RunsFailed(reason(stack, runs.failures(tasks), days))
    services = ("flights", "weather", "reference")
    console.show(outcome.text(misbehaviour({name: stack.address(name) for name in services})))
    verify(outcome.reports, stack.address("flights"))


def reason(stack: Stack, failed: list[dict[str, Any]], days: dict[str, str]) -> str:
    """Explain why runs failed: which tasks did, and the end of the first one's log."""
    if not failed:
        return f"the runs were failed though no task did; see {stack.layout.process_logs}"
    names = ", ".join(f"{task['task_id']} ({days[task['dag_run_id']]})" for task in failed)
    return f"failed: {names}\nthe log of {failed[0]['task_id']} ends with\n{stack.airflow.log(failed[0])}"


def invitation(stack: Stack, *, once: bool) -> str:
    """Say where to look now."""
    login = f"user admin, password {stack.credentials.admin_password}"
    if once:
        return (
            f"the warehouse is {stack.layout.warehouse}; scripts/demo without --once keeps Airflow's pages up ({login})"
        )
    return f"Airflow: {stack.address('api-server')} ({login}); Ctrl-C stops everything"

"""How the tasks of a saga's steps stand in Airflow."""

from __future__ import annotations

from typing import Any

from airgate.sagas.wiring import Wiring


def states_of_steps(wiring: Wiring, ti: Any) -> dict[str, str | None]:
    """The state of each step's task, None where it has none, as before it is started or once it is cleared.

    Args:
        wiring: The saga's.
        ti: A task instance of it; of a mapped saga that with the map index that is asked for.
    """
    names = {step.task_id: name for name, step in wiring.steps.items()}
    mapped = ti.map_index is not None and ti.map_index >= 0
    states = ti.get_task_states(
        dag_id=ti.dag_id,
        run_ids=[ti.run_id],
        task_ids=list(names),
        **({"map_index": ti.map_index} if mapped else {}),
    ).get(ti.run_id, {})
    # Airflow names those of mapped tasks by their index as well.
    return {name: states.get(f"{task_id}_{ti.map_index}" if mapped else task_id) for task_id, name in names.items()}

"""Idempotency keys."""

from __future__ import annotations

from airgate.policy.idempotency import digest, idempotency_key

TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "call": "charge"}


def test_a_key_is_the_same_in_every_try_and_another_for_any_other_work() -> None:
    """The key depends on each part of the work's name and on nothing else."""
    key = idempotency_key(**TASK)
    assert key == idempotency_key(**TASK)
    changed = [
        idempotency_key(**{**TASK, name: value})
        for name, value in [("dag_id", "e"), ("run_id", "s"), ("task_id", "u"), ("map_index", 0), ("call", "refund")]
    ]
    changed += [idempotency_key(**TASK, epoch="2"), idempotency_key(**TASK, generation=1)]
    assert len({key, *changed}) == 1 + len(changed)


def test_parts_do_not_run_together() -> None:
    """Moving a character from one part to the next makes another digest."""
    assert digest(("ab", "c")) != digest(("a", "bc"))

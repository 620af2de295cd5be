"""Idempotency keys: the same piece of work has the same key in every try, on every worker.

The ``Idempotency-Key`` header follows the IETF draft of that name: a service that honours it performs a request once
and repeats its first answer to every later request with the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HEADER = "Idempotency-Key"


def idempotency_key(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    call: str,
    epoch: str = "",
    generation: int = 0,
) -> str:
    """The key of one call of one task: 32 hexadecimal digits.

    Args:
        dag_id: The DAG.
        run_id: The DAG run.
        task_id: The task.
        map_index: Index of a mapped task, -1 otherwise.
        call: Name of the call within the task.
        epoch: Changes only when a new effect is explicitly wanted.
        generation: Grows only when an earlier piece of work is proven to be over.
    """
    return digest((dag_id, run_id, task_id, map_index, epoch, call, generation))[:32]


def digest(parts: Iterable[object]) -> str:
    """SHA-256 of the parts as hexadecimal text; no two lists of parts run together."""
    sha = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        sha.update(f"{len(text)}:".encode())
        sha.update(text)
    return sha.hexdigest()

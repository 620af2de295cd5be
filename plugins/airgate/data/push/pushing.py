"""Pushes records to a service in batches, several in flight, until each is accepted or dead-lettered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from airgate.client import clock
from airgate.data.checkpoint import Checkpoint
from airgate.data.pace_line import PaceLine
from airgate.data.push.batches import Offered, groups
from airgate.data.push.plan import Calls, Push, PushReport
from airgate.data.push.progress import PushProgress, begin, refuse_doubt
from airgate.data.push.window import Windows
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import PartWriter
from airgate.data.store.storage import Folder


def push(
    plan: Push,
    offered: Offered,
    calls: Calls,
    folder: Folder,
    checkpoint: Checkpoint,
    figures: Callable[[], Mapping[str, float]] = dict,
) -> PushReport:
    """Push all records, from where an earlier try stopped.

    A batch is settled when each of its records is accepted or durable as a dead letter; what is settled is stored
    after each window of batches, and not sent again. Records that the service puts off are sent again, alone, as a
    batch with a key of its own.

    Args:
        plan: How.
        offered: What.
        calls: Makes the calls of the batches.
        folder: Where the dead letters and their manifest go.
        checkpoint: Keeps the progress.
        figures: Gives more figures for the line of the log.

    Raises:
        GatewayError: A batch could not be sent, or some records were put off for longer than is waited here; what was
            settled before, and beside it, is stored.
        OutcomeUnknown: A batch may have been sent and must not go twice.
        TooManyDeadLetters: There are more than ``max_dead_letters``.
        ValueError: When the balance does not hold.
    """
    progress, again = begin(checkpoint, plan.fingerprint, plan.round)
    earlier = Manifest.from_json(progress.manifest) if progress.manifest else None
    if progress.complete and earlier is not None:
        return _report(offered.rows, progress, earlier)
    if again:
        ahead = offered.batches(plan.batch_size, progress.done) if progress.sending else iter(())
        refuse_doubt(progress, plan.round, islice(ahead, plan.window))
    # There are no parts to write; the folder holds what was refused, as that of any data set does.
    writer = PartWriter(folder, pa.schema([]), earlier, redact_fields=plan.redact_fields)
    line = PaceLine(plan.target, offered.rows, before=progress.records, figures=figures, clock=clock.now)
    windows = Windows(plan, calls, progress, writer, checkpoint, line, progress.reached)
    windows.refuse_too_many()
    with ThreadPoolExecutor(plan.in_flight, thread_name_prefix="push") as pool:
        for window in groups(offered.batches(plan.batch_size, progress.done), plan.window):
            windows.push(pool, window)
    manifest = writer.commit()
    report = _report(offered.rows, progress, manifest)
    progress.complete = True
    progress.save(checkpoint, manifest)
    checkpoint.clear()
    return report


def _report(offered: int, progress: PushProgress, manifest: Manifest) -> PushReport:
    if offered != progress.accepted + progress.dead_lettered or progress.dead_lettered != manifest.dead_lettered:
        raise ValueError(
            f"{manifest.path}: offered {offered} records, but {progress.accepted} were accepted and "
            f"{progress.dead_lettered} dead-lettered ({manifest.dead_lettered} in the manifest)"
        )
    return PushReport(offered, progress.accepted, progress.dead_lettered, progress.calls, manifest)

"""The task that makes runs of the events in an asset's event log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airgate.policy.events.dispatch import LARGEST_BATCH, Delivery, Routes, check_routes
from airgate.policy.events.dispatching import Dispatching, Make, Outcome, Park, Refused, Save, Step
from airgate.policy.events.event import Event
from airgate.policy.events.log_position import LogPosition

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.events.parking import Parking
    from airgate.events.positions import DispatcherPosition

SUMMARY = ("runs", "dispatched", "already", "parked", "left_out", "repeated", "entries", "late")
"""What the task returns."""


class DispatchEventsOperator(BaseOperator):
    """Makes a run for each event of an asset, or for several of them, none left out and none handed on twice.

    It belongs into a DAG of its own that is scheduled on the asset, with ``max_active_runs=1``. The asset event that
    starts it is only a doorbell: the task reads the asset's event log on from where it was, so that what came while its
    DAG was paused, or while it failed, is read the next time that it runs.

    The run of a single event has the id ``event.run_id(dag)`` and the conf ``{"event": …}``; Airflow refuses a second
    run of an id, so an event that is told or dispatched twice makes one run. With ``batch`` a run has up to so many
    events, as ``{"events": […]}``; an event that is told twice may come in two runs, which is why what is done because
    of it carries ``event.key()``. Airflow's scheduler does about one run a second: use ``batch`` beyond that.

    Events that nobody can take are parked (``airflow gateway events parked``): those that are none, those of a type
    without a DAG, and those that the Params of their DAG do not allow. A DAG that is not there, or whose file cannot be
    imported, fails the task instead, and its events stay in the log.

    Returns:
        ``runs`` made, ``dispatched`` events in them, ``already`` events whose run was there, ``parked``, ``left_out``
        and ``repeated`` events, ``entries`` of the log, and how many of those were ``late``.

    Args:
        asset: Whose events. It becomes an inlet of the task.
        to: The DAG that takes them, or one for each event type: ``*`` stands for all other types, and ``None`` as DAG
            leaves events out.
        batch: Most events of a run, 1 to 1000, of at most 512 KiB together; None makes a run for each event.
        conf: For single events: gets one and gives what else stands in the conf of its run, such as
            ``lambda event: {"country": event.data["country"]}``. An event for which it raises is parked.
        lookback: How much later than a younger one an asset event may become visible: the time by which the clocks of
            servers may differ, and that a database takes for a commit.
        reach: How far before the asset event that started it a dispatcher begins that has no position, because it is
            new, or because it was lost.
        retries: As of any task.
        retry_delay: As of any task.
        **kwargs: As of any task.

    Raises:
        ValueError: The arguments do not fit, or the DAG lets several runs go on at once.
    """

    template_fields: Sequence[str] = ("to",)
    ui_color = "#f3e3c7"

    def __init__(
        self,
        *,
        asset: Asset,
        to: Routes,
        batch: int | None = None,
        conf: Callable[[Event], Mapping[str, Any]] | None = None,
        lookback: timedelta = timedelta(minutes=1),
        reach: timedelta = timedelta(days=1),
        retries: int | None = 5,
        retry_delay: timedelta | float = timedelta(seconds=10),
        **kwargs: Any,
    ) -> None:
        inlets = kwargs.pop("inlets", None) or []
        inlets = list(inlets) if isinstance(inlets, list | tuple) else [inlets]
        super().__init__(inlets=[*inlets, asset], retries=retries, retry_delay=retry_delay, **kwargs)
        self.asset = asset
        self.to = to
        self.batch = batch
        self.conf = conf
        self.lookback = lookback
        self.reach = reach
        try:
            self._check()
        except ValueError as wrong:
            raise ValueError(f"task {self.task_id!r}: {wrong}") from None

    def _check(self) -> None:
        if not isinstance(self.asset, Asset):
            raise ValueError(f"asset must be an Asset, not {type(self.asset).__name__}: its log has a name of its own")  # noqa: TRY004
        check_routes(self.to)
        whole = isinstance(self.batch, int) and not isinstance(self.batch, bool)
        if self.batch is not None and not (whole and 1 <= self.batch <= LARGEST_BATCH):
            raise ValueError(f"batch must be a number from 1 to {LARGEST_BATCH}, or None, not {self.batch!r:.40}")
        if self.conf is not None and (self.batch is not None or not callable(self.conf)):
            raise ValueError("conf is a function of one event; it does not go together with batch")
        for name in ("lookback", "reach"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or value < timedelta(0):
                raise ValueError(f"{name} must be a timedelta of 0 or more, not {value!r:.40}")
        if not self.has_dag():  # type: ignore[no-untyped-call]
            return
        if self.dag.max_active_runs != 1:
            raise ValueError(
                f"DAG {self.dag.dag_id!r} needs max_active_runs=1, as two dispatchers that read one log at the same "
                "time do all work twice"
            )
        if self.dag.dag_id in ([self.to] if isinstance(self.to, str) else self.to.values()):
            raise ValueError(f"to names DAG {self.dag.dag_id!r}, which is the dispatcher's own")

    def execute(self, context: Context) -> dict[str, int]:
        """Dispatch what is new."""
        from airgate.events.asset_log import AssetLog
        from airgate.events.parking import Parking
        from airgate.events.positions import DispatcherPosition

        ti = context["ti"]
        if ti.map_index is not None and ti.map_index >= 0:
            raise ValueError(
                "a dispatcher is not mapped: its position belongs to its task; write a task for each asset"
            )
        check_routes(self.to)  # what templates made of it
        positions, parking = DispatcherPosition(context, self.asset), Parking(ti)
        position = positions.load()
        if position is None:
            position = self._beginning(context)
            positions.save(position)
        counts = Counter[str]()
        log = AssetLog(context["inlet_events"][self.asset], self.asset.uri or self.asset.name)
        steps = Dispatching(log, self.to, self.batch, self.lookback, _now, counts).steps(position)
        try:
            self._carry_out(steps, positions, parking)
        finally:
            self.log.info("%s", ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "-")
        if counts["gone"]:
            self.log.warning(
                "%d entries of the log that were about to be dispatched are gone: was the metadata database cleaned?",
                counts["gone"],
            )
        return {name: counts[name] for name in SUMMARY}

    def _beginning(self, context: Context) -> LogPosition:
        rung = context["triggering_asset_events"].get(self.asset, ())
        floor = min((event.timestamp for event in rung), default=_now()) - self.reach
        self.log.warning(
            "this dispatcher has no position in the log of asset %s: it begins with the events since %s, which is %s "
            "before the first one that it was started for",
            *(self.asset.name, floor, self.reach),
        )
        return LogPosition(floor)

    def _carry_out(
        self, steps: Generator[Step, Outcome | None], positions: DispatcherPosition, parking: Parking
    ) -> None:
        answer: Outcome | None = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            match step:
                case Save(position):
                    positions.save(position)
                case Make(delivery):
                    answer = self._make(delivery)
                case Park(why, what, dag_id):
                    parked = parking.park(why, what, dag_id, "event" if self.batch is None else "events")
                    named = f"event {what.id} of {what.source}" if isinstance(what, Event) else what.where
                    self.log.warning("%s is parked as %s: %s", named, parked.name, parked.why)

    def _make(self, delivery: Delivery) -> Outcome:
        from airgate.events.run_making import make_run

        extra: Mapping[str, Any] = {}
        if self.conf is not None:
            try:
                extra = dict(self.conf(delivery.events[0]))
            except Exception as error:
                return Refused(f"conf() raised {type(error).__name__}: {error}")
        return make_run(delivery.dag_id, delivery.run_id, {**extra, **delivery.conf()}, delivery.note())


def _now() -> datetime:
    return datetime.now(UTC)

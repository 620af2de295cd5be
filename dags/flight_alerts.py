"""# Flight alerts: airlines that are late, gates that are closed.

Whoever watches an airport or an airline is told what goes wrong there. Nobody directs this: two DAGs listen, each to
what concerns it, and neither knows of the other, nor of who made what it listens to.

* `flight_alerts_delays` runs when the table `flights` was loaded, whoever did it, and says which airlines were late.
* `flight_alerts_notices` says what airports tell. Airflow's triggerer reads their feed and puts what is new into the
  event log of the asset `airport-notices`; `flight_alerts_dispatcher` hands it on, up to a hundred notices a run.

**What is the difference?** A table says how things stand, so it does not matter how often it was loaded since the last
look: Airflow makes one run of several loads. A notice is something that happened, and each of them counts: hence the
dispatcher, which reads the log on from where it was.

**What can go wrong?** The feed tells something twice; the triggerer, the scheduler or a worker dies; the alerts service
fails after it has sent: each alert has a key made of what it is about, so that it is sent once. A notice that cannot be
read, or that the alerts service refuses, is parked (`airflow gateway events parked`) and holds up none of the others.

**Try it.** `POST` a notice to the sample service `notices`, with the airport `XXX`, which nobody watches, or with
`"garbled": true`, which makes it unreadable.

**Needs** the connections `gateway_default`, with the sample services `notices` and `alerts` behind it, and
`warehouse_default`, the pools `gateway` and `warehouse`, and `[airgate] data_root`; `scripts/demo` sets all of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, AssetWatcher, Param, dag, get_current_context, task

from airgate.events import DispatchEventsOperator, Event, FeedTrigger, each_event, events_of
from airgate.hooks import GatewayHook, GatewayRetryPolicy, WarehouseHook

FLIGHTS = Asset("flights")
"""The table, as whoever loads it names it."""
NOTICES = Asset(
    "airport-notices",
    watchers=[
        AssetWatcher(
            name="feed",
            trigger=FeedTrigger(
                path="/notices",
                items="notices",
                cursor_param="after",
                cursor_field="next",
                more_field="more",
                interval=5,
            ),
        )
    ],
)
LATE = """
    SELECT date, carrier, round(avg(arr_delay))::INTEGER AS minutes, count(arr_delay) AS arrivals
    FROM flights
    WHERE date > (SELECT max(date) FROM flights) - ?::INTEGER
    GROUP BY date, carrier
    HAVING minutes >= ?
    ORDER BY date, carrier
"""

SETTINGS: dict[str, Any] = {
    "start_date": pendulum.datetime(2013, 1, 1, tz="UTC"),
    "catchup": False,
    "tags": ["airgate", "events", "example"],
    "default_args": {
        "owner": "operations",
        "retries": 4,
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
}


def alert(gateway: GatewayHook, event: Event, topic: str, severity: str, text: str) -> str:
    """Say it once for each event: its key makes a second time the same alert. Gives the alert's name."""
    body = {"order": event.id, "topic": topic, "severity": severity, "text": text}
    return str(gateway.call("POST", "/alerts/alerts", json=body, idempotency_key=event.key("alert")).json()["id"])


@dag(
    dag_id="flight_alerts_delays",
    dag_display_name="Flight alerts: airlines that were late",
    doc_md=__doc__,
    schedule=[FLIGHTS],
    max_active_runs=1,
    params={
        "minutes": Param(
            15,
            type="integer",
            minimum=1,
            title="Minutes",
            description="An airline is late whose flights of a day arrive so much late on average.",
        ),
        "days": Param(
            7,
            type="integer",
            minimum=1,
            title="Days",
            description="How many days are looked at, up to the latest in the table.",
        ),
    },
    **SETTINGS,
)
def flight_alerts_delays() -> None:
    """React to how the table is, however many loads made it so."""

    @task(pool="warehouse")
    def late_airlines() -> list[dict[str, Any]]:
        """Who was late, as events: the same figure of the same day is the same event."""
        params = get_current_context()["params"]
        with WarehouseHook().get_conn() as warehouse:
            rows = warehouse.query(LATE, [params["days"], params["minutes"]])
        return [
            Event(
                source="/warehouse/flights",
                id=f"{day}.{carrier}.{minutes}",
                type="com.example.airline.late",
                subject=carrier,
                data={"day": str(day), "minutes": minutes, "arrivals": arrivals},
            ).to_json()
            for day, carrier, minutes, arrivals in rows
        ]

    @task(pool="gateway")
    def send(late: list[dict[str, Any]]) -> dict[str, int]:
        """An alert for each."""
        gateway = GatewayHook()

        def one(event: Event) -> str:
            said = f"{event.data['arrivals']} arrivals on {event.data['day']} were {event.data['minutes']} minutes late"
            return alert(gateway, event, str(event.subject), "info", f"{said} on average.")

        # A figure of our own that is refused is a mistake of ours, and fails the task.
        return each_event(one, map(Event.read, late), park=False).to_json()

    send(late_airlines())


@dag(
    dag_id="flight_alerts_dispatcher",
    dag_display_name="Flight alerts: hands notices on",
    doc_md=__doc__,
    schedule=[NOTICES],
    max_active_runs=1,
    **SETTINGS,
)
def flight_alerts_dispatcher() -> None:
    """Make runs of what is new in the log."""
    DispatchEventsOperator(task_id="dispatch", asset=NOTICES, to="flight_alerts_notices", batch=100)


@dag(
    dag_id="flight_alerts_notices",
    dag_display_name="Flight alerts: what airports tell",
    doc_md=__doc__,
    schedule=None,
    **SETTINGS,
)
def flight_alerts_notices() -> None:
    """React to each notice."""

    @task(pool="gateway")
    def send() -> dict[str, int]:
        """An alert for each notice of this run."""
        gateway = GatewayHook()

        def one(event: Event) -> str:
            notice = event.data
            return alert(
                gateway, event, notice["airport"], notice["severity"], f"{notice['airport']}: {notice['text']}"
            )

        return each_event(one, events_of(get_current_context())).to_json()

    send()


flight_alerts_delays()
flight_alerts_dispatcher()
flight_alerts_notices()

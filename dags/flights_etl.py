"""# Flights out of New York, day by day.

Reads one day of departures, the weather at the three airports and the reference data from services behind the
gateway, joins them with pandas, and merges two tables into the warehouse:

* `flights`: one row a departure, with airline, destination, plane and weather;
* `carrier_daily`: departures, cancellations and delays per carrier and day.

**Which day?** The param `day` if given, else the run's data interval, else the day the run was made for. The sample
data covers 2013.

**What can go wrong?** Services answer 503 or 429, answer late or hang up: calls are repeated. A record that does not
fit its schema is dead-lettered with the reason. A task that dies goes on behind its last durable part. The quality gate
fails the run before anything is published when the day is empty, when too many records are dead-lettered, or when the
join lost or doubled rows. Running a day again replaces its rows.

**Needs** the connections `gateway_default` and `warehouse_default`, the pools `gateway` and `warehouse` (one slot:
DuckDB has one writer) and `[airgate] data_root`; `scripts/demo` sets all of them.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, dag, result, task
from airflow.sdk.exceptions import AirflowFailException

from airgate.hooks import GatewayRetryPolicy, WarehouseHook
from airgate.operators import GatewayExtractOperator, TableLoadOperator
from airgate.pagination import CursorPages, NumberedPages, OffsetPages

if TYPE_CHECKING:
    import pandas as pd

DAY = "{{ params.day or (data_interval_start | default(dag_run.run_after, true) | ds) }}"
FLIGHTS = Asset("flights")
"""The table. Who listens to it is told of each load, and is not known here."""
ORIGINS = ["EWR", "JFK", "LGA"]
SCHEMAS = Path(__file__).resolve().parents[1] / "include" / "schemas"


@dag(
    dag_id="flights_etl",
    dag_display_name="Flights: extract, transform, load",
    doc_md=__doc__,
    # Each midnight, for the day that is over. Without a start date the first run is that of the next midnight: to
    # switch the DAG on loads nothing by itself, and the sample data ends with 2013.
    schedule=CronTriggerTimetable("@daily", timezone="UTC", interval=timedelta(days=1)),
    catchup=False,
    max_active_runs=3,
    tags=["airgate", "etl", "example"],
    params={
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="The day to load, such as 2013-01-01. Left empty: the day of the run's data interval.",
        ),
        "max_dead_letter_share": Param(
            0.05,
            type="number",
            minimum=0,
            maximum=1,
            title="Tolerated share of dead letters",
            description="The quality gate fails the run when more of the flights than this do not fit their schema.",
        ),
    },
    default_args={
        "owner": "data-platform",
        "retries": 4,
        # Airflow asks the policy when a call fails; the static delay holds when the process itself was killed.
        "retry_policy": GatewayRetryPolicy(),
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=10),
    },
)
def flights_etl() -> None:
    """Extract, transform and load one day of flights."""
    flights = GatewayExtractOperator(
        task_id="extract_flights",
        path="/flights",
        query={"date": DAY},
        paginator=CursorPages(limit=100),
        schema=SCHEMAS / "flights.json",
        part_rows=300,
        pool="gateway",
    )
    weather = GatewayExtractOperator.partial(
        task_id="extract_weather",
        path="/weather",
        paginator=OffsetPages(limit=100),
        schema=SCHEMAS / "weather.json",
        pool="gateway",
    ).expand(query=[{"date": DAY, "origin": origin} for origin in ORIGINS])
    reference = {
        name: GatewayExtractOperator(
            task_id=f"extract_{name}",
            path=f"/reference/{name}",
            paginator=NumberedPages(size=1000),
            records="items",
            schema=SCHEMAS / f"{name}.json",
            pool="gateway",
        )
        for name in ("airports", "planes", "airlines")
    }

    @task.dataframe
    def clean(
        flights: pd.DataFrame,
        weather: pd.DataFrame,
        airports: pd.DataFrame,
        planes: pd.DataFrame,
        airlines: pd.DataFrame,
    ) -> pd.DataFrame:
        """Join each departure with its airline, destination, plane and the weather of its hour."""
        hourly = weather[["origin", "time_hour", "temp", "wind_speed", "precip", "visib"]]
        joined = (
            flights.assign(date=_dates(flights), cancelled=flights["dep_time"].isna())
            .merge(airlines.rename(columns={"name": "airline"}), on="carrier", how="left", validate="m:1")
            .merge(_columns(airports, faa="dest", name="dest_name"), on="dest", how="left", validate="m:1")
            .merge(
                _columns(planes, tailnum="tailnum", manufacturer="manufacturer", year="plane_year", seats="seats"),
                on="tailnum",
                how="left",
                validate="m:1",
            )
            .merge(hourly, on=["origin", "time_hour"], how="left", validate="m:1")
        )
        return joined.sort_values(["time_hour", "carrier", "flight"], ignore_index=True)

    @task.dataframe
    def carrier_daily(flights: pd.DataFrame) -> pd.DataFrame:
        """Departures, cancellations and delays per carrier and day."""
        late = flights.assign(late=flights["arr_delay"] > 15)
        return late.groupby(["date", "carrier", "airline"], as_index=False, dropna=False).agg(
            flights=("flight", "size"),
            cancelled=("cancelled", "sum"),
            mean_dep_delay=("dep_delay", "mean"),
            mean_arr_delay=("arr_delay", "mean"),
            late_arrivals=("late", "sum"),
        )

    @task
    def quality_gate(
        day: str, flights: dict[str, Any], cleaned: dict[str, Any], mart: dict[str, Any], max_dead_letter_share: str
    ) -> None:
        """Fail the run, with the reason, before bad data is published."""
        received, dead = flights["received"], flights["dead_lettered"]
        problems = []
        if not flights["written"]:
            problems.append(f"the service has no flights for {day} (the sample data covers 2013; set the param day)")
        if received and dead / received > float(max_dead_letter_share):
            problems.append(
                f"{dead} of {received} flights do not fit their schema, more than the tolerated share of "
                f"{max_dead_letter_share}; the reasons stand in {flights['path']}/dead-letters-*.jsonl"
            )
        if cleaned["written"] != flights["written"]:
            problems.append(
                f"{flights['written']} flights came in, but the join made {cleaned['written']} rows of them"
            )
        if flights["written"] and not mart["written"]:
            problems.append("carrier_daily is empty although there are flights")
        if problems:
            # Not a ValueError: no retry makes the data better.
            raise AirflowFailException(f"quality gate for {day}: {'; '.join(problems)}")

    @result
    @task(pool="warehouse")
    def report(
        day: str,
        sources: dict[str, Any],
        weather: list[dict[str, Any]],
        loaded: dict[str, Any],
        mart: dict[str, Any],
    ) -> dict[str, Any]:
        """Say what this run did, and check it against the warehouse."""
        with WarehouseHook().get_conn() as warehouse:
            [(there,)] = warehouse.query("SELECT count(*) FROM flights WHERE date = ?", [day])
        if there != loaded["rows"]:
            raise AirflowFailException(
                f"{loaded['rows']} flights of {day} were loaded, but the table holds {there}: rows of an earlier load "
                "are no longer in the source"
            )
        manifests = {**{name: [manifest] for name, manifest in sources.items()}, "weather": weather[:]}
        calls = [manifest["calls"] for several in manifests.values() for manifest in several]
        return {
            "day": day,
            "extracted": sources["flights"]["received"],
            "dead_lettered": sources["flights"]["dead_lettered"],
            "loaded": loaded["rows"],
            "carriers": mart["rows"],
            "call_retries": sum(call["retries"] for call in calls),
            "waited_seconds": round(sum(call["waited"] for call in calls), 1),
            "sources": {
                name: {
                    count: sum(manifest[count] for manifest in several)
                    for count in ("received", "written", "dead_lettered")
                }
                for name, several in manifests.items()
            },
        }

    cleaned = clean(flights.output, weather.output, *(operator.output for operator in reference.values()))
    mart = carrier_daily(cleaned)
    gate = quality_gate(DAY, flights.output, cleaned, mart, "{{ params.max_dead_letter_share }}")
    load_flights = TableLoadOperator(
        task_id="load_flights",
        data=cleaned,
        table="flights",
        key=["time_hour", "carrier", "flight"],
        pool="warehouse",
        outlets=[FLIGHTS],
    )
    load_mart = TableLoadOperator(
        task_id="load_carrier_daily", data=mart, table="carrier_daily", key=["date", "carrier"], pool="warehouse"
    )
    gate >> [load_flights, load_mart]
    sources = {"flights": flights.output, **{name: operator.output for name, operator in reference.items()}}
    report(DAY, sources, weather.output, load_flights.output, load_mart.output)


def _dates(flights: pd.DataFrame) -> pd.Series:
    import pandas as pd
    import pyarrow as pa

    days = pd.to_datetime(flights[["year", "month", "day"]].astype("int64"))
    return days.astype(pd.ArrowDtype(pa.date32()))


def _columns(frame: pd.DataFrame, **names: str) -> pd.DataFrame:
    """These columns of a frame, renamed."""
    return frame[list(names)].rename(columns=names)


flights_etl()

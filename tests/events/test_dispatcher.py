"""The dispatcher on a real Airflow: its database, its execution API, its asset state store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, Param

from airgate.events.dispatch import DispatchEventsOperator
from airgate.policy.events.batch import Unreadable
from tests.events.conftest import Dispatched, dispatched, event

SKU = {"type": "object", "properties": {"data": {"type": "object", "required": ["sku"]}}}


def parked(folder: Path) -> list[dict[str, Any]]:
    """What is parked, in the order of the events' ids."""
    files = (folder / "data" / "_events" / "parked").rglob("*.json")
    return sorted(
        (json.loads(file.read_text()) for file in files), key=lambda told: str(told.get("event", {}).get("id"))
    )


def position_rows(orders: Dispatched, *, delete: bool = False) -> int:
    """How many rows the asset has in the state store; deleted, as when no DAG references the asset."""
    from airflow.models.asset import AssetModel
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == orders.asset.name))
        rows = session.scalars(select(AssetStateStoreModel).where(AssetStateStoreModel.asset_id == asset_id)).all()
        for row in rows if delete else ():
            session.delete(row)
        return len(rows)


@pytest.mark.usefixtures("installation")
class TestRuns:
    """Runs, one for each event or for several."""

    def test_each_event_makes_one_run(self) -> None:
        """Under an id of its own, with the event as conf; told again, it makes none."""
        orders = dispatched()
        orders.tell(event(1), event(2))
        orders.tell(event(3))
        assert orders.dispatch() == {"runs": 3, "dispatched": 3, "entries": 2}
        assert orders.runs() == {event(n).run_id(orders.taker_id): {"event": event(n).to_json()} for n in (1, 2, 3)}
        orders.tell(event(2), event(4))
        assert orders.dispatch() == {"runs": 1, "dispatched": 1, "already": 1, "entries": 1}
        assert orders.dispatch() == {}

    def test_batches_have_several_events(self) -> None:
        """In order, from several entries of the log."""
        orders = dispatched(batch=3)
        orders.tell(*(event(n) for n in range(4)))
        orders.tell(event(4))
        assert orders.dispatch() == {"runs": 2, "dispatched": 5, "entries": 2}
        assert sorted(len(conf["events"]) for conf in orders.runs().values()) == [2, 3]
        assert sorted(orders.told()) == ["0", "1", "2", "3", "4"]

    def test_conf_may_have_more_than_the_event(self) -> None:
        """A function of the event gives it; what it says of `event` itself does not count."""
        orders = dispatched(conf=lambda event: {"country": event.data["country"], "event": None})
        orders.tell(event(1, data={"country": "NL"}), event(2, data={}))
        assert orders.dispatch() == {"runs": 1, "dispatched": 1, "parked": 1, "entries": 1}
        told = event(1, data={"country": "NL"}).to_json()
        assert list(orders.runs().values()) == [{"country": "NL", "event": told}]

    def test_an_asset_event_of_somebody_else_is_one_event(self) -> None:
        """With the asset as its source, and the id of its entry as its id."""
        orders = dispatched()
        orders.tell_extra({"from_trigger": True, "payload": {"order": 7}})
        assert orders.dispatch()["runs"] == 1
        [conf] = orders.runs().values()
        assert conf["event"]["data"] == {"order": 7}
        assert conf["event"]["source"] == orders.asset.uri


@pytest.mark.usefixtures("installation")
class TestLog:
    """What is read of the log."""

    def test_more_than_a_page_of_one_moment_is_read(self) -> None:
        """Entries of the very same time come in any order, and a page may end among them."""
        orders, moment = dispatched(batch=100), datetime.now(UTC)
        for number in range(50):
            orders.tell(event(number), at=moment)
        assert orders.dispatch()["entries"] == 50
        assert sorted(orders.told()) == sorted(map(str, range(50)))

    def test_an_entry_that_is_written_late_is_read(self) -> None:
        """Behind younger ones that are dispatched already, as long as it is within the lookback."""
        orders, now = dispatched(), datetime.now(UTC)
        orders.tell(event(1), at=now)
        orders.dispatch()
        orders.tell(event(2), at=now - timedelta(seconds=45))
        orders.tell(event(3), at=now - timedelta(seconds=90))
        assert orders.dispatch() == {"runs": 1, "dispatched": 1, "entries": 1, "late": 1}
        assert sorted(orders.told()) == ["1", "2"]

    def test_a_new_dispatcher_begins_a_little_before_its_doorbell(self) -> None:
        """Not with all that the log has ever had."""
        orders, now = dispatched(reach=timedelta(hours=1)), datetime.now(UTC)
        orders.tell(event("old"), at=now - timedelta(hours=2))
        orders.tell(event("recent"), at=now - timedelta(minutes=30))
        assert orders.dispatch()["runs"] == 1
        assert orders.told() == ["recent"]

    def test_a_new_dispatcher_keeps_where_it_began(self) -> None:
        """Though there was nothing for it: what comes from then on is not lost, however late it runs next."""
        orders, now = dispatched(reach=timedelta(0)), datetime.now(UTC)
        assert orders.dispatch() == {}
        orders.tell(event(1), at=now - timedelta(hours=1))
        orders.tell(event(2))
        assert orders.dispatch() == {"runs": 1, "dispatched": 1, "entries": 1}
        assert orders.told() == ["2"]

    def test_a_lost_position_is_found_in_its_file(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nothing of the time between is lost, whatever `reach` says."""
        orders, now = dispatched(reach=timedelta(0)), datetime.now(UTC)
        orders.tell(event(1), at=now - timedelta(hours=3))
        assert orders.dispatch(reach=timedelta(hours=4)) == {"runs": 1, "dispatched": 1, "entries": 1}
        assert position_rows(orders, delete=True) == 1
        orders.tell(event(2), at=now - timedelta(hours=2))
        assert orders.dispatch() == {"runs": 1, "dispatched": 1, "entries": 1}
        assert position_rows(orders) == 1


class TestWhatNobodyTakes:
    """Events that are parked, and those that wait."""

    def test_what_the_params_do_not_allow_is_parked(self, installation: Path) -> None:
        """The event alone; those beside it are dispatched."""
        orders = dispatched(params={"event": Param(**SKU)})
        orders.tell(event(1, data={"sku": "x"}), event(2, data={}), event(3, data={"sku": "y"}))
        assert orders.dispatch() == {"runs": 2, "dispatched": 2, "parked": 1, "entries": 1}
        [told] = parked(installation)
        assert told["why"].startswith(f"DAG {orders.taker_id} does not take it: Invalid input for param event: 'sku'")
        assert (told["event"], told["target"]) == (event(2, data={}).to_json(), orders.taker_id)
        assert (told["dag_id"], told["task_id"], told["form"]) == (orders.dag.dag_id, "dispatch", "event")

    def test_one_event_of_a_batch_is_parked_alone(self, installation: Path) -> None:
        """The Params refuse all of the batch for it, so the batch is halved until it is found."""
        orders = dispatched(params={"events": Param(type="array", items=SKU)}, batch=8)
        orders.tell(*(event(n, data={} if n == 5 else {"sku": "x"}) for n in range(8)))
        assert orders.dispatch() == {"runs": 3, "dispatched": 7, "parked": 1, "entries": 1}
        assert sorted(orders.told()) == ["0", "1", "2", "3", "4", "6", "7"]
        assert [told["event"]["id"] for told in parked(installation)] == ["5"]
        assert parked(installation)[0]["form"] == "events"

    def test_unreadable_and_unknown_ones_are_parked(self, installation: Path) -> None:
        """Once, however often they are told."""
        orders = dispatched()
        routes = {"placed": orders.taker_id, "noise": None}
        for _ in range(2):
            orders.tell(
                event(1), event(2, "noise"), event(3, "paid"), unreadable=[Unreadable("page 3", "it has no id", "{}")]
            )
        assert orders.dispatch(to=routes) == {
            "runs": 1, "dispatched": 1, "left_out": 1, "parked": 3, "repeated": 3, "entries": 2,
        }  # fmt: skip
        lost, untaken = sorted(parked(installation), key=lambda told: "event" in told)
        assert lost["unreadable"] == {"where": "page 3", "why": "it has no id", "raw": "{}"}
        assert untaken["why"] == "`to` names no DAG for events of the type paid"

    def test_a_dag_that_is_not_there_fails_the_task_and_loses_nothing(self, installation: Path) -> None:
        """Events of other DAGs go on; its own come when it is there."""
        orders = dispatched()
        orders.tell(event(1), event(2, "paid"))
        run = orders.run(to={"placed": orders.taker_id, "paid": "nowhere"})
        assert (run.state, orders.told()) == ("failed", ["1"])
        assert parked(installation) == []
        assert orders.dispatch(to=orders.taker_id) == {"runs": 1, "dispatched": 1, "already": 1, "entries": 1}

    def test_without_a_data_root_nothing_begins(self, installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As there would be no place to park at."""
        monkeypatch.delenv("AIRFLOW__AIRGATE__DATA_ROOT")
        orders = dispatched()
        orders.tell(event(1))
        assert orders.run().state == "failed"
        assert orders.runs() == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": ""}, "to must name a DAG"),
        ({"to": {}}, "say for event types"),
        ({"to": {"x": 3}}, "the DAG of 'x' must be an id"),
        ({"to": "own"}, "which is the dispatcher's own"),
        ({"to": {"x": "own"}}, "which is the dispatcher's own"),
        ({"batch": 0}, "batch must be a number from 1 to 1000"),
        ({"batch": 1001}, "batch must be a number from 1 to 1000"),
        ({"batch": True}, "batch must be a number from 1 to 1000"),
        ({"conf": {}}, "conf is a function of one event"),
        ({"conf": lambda event: {}, "batch": 3}, "conf is a function of one event"),
        ({"lookback": 60}, "lookback must be a timedelta"),
        ({"reach": timedelta(-1)}, "reach must be a timedelta"),
        ({"asset": Asset.ref(name="a")}, "asset must be an Asset, not AssetNameRef"),
        ({"asset": "a"}, "asset must be an Asset, not str"),
    ],
)
def test_mistakes_are_found_when_the_dag_file_is_read(options: dict[str, Any], said: str) -> None:
    """With the task's name and what to do."""
    with DAG("own", schedule=None, max_active_runs=1), pytest.raises(ValueError, match=f"task 'x': .*{said}"):
        DispatchEventsOperator(task_id="x", **{"asset": Asset("a"), "to": "take", **options})


def test_a_dag_of_several_runs_at_once_is_refused() -> None:
    """Two dispatchers would do all work twice."""
    with DAG("own", schedule=None), pytest.raises(ValueError, match="DAG 'own' needs max_active_runs=1"):
        DispatchEventsOperator(task_id="x", asset=Asset("a"), to="take")


def test_the_asset_is_an_inlet_beside_others() -> None:
    """So that Airflow lets the task read its log and state."""
    asset, other = Asset("a"), Asset("b")
    assert DispatchEventsOperator(task_id="x", asset=asset, to="take", inlets=[other]).inlets == [other, asset]
    assert DispatchEventsOperator(task_id="x", asset=asset, to="take", inlets=other).inlets == [other, asset]

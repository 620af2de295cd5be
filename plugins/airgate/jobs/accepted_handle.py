"""The handle of accepted work, out of the service's first answer.

Its data: ``at`` the place to ask at, ``documents`` whether what is there is a status document for sure, ``result`` the
place of the result where it is another one, ``under`` the path of the gateway's own address, ``kept`` the result of
work that was done at once and left no place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airgate.client.message import Response, join_url
from airgate.jobs.accepted_asks import below, filled
from airgate.jobs.accepted_place import Place, Places, place_of, under_of
from airgate.jobs.accepted_reading import Reading, content_of
from airgate.jobs.job import JobHandle
from airgate.jobs.talk import Ask

if TYPE_CHECKING:
    from airgate.jobs.accepted import Accepted

_MONITORS = ("operation-location", "azure-asyncoperation")
_LARGEST_KEPT = 32 * 1024
"""Bytes of an answer that is kept in the handle, and so in Airflow's database."""


def handle_of(fields: Accepted, first: Ask, answer: Response) -> JobHandle:
    """The handle of work that was taken up, or done at once.

    Raises:
        InvalidResponse: Nothing says where it is.
    """
    reading, under = Reading.of_answer(fields, answer), under_of(first, answer)
    places = Places.of(fields, under)
    location = answer.headers.get("location")
    monitor = next((answer.headers[name] for name in _MONITORS if answer.headers.get(name)), None)
    if monitor:
        result = _result_of(first, places, location, answer)
        return _handle(reading, places.place(monitor, answer), under, result, documents=True)
    place = _named(fields, reading, places)
    if place is not None:
        return _handle(reading, place, under, documents=True)
    if location:
        return _handle(reading, places.place(location, answer), under)
    if answer.status not in {202, 303} and reading.status.over:
        return _done(reading, answer)
    raise answer.invalid(
        "the work was taken up, and nothing says where it is: no Location, Operation-Location or Azure-AsyncOperation "
        "came. Set link (JMESPath of the address in the answer) or status_path"
    )


def handle_of_found(fields: Accepted, answer: Response, under: str) -> JobHandle | None:
    """The handle of the job in a look-up's answer, None when there is none.

    Raises:
        InvalidResponse: It has no address.
    """
    job = Reading.of_answer(fields, answer).find("found")
    if not job:
        return None
    reading = Reading.of_document(fields, job, answer)
    place = _named(fields, reading, Places.of(fields, under))
    if place is None:
        raise answer.invalid("the job that was found has no address: link or status_path must say where it is")
    return _handle(reading, place, under, documents=True)


def _named(fields: Accepted, reading: Reading, places: Places) -> Place | None:
    """The address that a document gives, or that follows from the job's name in it."""
    if fields.link and (link := reading.find("link")):
        assert reading.answer is not None
        return places.place(str(link), reading.answer)
    if fields.status_path and reading.job_id:
        path = below(fields.base, filled(fields.status_path, id=reading.job_id))
        return place_of(_with_params(path, fields.path_params))
    return None


def _result_of(first: Ask, places: Places, location: str | None, answer: Response) -> Place | None:
    """Where the result will be of work that is watched at another address."""
    if location:
        return places.place(location, answer)
    # Resource Manager: what was put or patched is the result, and is where it was sent.
    return place_of(_with_params(first.path, first.path_params)) if first.method in {"PUT", "PATCH"} else None


def _with_params(path: str, path_params: Mapping[str, Any]) -> str:
    split = urlsplit(join_url("http://gateway", path, path_params))
    return f"{split.path}?{split.query}" if split.query else split.path


def _handle(
    reading: Reading, place: Place, under: str, result: Place | None = None, *, documents: bool = False
) -> JobHandle:
    path = str(place["path"]).partition("?")[0]
    data: dict[str, Any] = {"at": dict(place)}
    if result is not None:
        data["result"] = dict(result)
    if under:
        data["under"] = under
    if documents:
        data["documents"] = True
    return JobHandle(reading.job_id or path.rstrip("/").rpartition("/")[2] or path, data)


def _done(reading: Reading, answer: Response) -> JobHandle:
    if len(answer.bytes) > _LARGEST_KEPT:
        raise answer.invalid(
            f"the work was done at once, and its answer of {len(answer.bytes)} bytes has no address to get it from "
            "again: a service that does not answer 202 is called with GatewayOperator"
        )
    return JobHandle(reading.job_id or "done-at-once", {"kept": content_of(answer)})

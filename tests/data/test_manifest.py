"""Manifests."""

from __future__ import annotations

import pytest

from airgate.data.store.manifest import Calls, File, Manifest

MANIFEST = Manifest(
    path="file:///x",
    schema={"id": "int64!"},
    parts=[File(name="part-00000.parquet", records=3, bytes=9, sha256="a")],
    dead_letters=[File(name="dead-letters-00000.jsonl", records=1, bytes=9, sha256="b")],
    received=4,
    written=3,
    dead_lettered=1,
    calls=Calls(pages=1, requests=2, retries=1, waited=0.5, faults={"503": 1}),
)


def test_a_manifest_survives_xcom() -> None:
    """JSON there and back is the same manifest."""
    value = MANIFEST.to_json()
    assert Manifest.is_manifest(value)
    assert Manifest.from_json(value) == MANIFEST


@pytest.mark.parametrize(
    "change", [{"received": 5}, {"written": 2}, {"dead_lettered": 0, "received": 3}, {"dead_letters": []}]
)
def test_a_balance_that_does_not_hold_is_refused(change) -> None:
    """Received is written plus dead-lettered, and the files hold what is counted."""
    MANIFEST.check()
    with pytest.raises(ValueError, match="received"):
        Manifest.from_json(MANIFEST.to_json() | change).check()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "expected the manifest of a data set, got None"),
        ({"rows": 3}, "expected the manifest"),
        (MANIFEST.to_json() | {"version": 9}, "version 9 is not 1"),
        (MANIFEST.to_json() | {"parts": "many"}, "broken manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(value, message) -> None:
    """The error says what came instead."""
    with pytest.raises(ValueError, match=message):
        Manifest.from_json(value)

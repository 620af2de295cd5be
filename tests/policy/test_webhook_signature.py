"""Signatures of webhooks: who may have signed, what is signed, and when it was."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.webhook_signature import (
    GITHUB,
    STANDARD,
    NotSigned,
    NotVerified,
    OutsideWindow,
    Scheme,
    is_id,
    secret_of,
    verify,
)

NOW = 1_700_000_000.0
NEW, OLD, FOREIGN = (f"{name}-{'0123456789abcdef' * 2}".encode() for name in ("new", "old", "foreign"))
BODY = b'{"type": "order.placed", "data": {"id": 7}}'
STRIPE_LIKE = Scheme("x-shop-signature", timestamp="x-shop-time")


def standard(key: bytes = NEW, name: str = "msg_1", at: object = int(NOW), body: bytes = BODY) -> dict[str, str]:
    """The headers of a delivery by Standard Webhooks."""
    made = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(made).decode()}"
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_signature_is_the_one_that_openssl_makes() -> None:
    """Fixed values, made once by ``openssl dgst -sha256 -mac hmac``: no side of ours could be wrong with the other."""
    encoded = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    key = secret_of(STANDARD, encoded)
    assert key == b"0123456789abcdef0123456789abcdef"
    headers = {
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "webhook-timestamp": "1674087231",
        "webhook-signature": "v1,TeembjSzWdAvG2RGOS1DPMteqIy4yBaQ3vEcYwb9CaY=",
    }
    verify(STANDARD, [key], headers, b'{"hello":"world"}', 1674087231.0)
    verify(
        GITHUB,
        [key],
        {"x-hub-signature-256": "sha256=ae4dbaa2e6fed582c7e7b06eb38ccced7e238e14d7e6682e7ada41dd69a3cf10"},
        b'{"hello":"world"}',
        0.0,
    )


@pytest.mark.parametrize("key", [NEW, OLD])
def test_each_of_two_secrets_may_have_signed(key: bytes) -> None:
    verify(STANDARD, [NEW, OLD], standard(key), BODY, NOW)
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW, OLD], standard(FOREIGN), BODY, NOW)


def test_without_secrets_nobody_has_signed() -> None:
    with pytest.raises(NotSigned):
        verify(STANDARD, [], standard(), BODY, NOW)


def test_a_sender_may_sign_with_two_secrets_at_once() -> None:
    both = " ".join(standard(key)["webhook-signature"] for key in (FOREIGN, NEW))
    verify(STANDARD, [NEW], {**standard(), "webhook-signature": f"v1a,AAAA {both}"}, BODY, NOW)


def test_only_so_many_signatures_are_looked_at() -> None:
    right = standard()["webhook-signature"]
    wrong = standard(FOREIGN)["webhook-signature"]
    verify(STANDARD, [NEW], {**standard(), "webhook-signature": " ".join([wrong] * 15 + [right])}, BODY, NOW)
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], {**standard(), "webhook-signature": " ".join([wrong] * 16 + [right])}, BODY, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(NOW) + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,no base64!"},
        {"webhook-signature": standard()["webhook-signature"].removeprefix("v1,")},
        {"webhook-signature": standard()["webhook-signature"].replace("v1,", "v2,")},
    ],
)
def test_what_is_signed_cannot_be_changed(changes: dict[str, str]) -> None:
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], {**standard(), **changes}, BODY, NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_signed_header_must_be_there(missing: str) -> None:
    headers = standard(name="" if missing == "webhook-id" else "msg_1", at="" if "time" in missing else int(NOW))
    headers.pop(missing)
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], headers, BODY, NOW)


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_no_byte_of_a_body_can_be_changed(body: bytes, place: int, by: int) -> None:
    headers = standard(body=body)
    verify(STANDARD, [NEW], headers, body, NOW)
    changed = bytearray(body + b"x")
    if place < len(body):
        changed = bytearray(body)
        changed[place] ^= by
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], headers, bytes(changed), NOW)


@pytest.mark.parametrize(("age", "good"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_delivery_is_good_for_a_time_before_and_after(age: int, good: bool) -> None:
    headers = standard(at=int(NOW) - age)
    if good:
        verify(STANDARD, [NEW], headers, BODY, NOW)
        return
    with pytest.raises(OutsideWindow) as refused:
        verify(STANDARD, [NEW], headers, BODY, NOW)
    assert refused.value.seconds == age
    assert str(refused.value) == f"301 seconds {'old' if age > 0 else 'early'}"


def test_the_window_can_be_set() -> None:
    narrow = dataclasses.replace(STANDARD, tolerance=10)
    with pytest.raises(OutsideWindow):
        verify(narrow, [NEW], standard(at=int(NOW) - 11), BODY, NOW)


def test_a_forged_delivery_is_not_told_that_it_is_old() -> None:
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], standard(FOREIGN, at=1), BODY, NOW)


@pytest.mark.parametrize("at", ["", "now", "1.7e9", "-1", " 1700000000", "1700000000.5", "\u0660", "9" * 13])
def test_a_time_is_a_number_of_seconds(at: str) -> None:
    with pytest.raises(NotVerified):
        verify(STANDARD, [NEW], standard(at=at), BODY, NOW)


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a{", "a}", "a" * 256, "é", "a\n"])
def test_an_id_is_visible_and_can_hold_no_object(name: str) -> None:
    assert not is_id(name)
    with pytest.raises(NotSigned):
        verify(STANDARD, [NEW], standard(name=name), BODY, NOW)


def test_the_parts_of_what_is_signed_cannot_be_cut_elsewhere() -> None:
    """What is signed as one id, time and object is not signed as another id, time and object."""
    body = b'{"note": "x.1700000001.{}"}'
    whole = f"msg.1.{int(NOW)}.".encode() + body
    signed = standard(name="msg.1", body=body)["webhook-signature"]
    found = 0
    for first in range(len(whole)):
        for second in range(first + 1, len(whole)):
            if whole[first : first + 1] + whole[second : second + 1] != b"..":
                continue
            name, at, rest = whole[:first].decode(), whole[first + 1 : second].decode(), whole[second + 1 :]
            headers = {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": signed}
            try:
                verify(dataclasses.replace(STANDARD, tolerance=10**12), [NEW], headers, rest, NOW)
                assert isinstance(json.loads(rest), dict)
            except (NotVerified, ValueError, AssertionError):
                continue
            found += 1
            assert (name, rest) == ("msg.1", body)
    assert found == 1


def test_github_signs_the_body_and_nothing_else() -> None:
    signature = "sha256=" + hmac.new(NEW, BODY, hashlib.sha256).hexdigest()
    for event in ("push", "release"):
        headers = {"x-hub-signature-256": signature, "x-github-event": event}
        verify(GITHUB, [OLD, NEW], headers, BODY, NOW)
    for wrong in (signature.removeprefix("sha256="), signature.replace("sha256", "sha1"), "sha256=zz", ""):
        with pytest.raises(NotSigned):
            verify(GITHUB, [NEW], {"x-hub-signature-256": wrong}, BODY, NOW)


def test_others_sign_a_time_with_the_body() -> None:
    made = hmac.new(NEW, f"{int(NOW)}.".encode() + BODY, hashlib.sha256).hexdigest()
    headers = {"x-shop-signature": made, "x-shop-time": str(int(NOW))}
    verify(STRIPE_LIKE, [NEW], headers, BODY, NOW + 299)
    with pytest.raises(OutsideWindow):
        verify(STRIPE_LIKE, [NEW], headers, BODY, NOW + 301)
    with pytest.raises(NotSigned):
        verify(STRIPE_LIKE, [NEW], {**headers, "x-shop-time": str(int(NOW) + 1)}, BODY, NOW)


def test_a_secret_is_text_unless_it_says_that_it_is_encoded() -> None:
    raw = bytes(range(24))
    encoded = "whsec_" + base64.b64encode(raw).decode()
    assert secret_of(STANDARD, encoded) == raw
    assert secret_of(GITHUB, encoded) == encoded.encode()
    assert secret_of(STANDARD, "x" * 24) == b"x" * 24


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 bytes, at least 24 are needed"),
        ("s" * 23, "has 23 bytes, at least 24 are needed"),
        ("whsec_" + base64.b64encode(b"s" * 23).decode(), "has 23 bytes, at least 24 are needed"),
        ("whsec_sssssssssssssssssssssssssssssss!", "begins with whsec_ but is no base64 behind it"),
    ],
)
def test_a_weak_secret_is_refused_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"bytes|base64") as refused:
        secret_of(STANDARD, text)
    assert str(refused.value) == said

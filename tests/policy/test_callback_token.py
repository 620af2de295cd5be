"""Tokens of callbacks: signed by one of several secrets, good for one wait and for a time."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.callback import LONGEST_TOKEN, CallbackToken, NotSigned, mark_of, name_of, new_nonce, secrets_of

NEW, OLD, FOREIGN = (f"{name}-{'0123456789abcdef' * 2}" for name in ("new", "old", "foreign"))
TOKEN = CallbackToken("dag", "scheduled__2026-01-01T00:00:00+00:00", "group.task", 3, new_nonce(), 2_000_000_000)
NAMES = st.text(max_size=30)


@given(NAMES, NAMES, NAMES, st.integers(-1, 1024), st.integers(0, 2**40))
def test_a_token_is_read_as_it_was_signed(dag: str, run: str, task: str, index: int, ends: int) -> None:
    token = CallbackToken(dag, run, task, index, new_nonce(), ends)
    assert CallbackToken.read(token.signed(NEW), (NEW,)) == token


def test_a_token_fits_into_an_address() -> None:
    longest = CallbackToken("d" * 250, "r" * 250, "t" * 250, 1024, new_nonce(), 2**33).signed(NEW)
    assert len(longest) < 1200 < LONGEST_TOKEN
    assert set(longest) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_every_known_secret_may_have_signed(secret: str) -> None:
    assert CallbackToken.read(TOKEN.signed(secret), (NEW, OLD)) == TOKEN


@pytest.mark.parametrize("known", [(), (FOREIGN,), (NEW.upper(),), (OLD, FOREIGN)])
def test_no_other_secret_will_do(known: tuple[str, ...]) -> None:
    with pytest.raises(NotSigned):
        CallbackToken.read(TOKEN.signed(NEW), known)


def test_no_character_can_be_changed() -> None:
    text = TOKEN.signed(NEW)
    for place in range(len(text)):
        for other in "A.-":
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises(NotSigned):
                    CallbackToken.read(changed, (NEW,))


def test_a_signature_belongs_to_its_payload() -> None:
    other = dataclasses.replace(TOKEN, run_id="another").signed(NEW)
    mixed = f"{other.partition('.')[0]}.{TOKEN.signed(NEW).partition('.')[2]}"
    with pytest.raises(NotSigned):
        CallbackToken.read(mixed, (NEW,))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a", "a.b", "é.é", "\ud800.x", "=.=", "a" * (LONGEST_TOKEN + 1), TOKEN.signed(NEW) + "\n"],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(NotSigned):
        CallbackToken.read(text, (NEW,))


def test_a_signature_in_another_spelling_is_refused() -> None:
    payload, _, signature = TOKEN.signed(NEW).partition(".")
    # 43 characters hold 258 bits, two more than there are.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    assert base64.urlsafe_b64decode(respelled + "=") == base64.urlsafe_b64decode(signature + "=")
    with pytest.raises(NotSigned):
        CallbackToken.read(f"{payload}.{respelled}", (NEW,))


def test_the_same_secret_signs_nothing_else() -> None:
    import hashlib
    import hmac

    payload = base64.urlsafe_b64encode(json.dumps([1, "d", "r", "t", -1, "n", 2**33]).encode()).rstrip(b"=")
    plain = base64.urlsafe_b64encode(hmac.new(NEW.encode(), payload, hashlib.sha256).digest()).rstrip(b"=")
    with pytest.raises(NotSigned):
        CallbackToken.read(f"{payload.decode()}.{plain.decode()}", (NEW,))


def test_it_expires() -> None:
    assert not TOKEN.expired(TOKEN.expires_at - 0.1)
    assert TOKEN.expired(TOKEN.expires_at)


def test_what_the_wait_keeps_does_not_give_the_nonce() -> None:
    assert TOKEN.mark == mark_of(TOKEN.nonce)
    assert TOKEN.nonce not in TOKEN.mark
    assert len({new_nonce() for _ in range(100)}) == 100


@pytest.mark.parametrize("setting", [f"{NEW},{OLD}", f" {NEW} {OLD}\n", f"{NEW}, {OLD},"])
def test_the_first_secret_of_the_setting_signs(setting: str) -> None:
    assert secrets_of(setting) == (NEW, OLD)
    assert name_of(NEW) != name_of(OLD)


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="secret 2 has 31 bytes, at least 32 are needed") as caught:
        secrets_of(f"{NEW},{'s' * 31}")
    assert "sss" not in str(caught.value)

"""Signed addresses: nobody who reads Airflow's database may use them, and the job is watched all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgate.client.configure import gateway_from_fields
from airgate.client.sealing import NotSealed, Unsealed, seal, unseal
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import call_of, end, look
from airgate.hooks.sealing import sealed
from airgate.jobs import JobHandle, JobState
from airgate.jobs.accepted import Accepted
from airgate.jobs.talk import carry
from tests.jobs.accepted_service import WorkService, work_service
from tests.jobs.one_task import run_deferred, run_here
from tests.scripted_server import Answer, ScriptedServer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkService]:
    with work_service(tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture(autouse=True)
def clean(service: WorkService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.reset()
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection())


def signed(path: str = "/builds", **order: Any) -> Accepted:
    """Work whose address has to be asked with a signature."""
    return Accepted(
        path=path, base="/work", honours_keys=True, json={"name": "web", "seconds": 0, "location": "signed", **order}
    )


def submit(hook: GatewayHook, protocol: Accepted) -> JobHandle:
    """The handle as the protocol gives it."""
    return carry(protocol.submit("k-1"), lambda ask: hook.send(hook.request(call_of(ask)), expect=ask.expect))


def stored(hook: GatewayHook, handle: JobHandle) -> tuple[JobHandle, str]:
    """The handle after it was stored, and the text that is in the database."""
    text = json.dumps(sealed(hook.gateway, handle).to_json())
    return JobHandle.from_json(json.loads(text)), text


@pytest.mark.parametrize("path", ["/builds", "/exports"])
def test_a_signed_address_is_stored_sealed_and_opened_for_each_request(path: str) -> None:
    """Status, result and cancellation go by a handle in which no signature stands."""
    with GatewayHook() as hook:
        protocol = signed(path)
        given = submit(hook, protocol)
        signature = given.data["at"]["query"].text.rpartition("sig=")[2]
        handle, text = stored(hook, given)
        assert len(signature) == 64
        assert signature not in text + repr(given) + repr(handle)
        assert look(hook, protocol.status(handle)).state is JobState.SUCCEEDED
        assert look(hook, protocol.result(handle))
        end(hook, protocol.cancel(handle))


def test_a_sealed_job_is_cancelled(service: WorkService) -> None:
    """The service demands the signature for this too."""
    with GatewayHook() as hook:
        protocol = signed(seconds=60)
        handle, _ = stored(hook, submit(hook, protocol))
        end(hook, protocol.cancel(handle))
        assert service.truth()["cancellations"] == 1


@pytest.mark.parametrize("run", [run_here, run_deferred])
def test_the_task_stores_nothing_that_could_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, service: WorkService, run: Any
) -> None:
    """Neither its record nor its log has the signature, and the job is waited for."""
    assert run(signed(seconds=0.5), tmp_path)["status"] == "succeeded"
    kept = (tmp_path / "state.json").read_text()
    assert "sealed" in kept
    assert not re.search(r"sig=[0-9a-f]{8}", kept + caplog.text)


def test_a_handle_that_was_not_sealed_cannot_be_stored() -> None:
    """JSON does not take it."""
    with GatewayHook() as hook:
        handle = submit(hook, signed())
        with pytest.raises(TypeError):
            json.dumps(handle.to_json())


def test_a_secret_that_was_changed_meanwhile_is_a_clear_error(
    service: WorkService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do, and shows neither the address nor a secret."""
    with GatewayHook() as hook:
        protocol = signed()
        handle, _ = stored(hook, submit(hook, protocol))
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection("another-token"))
    with GatewayHook() as hook, pytest.raises(NotSealed, match="former password") as raised:
        look(hook, protocol.status(handle))
    assert "another-token" not in str(raised.value)
    assert "sig" not in str(raised.value).replace("signed", "")


def test_without_a_secret_a_signed_address_is_refused(service: WorkService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the cure, a password, which with auth=none does it."""
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection(None))
    with GatewayHook() as hook:
        handle = submit(hook, signed())
        with pytest.raises(NotSealed, match="give the connection a password"):
            sealed(hook.gateway, handle)
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", service.connection("for-this-alone", auth="none"))
    with GatewayHook() as hook:
        protocol = signed()
        handle, _ = stored(hook, submit(hook, protocol))
        assert look(hook, protocol.status(handle)).over


@pytest.mark.parametrize(
    ("query", "hidden"),
    [
        ("api-version=2016-10-01&sp=%2Fruns%2Fread&sv=1.0&sig=abc", True),
        ("taskHub=h&connection=Storage&code=abc", True),
        ("X-Amz-Algorithm=a&X-Amz-Signature=abc", True),
        ("subscription-key=abc", True),
        ("access_token", True),
        ("api-version=2024-01-01&page=2", False),
        ("", False),
    ],
)
def test_what_is_sealed_is_told_by_the_names_in_the_query(server: ScriptedServer, query: str, hidden: bool) -> None:
    """The same names that are masked in logs."""
    with GatewayHook() as hook:
        hook.gateway = gateway_from_fields(host=server.url, password="p" * 20, extra={"auth": "bearer"})
        protocol = Accepted(path="/run", json={})
        server.answers = [Answer(202, b"", {"Location": f"/runs/1?{query}"})]
        handle, text = stored(hook, submit(hook, protocol))
        assert ("abc" not in text and "sealed" in text) is hidden
        server.answers = [Answer(202, b"")]
        look(hook, protocol.status(handle))
        assert server.raw_targets[-1] == f"/runs/1?{query}".rstrip("?")


def test_a_sealed_text_opens_with_its_secrets_in_its_place_only() -> None:
    """Changed secrets, another path, a changed text: all the same error. Two seals of a text differ."""
    secrets = ("one", "two")
    text = seal(secrets, Unsealed("sig=x", "/runs/1"))
    assert unseal(secrets, text, "/runs/1") == "sig=x"
    assert seal(secrets, Unsealed("sig=x", "/runs/1")) != text
    for others, given, place in [
        (("one",), text, "/runs/1"),
        (("two", "one"), text, "/runs/1"),
        ((), text, "/runs/1"),
        (secrets, text, "/runs/2"),
        (secrets, text[:-6] + "AAAA==", "/runs/1"),
        (secrets, "s1.%%%", "/runs/1"),
        (secrets, "sig=x", "/runs/1"),
        (secrets, "", "/runs/1"),
    ]:
        with pytest.raises(NotSealed, match="cannot be opened"):
            unseal(others, given, place)


@pytest.mark.parametrize(
    ("login", "password", "extra", "own"),
    [
        (None, None, {}, ()),
        ("u", "pw", {"auth": "basic"}, ("pw",)),
        ("c", "pw", {"auth": "oauth2", "oauth_url": "https://idp.example/token"}, ("pw",)),
        ("s", "p" * 40, {"auth": "jwt", "jwt_issuer": "i"}, ("p" * 40,)),
        (None, None, {"headers": {"X-Tenant": "t", "X-Key": "k"}}, ("k",)),
    ],
)
def test_the_secrets_that_seal_stay_the_same_over_tokens(
    login: str | None, password: str | None, extra: dict[str, Any], own: tuple[str, ...]
) -> None:
    """They are those of the connection, of which nothing is shown."""
    gateway = gateway_from_fields(host="https://gw.example", login=login, password=password, extra=extra)
    assert gateway.own_secrets == own
    assert all(secret not in repr(gateway) for secret in own if len(secret) > 1)

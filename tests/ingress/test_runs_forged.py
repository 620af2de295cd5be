"""Headers that would make somebody else of a caller start nothing: they are not looked at."""

from __future__ import annotations

import pytest

from tests.ingress.conftest import Ingress

pytestmark = pytest.mark.integration

FORGED = {
    "a proxy's": {
        "X-Forwarded-User": "ada",
        "X-Remote-User": "ada",
        "Remote-User": "ada",
        "X-Forwarded-Email": "ada@x",
    },
    "a gateway's": {"X-Gateway-Subject": "ada", "X-Consumer-Username": "ada", "X-Authenticated-Userid": "ada"},
    "ours, unsigned": {"Airgate-Identity": '{"iss": "airflow", "sub": "ada", "airgate_dags": ["orders"]}'},
    "a webhook's": {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,AAAA"},
    "another way in": {"X-Forwarded-For": "127.0.0.1", "X-Original-URL": "/airgate/v1/callbacks/x", "X-Role": "admin"},
    "another method": {"X-HTTP-Method-Override": "GET", "X-Method-Override": "GET"},
}


@pytest.mark.parametrize(
    ("who", "status"), [(None, 401), ("a.b.c", 401), ("vic:viewer", 403)], ids=["nobody", "no token", "may only look"]
)
@pytest.mark.parametrize("headers", list(FORGED))
def test_a_header_that_anybody_can_set_starts_nothing(
    ingress: Ingress, headers: str, who: str | None, status: int
) -> None:
    before = ingress.do("count", "orders")
    answer = ingress.start("orders", {"item": "book"}, who=who, headers=FORGED[headers])
    assert answer.status_code == status
    assert ingress.do("count", "orders") == before

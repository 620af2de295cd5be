"""Step Functions in a process of its own: moto, which runs the state machines and checks signatures and permissions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import botocore.session  # type: ignore[import-untyped]

REGION = "eu-central-1"
_PROGRAM = (
    "import sys; from moto.server import ThreadedMotoServer; server = ThreadedMotoServer('127.0.0.1', 0);"
    "server.start(); print('port', server.get_host_and_port()[1], flush=True); sys.stdin.read()"
)
MACHINES: dict[str, dict[str, Any]] = {
    "echo": {"Type": "Pass", "End": True},
    "slow": {"Type": "Wait", "Seconds": 300, "End": True},
    "broken": {"Type": "Fail", "Error": "Orders.NoStock", "Cause": "no chair is left"},
    "timid": {"Type": "Fail", "Error": "Lambda.ServiceException", "Cause": "come again"},
}
"""State machines of one state each."""


@dataclass(frozen=True, slots=True)
class StepFunctions:
    """The server, and a user of it."""

    address: str
    arns: dict[str, str]
    access_key: str
    secret_key: str
    client: Any
    """A botocore client of the same user."""
    post: Any
    """Sends to an endpoint of moto's own."""

    def connection(self, **extra: Any) -> str:
        """The Airflow connection to it."""
        known = {"auth": "aws", "aws_region": REGION, "aws_service": "states", "backoff": 0.001, "attempts": 2}
        fields = {"conn_type": "gateway", "host": self.address, "login": self.access_key, "password": self.secret_key}
        return json.dumps({**fields, "extra": {**known, **extra}})

    def executions(self, machine: str) -> list[dict[str, Any]]:
        """All executions of a machine."""
        found = self.client.list_executions(stateMachineArn=self.arns[machine])
        return list(found["executions"])


@contextmanager
def step_functions() -> Iterator[StepFunctions]:
    """Run it until the end of the context."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
    )
    try:
        assert process.stdout
        port = next(line.split()[1] for line in process.stdout if line.startswith("port "))
        yield _furnish(f"http://127.0.0.1:{port}")
    finally:
        process.communicate(timeout=20)


def _furnish(address: str) -> StepFunctions:
    def post(path: str, body: str) -> None:
        urlopen(Request(f"{address}/moto-api/{path}", body.encode(), {"Content-Type": "application/json"})).close()

    _wait(address)
    post("config", json.dumps({"stepfunctions": {"execute_state_machine": True}}))
    root = _client(address, "iam", "root", "root")
    root.create_user(UserName="airflow")
    allowed = {"Effect": "Allow", "Action": "states:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    root.put_user_policy(UserName="airflow", PolicyName="states", PolicyDocument=policy)
    key = root.create_access_key(UserName="airflow")["AccessKey"]
    client = _client(address, "stepfunctions", key["AccessKeyId"], key["SecretAccessKey"])
    arns = {
        name: client.create_state_machine(
            name=name,
            definition=json.dumps({"StartAt": "Work", "States": {"Work": state}}),
            roleArn="arn:aws:iam::123456789012:role/machine",
            type="STANDARD",
        )["stateMachineArn"]
        for name, state in MACHINES.items()
    }
    arns["express"] = client.create_state_machine(
        name="express",
        definition=json.dumps({"StartAt": "Work", "States": {"Work": MACHINES["echo"]}}),
        roleArn="arn:aws:iam::123456789012:role/machine",
        type="EXPRESS",
    )["stateMachineArn"]
    post("reset-auth", "0")  # from now on every request must be signed by a user who may
    return StepFunctions(address, arns, key["AccessKeyId"], key["SecretAccessKey"], client, post)


def _client(address: str, service: str, access: str, secret: str) -> Any:
    session = botocore.session.get_session()
    keys = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    return session.create_client(service, region_name=REGION, endpoint_url=address, **keys)


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            urlopen(f"{address}/moto-api/", timeout=5).close()
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no server at {address}")

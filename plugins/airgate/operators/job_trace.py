"""What others find a task's job with while nobody has heard the answer to its submission."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airgate.client.gateway import Gateway
from airgate.client.sealing import Unsealed, seal
from airgate.jobs.protocol import JobProtocol, reference, reference_to_find, reference_to_submit

_LARGEST_SEALED = 64 * 1024
"""Characters of a submission that is stored, for as long as its answer is waited for."""


def trace_of(gateway: Gateway, protocol: JobProtocol, submitted: JobProtocol, key: str) -> Mapping[str, Any] | None:
    """What finds the job of a submission, as JSON; None where no other process could find it.

    Where the service can be asked for the job of a key, that is ``key`` and ``protocol``, a reference. Where it only
    makes one job of a key, ``sealed`` has the submission, which is to be sent once more to learn its job. It holds the
    body, and is stored only encrypted with the connection's secrets.

    Args:
        gateway: Of the connection.
        protocol: Of the job.
        submitted: The same with the address that the service may call.
        key: Of the submission.
    """
    try:
        if protocol.finds:
            return {"key": key, "protocol": reference_to_find(protocol)}
        if not protocol.unique:
            return None
        whole = json.dumps(reference_to_submit(submitted))
        if len(whole) > _LARGEST_SEALED:
            return None
        sealed = seal(gateway.own_secrets, Unsealed(whole, key))
        return {"key": key, "protocol": reference(protocol), "sealed": sealed}
    except ValueError:  # its class stands in a DAG file, it is no JSON, or there is nothing to seal with
        return None

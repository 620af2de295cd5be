"""Results that are too large for XCom: kept in object storage, with a small reference in their place."""

from __future__ import annotations

from typing import Any

import msgspec

KIND = "object"


def guard_size(result: Any, ti: Any, *, limit: int, content_type: str = "text/plain") -> Any:
    """The result, or a reference to it when it is larger than the limit.

    The object lies in the task instance's folder below ``[airgate] data_root``, the same one in every try.

    Args:
        result: What a task returns.
        ti: The task instance.
        limit: Bytes of the result as JSON; 0 for no limit.
        content_type: Media type of a result that is text.

    Returns:
        ``{"airgate": "object", "uri": ..., "bytes": ..., "content_type": ...}``; ``read_object`` reads it.

    Raises:
        ValueError: It is too large, and there is no ``data_root``.
    """
    if not limit or (body := _encoded(result)) is None or len(body) <= limit:
        return result
    # Imported here, as it brings the file systems with it, and hardly any result needs them.
    from airgate.hooks.storage import open_folder, task_folder_uri

    try:
        folder = open_folder(task_folder_uri(ti))
    except ValueError as error:
        raise ValueError(
            f"the result has {len(body)} bytes, more than max_xcom_bytes={limit}: pick what the next task needs with "
            f"response_filter, raise max_xcom_bytes, or give large results a place: {error}"
        ) from None
    name, kind = "result.json", "application/json"
    if isinstance(result, str):
        name, kind, body = "result.txt", content_type, result.encode()
    folder.write(name, body)
    return {"airgate": KIND, "uri": f"{folder.uri}/{name}", "bytes": len(body), "content_type": kind}


def _encoded(result: Any) -> bytes | None:
    try:
        return msgspec.json.encode(result)
    except (TypeError, ValueError):
        return None  # Airflow serializes more than JSON, and says by itself what it cannot


def is_reference(value: Any) -> bool:
    """Whether a task's result stands for an object in storage."""
    return isinstance(value, dict) and value.get("airgate") == KIND and "uri" in value


def read_object(reference: Any) -> Any:
    """The result behind a reference; any other value as it is, so that a task need not know which it got.

    Raises:
        FileNotFoundError: The object is gone.
    """
    if not is_reference(reference):
        return reference
    from airgate.hooks.storage import open_folder

    folder, _, name = reference["uri"].rpartition("/")
    body = open_folder(folder).read(name)
    return msgspec.json.decode(body) if reference["content_type"] == "application/json" else body.decode()

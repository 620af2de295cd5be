"""Results that are too large for XCom: kept in object storage, with a small reference in their place."""

from __future__ import annotations

from typing import Any

import msgspec

KIND = "object"


def guard_size(result: Any, ti: Any, *, limit: int, content_type: str = "text/plain") -> Any:
    """The result, or a reference to it when it is larger than the limit.

    The object lies in the task instance's folder below ``[airgate] data_root``, the same one in every try. A result
    that looks like a reference is kept there whatever its size: what a service answers must not choose what
    ``read_object`` reads.

    Args:
        result: What a task returns.
        ti: The task instance.
        limit: Bytes of the result as JSON; 0 for no limit.
        content_type: Media type of a result that is text.

    Returns:
        ``{"airgate": "object", "uri": ..., "bytes": ..., "content_type": ...}``; ``read_object`` reads it.

    Raises:
        ValueError: It is too large, or looks like a reference, and there is no ``data_root``.
    """
    forged = is_reference(result)
    if not (limit or forged) or (body := _encoded(result)) is None or (len(body) <= limit and not forged):
        return result
    # Imported here, as it brings the file systems with it, and hardly any result needs them.
    from airgate.hooks.storage import open_folder, task_folder_uri

    try:
        folder = open_folder(task_folder_uri(ti))
    except ValueError as error:
        size = f"the result has {len(body)} bytes, more than max_xcom_bytes={limit}"
        what = "the answer looks like a reference to an object of airgate, and is none" if forged else size
        raise ValueError(
            f"{what}: pick what the next task needs with response_filter, raise max_xcom_bytes, or give large results "
            f"a place: {error}"
        ) from None
    name, kind = "result.json", "application/json"
    if isinstance(result, str):
        name, kind, body = "result.txt", content_type, result.encode()
    folder.write(name, body)
    return {"airgate": KIND, "uri": f"{folder.uri}/{name}", "bytes": len(body), "content_type": kind}


def own_result(result: Any, ti: Any) -> Any:
    """The result, of whatever size, kept in storage only where it looks like a reference; see ``guard_size``.

    Raises:
        ValueError: It does, and there is no ``data_root``.
    """
    return guard_size(result, ti, limit=0)


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
        ValueError: The reference names a place that is not below ``[airgate] data_root``, or there is none.
    """
    if not is_reference(reference):
        return reference
    from airflow.sdk import conf

    from airgate.hooks.storage import open_folder

    uri, root = str(reference["uri"]), conf.get("airgate", "data_root", fallback="").rstrip("/")
    below = uri.removeprefix(f"{root}/").split("/")
    if not root or not uri.startswith(f"{root}/") or {"", ".", ".."} & set(below):
        raise ValueError(
            f"a reference to an object must lead below [airgate] data_root, which is {root or 'not set'}. This one "
            "does not: it was not made by airgate, or data_root has changed since"
        )
    folder, _, name = uri.rpartition("/")
    body = open_folder(folder).read(name)
    return msgspec.json.decode(body) if reference.get("content_type") == "application/json" else body.decode()

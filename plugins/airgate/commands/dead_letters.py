"""``airflow gateway dead-letters``: records that did not fit: look at them, replay them, delete them."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgate.commands.output import Voice, failing

if TYPE_CHECKING:
    from airgate.data.store.dead_letters import DeadLetters
    from airgate.data.store.parts import DeadLetter
    from airgate.data.store.storage import Folder

_WIDTH = 200
"""Characters of a record in a table; JSON output has all."""


def show(args: Namespace) -> None:
    """Print dead letters, or how many there are of each kind."""
    from airgate.data.store.dead_letters import open_dead_letters

    voice = _voice()
    with failing(voice):
        if args.limit < 0:
            raise ValueError(f"--limit must be 0 or more, not {args.limit}")
        letters = open_dead_letters(_data_set(args.where))
        wanted = _wanted(letters, args.reason)
        rows = _counted(wanted) if args.count_by else [_row(letter, args) for letter in _first(wanted, args.limit)]
        more = 0 if args.count_by else sum(1 for _ in wanted)
    if args.output == "json":
        _say(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        from airflow.cli.simple_table import AirflowConsole

        AirflowConsole().print_as([{name: _cell(value) for name, value in row.items()} for row in rows], "table")
    _remark(voice, letters, len(rows), more)


def replay(args: Namespace) -> None:
    """Replay dead letters; the manifest of the additional data set goes to standard output."""
    from airgate.data.shape.schema import arrow_schema
    from airgate.data.store.replay import replay as replay_letters

    voice = _voice()
    with failing(voice):
        schema = arrow_schema(args.schema)
        replayed = replay_letters(_data_set(args.where), schema, _folder(args.into) if args.into else None)
    manifest = replayed.manifest
    if manifest is None:
        voice.remark("nothing to replay: there are no dead letters" if not replayed.earlier else "nothing to replay")
        for earlier in replayed.earlier:
            voice.remark(f"replayed before, into {earlier.into}; what did not fit then is a dead letter there")
        return
    _say(json.dumps(manifest.to_json(), indent=2, ensure_ascii=False))
    voice.remark(
        f"{manifest.received} records replayed into {manifest.path}: {manifest.written} fit now, "
        f"{manifest.dead_lettered} are dead letters there"
    )


def purge(args: Namespace) -> None:
    """Delete old dead letters in a folder and all below it, when told so."""
    from airgate.data.store.retention import find_expired, parse_age
    from airgate.data.store.retention import purge as delete

    voice, now = _voice(), datetime.now(UTC)
    with failing(voice):
        age = parse_age(args.older_than)
        expired = find_expired(_folder(args.where), age, now)
        if not expired:
            voice.remark(f"no dead letters in {args.where} are older than {args.older_than}")
            return
        for one in expired:
            voice.say(f"{one.modified:%Y-%m-%d %H:%M}  {one.bytes:>12,} bytes  {one.folder.uri}/{one.name}")
        if not args.yes and not _agreed(voice, len(expired)):
            voice.fail("nothing was deleted")
        records = delete(expired, now)
    voice.remark(f"deleted {len(expired)} files with {records} dead letters")


def _voice() -> Voice:
    from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr

    redirect_stdout_log_handlers_to_stderr()
    return Voice()


def _data_set(where: str) -> Folder:
    """The folder of a data set, named by itself or by its manifest.

    A manifest may lie elsewhere, such as a copy of an XCom: then the folder is the one that it names.
    """
    from airgate.data.store.manifest import FILE_NAME, Manifest

    if not where.endswith(".json"):
        return _folder(where)
    holder, _, name = _uri(where).rpartition("/")
    folder = _folder(holder)
    if name == FILE_NAME:
        return folder
    try:
        content = json.loads(folder.read(name))
    except ValueError:
        raise ValueError(f"{where} is not JSON") from None
    return _folder(Manifest.from_json(content).path)


def _folder(where: str) -> Folder:
    from airgate.hooks.storage import open_folder

    return open_folder(_uri(where).rstrip("/"))


def _uri(where: str) -> str:
    return where if "://" in where else Path(where).resolve().as_uri()


def _wanted(letters: DeadLetters, reason: str | None) -> Iterator[DeadLetter]:
    text = (reason or "").lower()
    return (letter for letter in letters if text in letter.reason.lower())


def _first(letters: Iterator[DeadLetter], limit: int) -> Iterator[DeadLetter]:
    return islice(letters, limit) if limit else letters


def _counted(letters: Iterator[DeadLetter]) -> list[dict[str, Any]]:
    from airgate.data.store.dead_letters import kind_of

    counts = Counter(kind_of(letter.reason) for letter in letters)
    return [{"count": count, "reason": _safe(reason)} for reason, count in counts.most_common()]


def _row(letter: DeadLetter, args: Namespace) -> dict[str, Any]:
    from airgate.data.store.dead_letters import mask_letter
    from airgate.data.store.masking import secret

    if not args.reveal:
        letter = mask_letter(letter, secret)
    row = {
        "page": letter.page,
        "index": letter.index,
        "position": letter.position,
        "reason": letter.reason,
        "record": letter.record,
    }
    return row if args.reveal else {name: _safe(value) for name, value in row.items()}


def _safe(value: Any) -> Any:
    """A value, with credentials masked that stand in its texts, or in the query of a URL, as a position may be one."""
    from airgate.policy.redaction import redact_text, redact_url

    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            name: _safe(redact_url(inner) if isinstance(inner, str) and "?" in inner else inner)
            for name, inner in value.items()
        }
    return value


def _cell(value: Any) -> str:
    """A value for a terminal: cut, what would steer it escaped, and no markup of rich."""
    from rich.markup import escape

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
    return escape("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))


def _say(text: str) -> None:
    """Say a result as it is: what had to be masked in it is masked."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _remark(voice: Voice, letters: DeadLetters, shown: int, more: int) -> None:
    if more:
        voice.remark(f"{shown} of {shown + more} dead letters; --limit 0 shows all, --count-by reason counts them")
    elif not shown:
        voice.remark(f"no dead letters in {letters.folder.uri}")
    if letters.manifest is None:
        voice.remark("the data set is not complete: its task is still reading, or failed; there may be more")
    for purged in letters.purged:
        voice.remark(f"{purged.records} dead letters of {purged.name} were purged on {purged.at:%Y-%m-%d}")


def _agreed(voice: Voice, count: int) -> bool:
    voice.remark(f"Delete {count} file{'s' if count > 1 else ''}? Their records cannot be had again. [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}

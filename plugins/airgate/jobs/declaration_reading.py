"""Reads a declaration and finds what is wrong with it, all at once: each problem with its place and its cure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from airgate.jobs.declaration import Batch, Declaration, Exchange, Failure, Look, Named
from airgate.jobs.declaration_file import LARGEST
from airgate.jobs.declaration_request import REQUEST, RequestReader, kind_of
from airgate.jobs.job import JobState
from airgate.jobs.status_document import words_of

SECTIONS: Mapping[str, Collection[str]] = {
    "submit": (*REQUEST, "id", "keep"),
    "status": (*REQUEST, "state", "words", "percent", "percent_full", "phase", "message", "retry_after"),
    "result": (*REQUEST, "pick"),
    "failure": ("reason", "log", "retryable"),
    "cancel": REQUEST,
    "find": (*REQUEST, "id", "keep"),
    "batch": (*REQUEST, "jobs", "id", "size"),
}
TOP = ("name", "unique", *SECTIONS)
_UNIQUE = (True, False, "header", "field")
_MOST_AT_ONCE = 1000


class DeclarationError(ValueError):
    """A declaration that cannot work; the text has all problems, a line each."""


def read_declaration(given: Any) -> Declaration:
    """The declaration of an object of JSON or YAML.

    Raises:
        DeclarationError: It cannot work.
    """
    reader = _Reader()
    declaration = reader.read(given)
    if reader.problems or declaration is None:
        name = given.get("name") if isinstance(given, Mapping) else None
        said = reader.problems[0] if len(reader.problems) == 1 else "".join(f"\n- {each}" for each in reader.problems)
        raise DeclarationError(f"{name}: {said}" if isinstance(name, str) else said)
    return declaration


class _Reader(RequestReader):
    """Goes through the sections and collects what is wrong."""

    def read(self, given: Any) -> Declaration | None:
        if not isinstance(given, Mapping):
            self.problems.append(f"a declaration must be an object with submit and status, not a {kind_of(given)}")
            return None
        self.size(given)
        self.known("", given, TOP)
        sections = {name: self.section(name, given) for name in SECTIONS}
        for name, cure in (("submit", "what starts a job"), ("status", "what shows a job")):
            if given.get(name) is None:
                self.wrong(name, f"it is missing; declare {cure}: at least its path")
        submit, status = self.exchange("submit", sections["submit"], "POST"), self.look_at("status", sections["status"])
        find = self.look_at("find", sections["find"]) if sections["find"] else None
        unique = self.unique(given.get("unique", False), submit)
        result = self.look_at("result", sections["result"]) if "path" in sections["result"] else None
        if result is None:
            self.needs_path("result", sections["result"])
        declaration = Declaration(
            name=str(given.get("name") or ""),
            unique=unique,
            submit=submit,
            submitted=self.named("submit", sections["submit"]),
            status=status,
            look=self.look(sections["status"]),
            result=result,
            result_pick=self.pick("result.pick", sections["result"].get("pick")),
            failure=self.failure(sections["failure"]),
            cancel=self.exchange("cancel", sections["cancel"], "DELETE") if sections["cancel"] else None,
            find=find,
            found=self.named("find", sections["find"]) if find else None,
            batch=self.batch(sections["batch"]) if sections["batch"] else None,
        )
        self.rules(declaration)
        return declaration

    def size(self, given: Mapping[str, Any]) -> None:
        try:
            size = len(json.dumps(given))
        except (TypeError, ValueError) as error:
            self.problems.append(f"a declaration holds what JSON does, and nothing else: {error}")
        else:
            if size > LARGEST:
                self.problems.append(f"a declaration may have {LARGEST} bytes at most, not {size}")

    # -- parts ----------------------------------------------------------------------------------------------------

    def section(self, name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        section = given.get(name)
        if section is None:
            return {}
        if not isinstance(section, Mapping):
            self.wrong(name, f"it must be an object, not a {kind_of(section)}")
            return {}
        self.known(name, section, SECTIONS[name])
        return section

    def unique(self, given: Any, submit: Exchange) -> bool:
        if given not in _UNIQUE or isinstance(given, int) is not isinstance(given, bool):
            self.wrong("unique", f"it must be true, false, header or field, not {given!r}")
        elif given == "field" and "key" not in {name for _, name in submit.places}:
            self.wrong("unique", "field says that a field of the submission holds the key: put {key} into submit")
        return given not in (False, None)

    def named(self, at: str, section: Mapping[str, Any]) -> Named:
        if section and not section.get("id"):
            self.wrong(f"{at}.id", "it is missing; write where the answer has the job's id, as JMESPath: id")
        keep = section.get("keep") or {}
        if not isinstance(keep, Mapping):
            self.wrong(f"{at}.keep", f"it must be an object of names and JMESPath, not a {kind_of(keep)}")
            keep = {}
        for name in keep:
            if name in {"id", "key", "ids", "id_list"}:
                self.wrong(f"{at}.keep.{name}", "this name is filled by itself; choose another one")
        kept = {str(name): self.pick(f"{at}.keep.{name}", pick) for name, pick in keep.items()}
        return Named(at, self.pick(f"{at}.id", section.get("id")), kept)

    def look(self, section: Mapping[str, Any]) -> Look:
        full = section.get("percent_full", 100)
        if isinstance(full, bool) or not isinstance(full, int | float) or full <= 0:
            self.wrong("status.percent_full", f"it must be the number that means done, such as 1, not {full!r}")
            full = 100
        names = ("percent", "phase", "message", "retry_after")
        picks = {name: self.pick(f"status.{name}", section.get(name)) for name in names}
        state = self.pick("status.state", section.get("state", "status || state"))
        return Look(state, self.words(section.get("words") or {}), percent_full=float(full), **picks)

    def words(self, given: Any) -> Mapping[str, JobState]:
        own: dict[JobState, list[str]] = {}
        if not isinstance(given, Mapping):
            self.wrong("status.words", f"it must be an object of states and their words, not a {kind_of(given)}")
            given = {}
        self.known("status.words", given, [state.value for state in JobState])
        for name, words in given.items():
            listed = words if isinstance(words, list | tuple) else [words]
            if not all(isinstance(word, str | int) for word in listed):
                self.wrong(f"status.words.{name}", f"it must be a word or a list of them, not {words!r}")
            elif name in {state.value for state in JobState}:
                own[JobState(name)] = [str(word) for word in listed]
        try:
            return words_of(own)
        except ValueError as error:
            self.problems.append(f"status.words.{error}")
            return words_of({})

    def failure(self, section: Mapping[str, Any]) -> Failure:
        reason, retryable = self.pick("failure.reason", section.get("reason")), section.get("retryable")
        if isinstance(retryable, str):
            retryable = self.pick("failure.retryable", retryable)
        elif not isinstance(retryable, bool | None):
            self.wrong("failure.retryable", f"it must be true, false or a JMESPath expression, not {retryable!r}")
        log = section.get("log")
        if not isinstance(log, Mapping):
            return Failure(reason, retryable, None, self.pick("failure.log", log))
        self.known("failure.log", log, (*REQUEST, "pick"))
        return Failure(
            reason, retryable, self.look_at("failure.log", log), self.pick("failure.log.pick", log.get("pick"))
        )

    def batch(self, section: Mapping[str, Any]) -> Batch:
        exchange = self.look_at("batch", section)
        if not {"ids", "id_list"} & {name for _, name in exchange.places}:
            self.wrong("batch", "nothing says which jobs are asked for; put {ids}, with commas, or {id_list} into it")
        size = section.get("size", 50)
        if type(size) is not int or not 2 <= size <= _MOST_AT_ONCE:
            self.wrong("batch.size", f"it must be a number of jobs from 2 to {_MOST_AT_ONCE}, not {size!r}")
            size = 50
        for name in ("jobs", "id"):
            if not section.get(name):
                self.wrong(f"batch.{name}", "it is missing; write where the answer has it, as JMESPath")
        return Batch(
            exchange, self.pick("batch.jobs", section.get("jobs")), self.pick("batch.id", section.get("id")), size
        )

    # -- rules ----------------------------------------------------------------------------------------------------

    def needs_path(self, at: str, section: Mapping[str, Any]) -> None:
        for name in set(REQUEST) & set(section):
            self.wrong(f"{at}.{name}", f"without {at}.path nothing is asked for; write the path, or remove {name}")

    def rules(self, declaration: Declaration) -> None:
        """What one section says of another."""
        if not declaration.unique and 409 in (declaration.submit.expect or ()):
            self.wrong("submit.expect", "409 must mean that the job of this key is there already; that needs unique")
        if declaration.batch is not None:
            for at, name in declaration.batch.exchange.places:
                if name not in {"ids", "id_list"}:
                    self.wrong(at, f"nothing fills {{{name}}}: many jobs are asked for by {{ids}} or {{id_list}} alone")

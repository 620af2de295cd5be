"""Requests to one repository at GitHub's REST API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airgate.client import clock
from airgate.client.message import Response
from airgate.jobs.github_runs import refusal
from airgate.jobs.talk import Ask, Talk

PAGE = 100
FEW_PAGES = 10
"""GitHub gives up to 1000 results of a search."""


@dataclass(frozen=True, slots=True)
class GithubRepository:
    """Asks for what belongs to a repository; paths are those below it."""

    name: str
    """``owner/name``."""
    base: str
    api_version: str

    def ask(
        self,
        method: str,
        path: str,
        path_params: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        expect: Collection[int] | None = None,
    ) -> Ask:
        """One request, with the headers that GitHub wants."""
        owner, _, name = self.name.partition("/")
        return Ask(
            method,
            f"{self.base.rstrip('/')}/repos/{{owner}}/{{repo}}{path}",
            {"owner": owner, "repo": name, **(path_params or {})},
            params,
            json,
            headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": self.api_version},
            expect=expect,
        )

    def get(
        self, path: str, path_params: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Talk[Response]:
        """A look.

        Raises:
            RateLimited: GitHub answered 403 and meant a limit.
        """
        answer = yield self.ask("GET", path, path_params, params=params, expect=(200, 403))
        if answer.status == 403:
            raise refusal(answer, clock.now())
        return answer

    def pages(self, path: str, path_params: Mapping[str, Any], member: str) -> Talk[list[Any]]:
        """The members of a list, at most 1000."""
        found: list[Any] = []
        for page in range(1, FEW_PAGES + 1):
            answer = yield from self.get(path, path_params, {"per_page": PAGE, "page": page})
            part = members(answer, member)
            found += part
            if len(part) < PAGE:
                break
        return found


def members(answer: Response, name: str) -> list[Any]:
    """The list of that name in an answer.

    Raises:
        InvalidResponse: There is none.
    """
    value = member(answer, name)
    if not isinstance(value, list):
        raise answer.invalid(f"{name!r} is no list")
    return value


def member(answer: Response, name: str) -> Any:
    """What stands under that name in an answer.

    Raises:
        InvalidResponse: Nothing does.
    """
    value = answer.json()
    if not isinstance(value, dict) or name not in value:
        raise answer.invalid(f"the answer has no {name!r}")
    return value[name]

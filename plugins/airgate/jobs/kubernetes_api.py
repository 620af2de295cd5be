"""What the API server of Kubernetes is asked for Jobs and their pods, one request or list a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airgate.client.message import Response
from airgate.jobs.talk import Ask, Talk
from airgate.policy.errors import NotFound

_JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
_PODS = "/api/v1/namespaces/{namespace}/pods"
_PAGE = 500
_LOG_LINES = 50


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server behind the gateway."""

    base: str = ""
    """Its path there."""

    def create(self, job: dict[str, Any]) -> Talk[Response]:
        """Create a Job; 409 where its name is taken. What the server does not know in it is refused."""
        return (
            yield self._ask(
                "POST",
                _JOBS,
                job["metadata"]["namespace"],
                params={"fieldManager": "airgate", "fieldValidation": "Strict"},
                json=job,
                expect={200, 201, 202, 409},
            )
        )

    def job(self, namespace: str, name: str) -> Talk[dict[str, Any]]:
        """A Job.

        Raises:
            NotFound: There is none of this name.
        """
        try:
            answer = yield self._ask("GET", _JOBS + "/{name}", namespace, name)
        except NotFound as error:
            raise NotFound(
                f"job {namespace}/{name} is not there: it was deleted, or its ttlSecondsAfterFinished was over",
                method=error.method,
                url=error.url,
                status=error.status,
                attempts=error.attempts,
            ) from error
        found: dict[str, Any] = answer.json()
        return found

    def delete(self, namespace: str, name: str) -> Talk[None]:
        """Delete a Job after its pods, and so after their processes; none is fine too."""
        params = {"propagationPolicy": "Foreground"}
        yield self._ask("DELETE", _JOBS + "/{name}", namespace, name, params=params, expect={200, 202, 404, 409})

    def jobs(self, namespace: str, selector: str) -> Talk[list[dict[str, Any]]]:
        """The Jobs that a selector of labels takes."""
        return self._list(_JOBS, namespace, selector)

    def pods(self, namespace: str, selector: str) -> Talk[list[dict[str, Any]]]:
        """The pods that a selector of labels takes."""
        return self._list(_PODS, namespace, selector)

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Talk[str]:
        """The last lines of a container's log; ``previous`` for its run before this one."""
        params = {"container": container, "tailLines": _LOG_LINES, "previous": True if previous else None}
        return (yield self._ask("GET", _PODS + "/{name}/log", namespace, pod, params=params)).text

    def _list(self, path: str, namespace: str, selector: str) -> Talk[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"labelSelector": selector, "limit": _PAGE}
        while True:
            page = (yield self._ask("GET", path, namespace, params=params)).json()
            found.extend(page.get("items") or [])
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found
            params = {**params, "continue": more}

    def _ask(self, method: str, path: str, namespace: str, name: str | None = None, **fields: Any) -> Ask:
        names = {"namespace": namespace} if name is None else {"namespace": namespace, "name": name}
        return Ask(method, self.base.rstrip("/") + path, path_params=names, **fields)

"""Jobs of Kubernetes, over an API server behind the gateway.

Checked against the batch/v1 and core/v1 APIs of Kubernetes 1.37. The account needs ``create``, ``get``, ``list`` and
``delete`` on jobs, ``list`` on pods and ``get`` on pods/log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from airgate.client.message import Response
from airgate.jobs import kubernetes_manifest as manifests
from airgate.jobs import kubernetes_state as states
from airgate.jobs.job import LONGEST_TEXT, JobHandle, JobStatus
from airgate.jobs.kubernetes_api import ApiServer
from airgate.jobs.protocol import JobProtocol
from airgate.jobs.talk import Talk
from airgate.policy.errors import Conflict, GatewayError, JobFailed, NotFound, Unavailable

log = logging.getLogger(__name__)

_SHORT_TTL = 600
"""Seconds: a poll a minute, and a worker that is free again only some minutes later, must still meet the Job."""
_LARGEST_LOG_RESULT = 100
"""Pods whose logs are read for one result."""


@dataclass
class KubernetesJob(JobProtocol):
    """One Job: of an image, or of a manifest.

    Its name is made of the task's key, so that a submission that is repeated finds the Job of the first one.
    """

    namespace: str = "default"
    manifest: Mapping[str, Any] | str | None = field(default=None, repr=False)
    """Of a Job of batch/v1, instead of ``image``; a text only as a template of one."""
    image: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = field(default=(), repr=False)
    env: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Values, or dicts that stand for ``valueFrom``: ``{"secretKeyRef": {"name": …, "key": …}}``."""
    name: str = ""
    """What the Job's name begins with; empty for the manifest's name, or ``airgate``."""
    base: str = ""
    """Path of the API server behind the gateway."""
    output: Literal["log"] | None = None
    """The result: ``log`` for the last line of the log, as JSON where it is; None for counts and times."""
    container: str = ""
    """Whose log is the result; empty for the pod's default, or its first."""
    backoff_limit: int | None = None
    """Pods that Kubernetes starts anew; None for the manifest's, and 0 for an image: the task's retries do that."""
    active_deadline_seconds: int | None = None
    """After which Kubernetes itself ends the Job; None for the manifest's."""
    ttl_seconds_after_finished: int = 86_400
    """After its end at which Kubernetes deletes the Job with its log; a manifest's own counts for more."""

    template_fields: ClassVar[Sequence[str]] = (
        "namespace",
        "manifest",
        "image",
        "command",
        "args",
        "env",
        "name",
        "base",
        "container",
    )
    watched: ClassVar[Sequence[str]] = ("namespace", "base")
    batch: ClassVar[int] = 100

    @property
    def unique(self) -> bool:
        """The name of a Job is unique in its namespace."""
        return True

    @property
    def finds(self) -> bool:
        """The name of a Job follows from the key."""
        return True

    def problem(self) -> str | None:
        """What keeps this from working."""
        if problem := manifests.label_problem("namespace", self.namespace, 63):
            return problem
        if (self.manifest is None) == (not self.image):
            return "give either image, or the manifest of a Job"
        if isinstance(self.manifest, str) and "{{" in self.manifest:
            return None
        if self.manifest is not None and (self.command or self.args or self.env):
            return "command, args and env belong to image; a manifest has its own"
        if isinstance(self.command, str) or isinstance(self.args, str):
            return "command and args must be lists of texts, which no shell takes apart"
        problem = manifests.env_problem(self.env)
        if problem is None and self.manifest is not None:
            problem = manifests.manifest_problem(self.manifest, self.namespace)
        problem = problem or manifests.label_problem("name", self._name(), manifests.LONGEST_NAME)
        return problem or self._number_problem()

    def _number_problem(self) -> str | None:
        if self.output not in {None, "log"}:
            return f"output must be 'log' or None, not {self.output!r}"
        for name, least in (("backoff_limit", 0), ("active_deadline_seconds", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                return f"{name} must be {least} or more, not {value}"
        spec = self._manifest()["spec"]
        if spec["ttlSecondsAfterFinished"] < 60:
            return "ttl_seconds_after_finished must be at least 60: the Job would be gone before its end is seen"
        if self.output and int(spec.get("completions") or 1) > _LARGEST_LOG_RESULT:
            return f"output='log' reads at most {_LARGEST_LOG_RESULT} logs, and the Job has more completions"
        return None

    def submit(self, key: str) -> Talk[JobHandle]:
        """Create the Job, or find that the same submission created it before."""
        job = manifests.marked(self._manifest(), self._name(), self.namespace, key)
        if (kept := job["spec"]["ttlSecondsAfterFinished"]) < _SHORT_TTL:
            log.warning(
                "a Job that is deleted %d s after its end may be gone before its result is read; "
                "ttl_seconds_after_finished should be %d or more",
                *(kept, _SHORT_TTL),
            )
        answer = yield from self._server.create(job)
        if answer.status == 409:
            return (yield from self._ours(job, answer))
        return self._handle(answer.json())

    def status(self, handle: JobHandle) -> Talk[JobStatus]:
        """What the Job says; while no pod of it is ready, also what keeps the pods from it."""
        job = yield from self._job(handle)
        if not states.has_no_pod_ready(job):
            return states.job_status(job)
        return states.job_status(job, (yield from self._pods(handle)))

    def statuses(self, handles: Sequence[JobHandle]) -> Talk[Mapping[str, JobStatus]]:
        """Those of the namespace in one request, or two where some have not started."""
        wanted = {
            handle.data["uid"]: handle
            for handle in handles
            if handle.data.get("uid") and handle.data.get("key") and self._place(handle)[0] == self.namespace
        }
        if not wanted:
            return {}
        selector = _any_of(str(handle.data["key"]) for handle in wanted.values())
        found = yield from self._server.jobs(self.namespace, selector)
        jobs = {uid: job for job in found if (uid := job["metadata"].get("uid")) in wanted}
        pods: list[dict[str, Any]] = []
        if starting := [str(wanted[uid].data["key"]) for uid, job in jobs.items() if states.has_no_pod_ready(job)]:
            pods = yield from self._server.pods(self.namespace, _any_of(starting))
        return {wanted[uid].id: states.job_status(job, states.owned(pods, uid)) for uid, job in jobs.items()}

    def result(self, handle: JobHandle) -> Talk[Any]:
        """The last line of the log, or counts and times; of several completions a list of lines, in their order.

        Raises:
            JobFailed: With the reason of the Job and of the container that failed last, and the end of its log.
        """
        job = yield from self._job(handle)
        over = states.outcome(job)
        if over is None or over["type"] != "Complete":
            raise (yield from self._failure(handle, job))
        if self.output is None:
            return states.summary(job)
        pods = states.succeeded((yield from self._pods(handle)))
        if not pods:
            raise NotFound(f"job {handle.id} succeeded, and its pods are gone with their log", status=404)
        lines = []
        for pod in pods if states.completions(job) > 1 else pods[-1:]:
            container = states.logged_container(pod, self.container)
            text = yield from self._server.log(self._place(handle)[0], pod["metadata"]["name"], container)
            lines.append(_last_line(text))
        return lines if states.completions(job) > 1 else lines[0]

    def cancel(self, handle: JobHandle) -> Talk[None]:
        """Delete the Job, unless it is over; it is gone only when its pods are."""
        try:
            job = yield from self._job(handle)
        except NotFound:
            return
        if states.outcome(job) is None and not job["metadata"].get("deletionTimestamp"):
            yield from self._server.delete(*self._place(handle))

    def find(self, key: str) -> Talk[JobHandle | None]:
        """The Job of the key's name, if it bears the key."""
        try:
            job = yield from self._server.job(self.namespace, manifests.job_name(self._name(), key))
        except NotFound:
            return None
        labels = job["metadata"].get("labels") or {}
        return self._handle(job) if labels.get(manifests.KEY_LABEL) == manifests.label_of(key) else None

    def seeking(self) -> dict[str, Any]:
        """With what the Job's name begins with, which may stand in the manifest alone."""
        return {**super().seeking(), "name": self._name()}

    # -- what is asked for ----------------------------------------------------------------------------------------

    @property
    def _server(self) -> ApiServer:
        return ApiServer(self.base)

    def _name(self) -> str:
        return self.name or str(manifests.part(self.manifest, "metadata").get("name") or "airgate")

    def _manifest(self) -> dict[str, Any]:
        """The manifest without name and marks."""
        manifest = self.manifest or manifests.of_image(self.image, self.command, self.args, self.env)
        if isinstance(manifest, str):
            # A wrong value, as every other one here.
            raise ValueError("manifest must be a dict; render_template_as_native_obj=True makes one")  # noqa: TRY004
        own = {"backoffLimit": self.backoff_limit, "activeDeadlineSeconds": self.active_deadline_seconds}
        given = {name: value for name, value in own.items() if value is not None}
        spec = {"ttlSecondsAfterFinished": self.ttl_seconds_after_finished, **manifest["spec"], **given}
        return {**manifest, "spec": spec}

    # -- what is there --------------------------------------------------------------------------------------------

    def _place(self, handle: JobHandle) -> tuple[str, str]:
        """Namespace and name."""
        namespace, _, name = handle.id.rpartition("/")
        return namespace or self.namespace, name

    def _handle(self, job: Mapping[str, Any]) -> JobHandle:
        metadata = job["metadata"]
        data = {"uid": metadata.get("uid"), "key": (metadata.get("labels") or {}).get(manifests.KEY_LABEL)}
        return JobHandle(f"{metadata.get('namespace') or self.namespace}/{metadata['name']}", data)

    def _job(self, handle: JobHandle) -> Talk[dict[str, Any]]:
        job = yield from self._server.job(*self._place(handle))
        uid = handle.data.get("uid")
        if uid is not None and job["metadata"].get("uid") != uid:
            raise NotFound(f"job {handle.id} is not there: another one has its name now", status=404)
        return job

    def _pods(self, handle: JobHandle) -> Talk[list[dict[str, Any]]]:
        namespace, name = self._place(handle)
        return self._server.pods(namespace, f"batch.kubernetes.io/job-name={name}")

    def _ours(self, job: Mapping[str, Any], answer: Response) -> Talk[JobHandle]:
        """The Job that holds the name, if it is the one that is asked for."""
        metadata = job["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        found = yield from self._server.job(metadata["namespace"], metadata["name"])
        held = found["metadata"]
        call: dict[str, Any] = {"method": answer.method, "url": answer.url, "status": 409}
        if (held.get("labels") or {}).get(manifests.KEY_LABEL) != metadata["labels"][manifests.KEY_LABEL]:
            problem = f"job {name} exists, and is not this task's; give the protocol another name"
            raise Conflict(problem, **call)
        spec = (held.get("annotations") or {}).get(manifests.SPEC_ANNOTATION)
        if spec != metadata["annotations"][manifests.SPEC_ANNOTATION]:
            cure = "let every try build the same one, or give the task another epoch"
            raise Conflict(f"job {name} was submitted with another manifest; {cure}", **call)
        if held.get("deletionTimestamp"):
            problem = f"job {name} is being deleted; its name is free when its pods are gone"
            raise Unavailable(problem, **call)
        return self._handle(found)

    def _failure(self, handle: JobHandle, job: Mapping[str, Any]) -> Talk[JobFailed]:
        cause, excerpt = None, ""
        try:
            cause = states.culprit((yield from self._pods(handle)))
            if cause is not None:
                namespace = self._place(handle)[0]
                excerpt = yield from self._server.log(namespace, cause.pod, cause.container, previous=cause.previous)
        except GatewayError as error:  # the Job's own reason is known without it
            excerpt = f"(no log: {error.reason})"
        why = states.why_failed(job) or "it is not over"
        reason = "; ".join([f"job {handle.id} failed: {why}", *([cause.why] if cause else [])])
        failed = states.outcome(job) or {}
        return JobFailed(reason, excerpt=excerpt.strip()[-LONGEST_TEXT:], retryable=states.may_pass(failed, cause))


def _any_of(keys: Iterable[str]) -> str:
    """The selector of the objects that bear one of the keys."""
    return f"{manifests.KEY_LABEL} in ({','.join(sorted(set(keys)))})"


def _last_line(text: str) -> Any:
    """The last line of a log that says something, as JSON where it is."""
    line = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    try:
        return json.loads(line)
    except ValueError:
        return line

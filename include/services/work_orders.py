"""What can be ordered of the work service, and what comes of an order once its time is over."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+\Z")]


class Order(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every kind of work takes."""

    singular: ClassVar[str] = ""
    phases: ClassVar[tuple[str, ...]] = ()
    """What a job is doing, one after the other, each for the same share of its time."""

    name: Name
    seconds: Annotated[float, Meta(ge=0, le=86_400)] = 1.0
    """How long it takes."""
    fail: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """What it fails with, after six tenths of its time; None to succeed."""
    transient: bool = False
    """Whether another try may not fail, as the service sees it."""
    reference: Reference | None = None
    """The caller's own name of the job, to find it by."""
    location: Literal["path", "absolute", "signed"] = "path"
    """How the answer writes where the job is: a path, a whole address, or a path that has to be asked with its
    signature."""

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """What a job that succeeded gives.

        Args:
            job: Its id.
            before: What stood where the job puts something; by kind.
        """
        raise NotImplementedError


class Build(Order, kw_only=True):
    """Makes an artifact of a revision."""

    singular = "build"
    phases = ("checkout", "compile", "test", "package")
    revision: Name = "main"

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """The artifact; one revision gives one digest."""
        return {"artifact": f"{self.name}-{self.revision}", "digest": digest(self.name, self.revision), "job": job}


class Check(Order, kw_only=True):
    """Judges something; to say no is an answer and no failure."""

    singular = "check"
    phases = ("collect", "judge")
    target: Annotated[str, Meta(min_length=1, max_length=200)]
    passes: bool = True

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """The verdict."""
        findings = [] if self.passes else [f"{self.name}: {self.target} is not good enough"]
        return {"passed": self.passes, "target": self.target, "findings": findings}


class Deployment(Order, kw_only=True):
    """Puts a version into an environment; one that fails or is cancelled leaves the version before in place."""

    singular = "deployment"
    phases = ("upload", "drain", "switch", "warm up")
    environment: Name
    version: Name
    digest: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    healthy: bool = True
    """Whether the version works once it runs, which only looking at it can tell."""

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """What runs now, and what ran before: to go back is to deploy that."""
        return {"environment": self.environment, "version": self.version, "previous": before}


class Plan(Order, kw_only=True):
    """Says what an environment would need, and changes nothing."""

    singular = "plan"
    phases = ("refresh", "compare")
    environment: Name
    resources: Annotated[list[Name], Meta(min_length=1, max_length=20)] = msgspec.field(
        default_factory=lambda: ["network", "database", "service"]
    )

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """What would be made; the plan's id is what an apply takes."""
        wanted = [each for each in self.resources if each not in (before or [])]
        return {"plan": job, "environment": self.environment, "create": wanted, "keep": before or []}


class Apply(Order, kw_only=True):
    """Makes what a plan says."""

    singular = "apply"
    phases = ("lock", "create", "wire", "unlock")
    environment: Name
    plan: Annotated[str, Meta(min_length=1, max_length=60)]

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """What there is now."""
        return {"environment": self.environment, "plan": self.plan, "resources": before or []}


class Destroy(Order, kw_only=True):
    """Takes an environment away; one that is not there is no error."""

    singular = "destroy"
    phases = ("lock", "delete", "unlock")
    environment: Name

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """What was taken away."""
        return {"environment": self.environment, "destroyed": before or []}


class Export(Order, kw_only=True):
    """Writes rows, and is asked for in HTTP's own words: 202 while it runs, 303 to what it wrote."""

    singular = "export"
    phases = ("write",)
    rows: Annotated[float, Meta(ge=0, le=1000, multiple_of=1)] = 3  # JSON knows 3.0 for an integer, too

    def result(self, job: str, before: Any) -> dict[str, Any]:
        """The rows."""
        return {"rows": [{"row": number, "of": self.name} for number in range(int(self.rows))]}


KINDS: Final[dict[str, type[Order]]] = {
    "builds": Build,
    "checks": Check,
    "deployments": Deployment,
    "plans": Plan,
    "applies": Apply,
    "destroys": Destroy,
    "exports": Export,
}
"""By the path that takes the order."""


def digest(*parts: str) -> str:
    """A digest as registries write it, of these texts."""
    return f"sha256:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"

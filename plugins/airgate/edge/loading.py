"""From a gateway's file to an edge that serves it, or to all reasons why none does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airgate.edge.app import Edge
from airgate.edge.named_files import NamedFiles
from airgate.edge.service_loading import service_calls
from airgate.edge.settings import Settings
from airgate.spec.config import Mode, load


class FileRefused(Exception):
    """A file that is not served.

    Args:
        lines: What is wrong and what to do, one line each.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Source:
    """A gateway's file and how it is to be served; variables are those of the process's start."""

    path: Path
    mode: Mode
    settings: Settings
    environment: Mapping[str, str]
    files: NamedFiles = field(default_factory=NamedFiles)
    """Itself and what it names, as of the last `read`; a change of any of them is a reason to read it again."""
    stand_ins: Path | None = None
    """The folder with the modules that run in place of services and hooks."""

    def read(self) -> str:
        """The text of the file.

        Raises:
            FileRefused: it cannot be read.
        """
        try:
            self.files.begin()
            if self.stand_ins is not None:
                self.files.watch(self.stand_ins)
            return self.files.read(self.path).decode("utf-8", "replace")
        except OSError as error:
            raise FileRefused(f"cannot read {self.path}: {error.strerror}") from None

    def check(self, text: str) -> None:
        """Look for everything that strict mode refuses; compatible mode refuses nothing.

        Raises:
            FileRefused: there are problems, all of which are listed.
        """
        if self.mode == "strict":
            from airgate.edge.checking import problems

            found = problems(text, self.environment, self.path.parent, self.files, self.stand_ins)
            if found:
                raise FileRefused(f"{self.path} has {len(found)} problem(s):", *(f"  {problem}" for problem in found))

    def edge(self, text: str) -> Edge:
        """The edge for a text of the file that was checked.

        Raises:
            FileRefused: in strict mode, something that the file names is gone since.
        """
        if self.mode == "compatible":
            services = service_calls(text, self.environment, self.mode, self.stand_ins)
            return Edge(load(text, self.environment, self.mode), self.settings, services)
        from airgate.edge.policed import strict_edge  # with what its policies need, which compatible mode does not
        from airgate.edge.route_policies import CannotServe

        try:
            return strict_edge(
                text, self.environment, self.path.parent, self.settings, self.files, stand_ins=self.stand_ins
            )
        except CannotServe as missing:
            raise FileRefused(*map(str, missing.problems)) from None

    def next(self, text: str) -> Edge:
        """The edge to take over from one that serves an earlier text.

        Raises:
            FileRefused: the text has problems, or in compatible mode, every request would fail.
        """
        self.check(text)
        edge = self.edge(text)
        if edge.gateway.failure is not None:
            raise FileRefused(f"{self.path} is no file with routes: every request would be answered with 500")
        return edge

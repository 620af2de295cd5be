"""Stand-ins: Python modules beside a gateway's file that run in place of its services and hooks.

They are imported afresh each time, from source, as modules of a package that nobody else has. The edge of a changed
file so gets changed stand-ins, also what they import of each other (`from . import shared`), while requests under way
end with the ones they began with.
"""

import importlib
import inspect
import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from airgate.edge.services import Context, Env, Request
from airgate.policy.redaction import one_line, redact_text
from airgate.spec.problem import Problem, at
from airgate.spec.services import Entrypoint, Function, Need, ServiceCall

_CLASS, _METHOD = "Service", "fetch"
_ARGUMENTS = "(request, env, context)"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class StandIn:
    """What to call. `blocking` says that it is no coroutine function, so that the loop would wait for it."""

    call: Callable[[Request, Env, Context], object]
    blocking: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no stand-in for a call; `module` says that it is the module that is missing, or cannot be used."""

    what: str
    cure: str
    module: bool


_NO_FOLDER = Missing(
    "the edge runs no JavaScript, and has no folder with stand-ins in Python", "Give one with --stand-ins FOLDER", True
)


class StandIns:
    """The stand-ins for some calls, as their folder had them.

    Args:
        folder: Where the modules are; None for nowhere.
        needed: The calls.
        secrets: Values that must not be told, should the message of a failed import have them.
    """

    def __init__(self, folder: Path | None, needed: Iterable[Need], secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._forget: Callable[[], object] = lambda: None
        self._package = ""
        if folder is not None:
            self._package = _package(folder)
            # Also for whoever only looks at them, and never closes.
            self._forget = forget = weakref.finalize(self, _forget, self._package)
            forget.atexit = False
        self._modules: dict[str, ModuleType | Missing] = {}
        self._needed = list(needed)
        self._found = {need.call: self._find(need.call) for need in self._needed}

    def __getitem__(self, call: ServiceCall) -> StandIn | Missing:
        """The stand-in for a call."""
        return self._found.get(call, _NO_FOLDER)

    def problems(self) -> list[Problem]:
        """What is missing, once for each place of the file."""
        first: dict[str, Problem] = {}
        for need in self._needed:
            found = self._found[need.call]
            if isinstance(found, Missing):
                problem = at(need.module if found.module else need.function, found.what, found.cure)
                first.setdefault(problem.pointer, problem)
        return list(first.values())

    def close(self) -> None:
        """Let go of the modules."""
        self._forget()

    def _find(self, call: ServiceCall) -> StandIn | Missing:
        name = _module_name(call)
        file = f"{name.replace('.', '/')}.py"
        if not self._package:
            return _NO_FOLDER
        if not _is_plain(name):
            what = f"{name!r} is no path of a module within the folder of stand-ins"
            return Missing(what, "Write one such as services/orders, without dots", True)
        if name not in self._modules:
            self._modules[name] = self._imported(name, file)
        module = self._modules[name]
        if isinstance(module, Missing):
            return module
        return _of_class(module, file) if isinstance(call, Entrypoint) else _of_name(module, call, file)

    def _imported(self, name: str, file: str) -> ModuleType | Missing:
        full = f"{self._package}.{name}"
        try:
            return importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name is not None and (full == error.name or full.startswith(f"{error.name}.")):
                return Missing(f"the folder of stand-ins has no {file}", f"Write {file} there", True)
            return self._failed(file, error)
        except (Exception, SystemExit) as error:
            return self._failed(file, error)

    def _failed(self, file: str, error: BaseException) -> Missing:
        said = one_line(redact_text(f"{type(error).__name__}: {error}", self._secrets))
        return Missing(f"{file} cannot be imported: {said}", "Correct it", True)


def _module_name(call: ServiceCall) -> str:
    """The name of a module in the package: `./services/orders` is `services.orders`."""
    if isinstance(call, Function):
        return call.binding.replace(".", " ")
    return call.module.removeprefix("./").replace(".", " ").replace("/", ".")


def _is_plain(name: str) -> bool:
    return all(part and part.replace("-", "_").isidentifier() for part in name.split("."))


def _of_class(module: ModuleType, file: str) -> StandIn | Missing:
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    own = [value for value in classes.values() if value.__module__ == module.__name__ and hasattr(value, _METHOD)]
    named = [classes[_CLASS]] if _CLASS in classes else own
    if len(named) != 1:
        what = f"{file} has {'no class' if not named else 'several classes'} with a method {_METHOD}"
        return Missing(what, f"Call the one that is meant {_CLASS}", False)
    made: Any = named[0]
    fetch = getattr(made, _METHOD, None)
    if not callable(fetch):
        return Missing(f"the class {_CLASS} of {file} has no method {_METHOD}", f"Write {_METHOD}{_ARGUMENTS}", False)
    if not _takes(made, 0):
        what = f"the class {made.__name__} of {file} cannot be made without arguments, as the gateway does"
        return Missing(what, "Give the arguments of __init__ defaults", False)
    alone = isinstance(inspect.getattr_static(made, _METHOD), staticmethod | classmethod)
    if not _takes(fetch, 3 if alone else 4):
        what = f"the method {_METHOD} of {made.__name__} in {file} does not take {_ARGUMENTS}"
        return Missing(what, f"Write {_METHOD}(self, request, env, context)", False)

    def call(request: Request, env: Env, context: Context) -> object:
        return made().fetch(request, env, context)

    return StandIn(call, not inspect.iscoroutinefunction(fetch))


def _of_name(module: ModuleType, call: Function, file: str) -> StandIn | Missing:
    """A function of the module, or of the object in it that is called as the binding."""
    holder: Any = vars(module).get(call.binding, module)
    if inspect.isclass(holder):
        if not _takes(holder, 0):
            what = f"the class {holder.__name__} of {file} cannot be made without arguments"
            return Missing(what, "Give the arguments of __init__ defaults, or put an object in its place", False)
        try:
            holder = holder()
        except Exception as error:
            return Missing(f"the class {call.binding} of {file} fails: {type(error).__name__}", "Correct it", False)
    found = getattr(holder, call.name, None) if call.name.isidentifier() and not call.name.startswith("_") else None
    if not callable(found) or inspect.isclass(found):
        return Missing(f"{file} has no function {call.name}", f"Write {call.name}{_ARGUMENTS} there", False)
    if not _takes(found, 3):
        what = f"the function {call.name} of {file} does not take {_ARGUMENTS}"
        return Missing(what, f"Write {call.name}{_ARGUMENTS}", False)
    return StandIn(found, not inspect.iscoroutinefunction(found))


def _takes(function: Any, count: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # of a built-in that does not tell
        return True
    return True


def _package(folder: Path) -> str:
    """The name of a new, empty package, whose modules are the files of a folder."""
    name = f"airgate_stand_ins_{next(_numbers)}"
    package = ModuleType(name, "Stand-ins of a gateway's file.")
    package.__path__ = [str(folder.resolve())]
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    sys.modules[name] = package
    sys.meta_path.insert(0, _Finder(name))  # before the one that would take what Python keeps of a module
    return name


def _forget(package: str) -> None:
    for name in [name for name in list(sys.modules) if name == package or name.startswith(f"{package}.")]:
        sys.modules.pop(name, None)
    sys.meta_path[:] = [each for each in sys.meta_path if not (isinstance(each, _Finder) and each.package == package)]


class _Finder(MetaPathFinder):
    """Finds the modules of one package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module is; None when it is of another package, or not there."""
        if path is None or not fullname.startswith(f"{self.package}."):
            return None
        found = (FileFinder(folder, (_Source, [".py"])).find_spec(fullname) for folder in path)
        return next((spec for spec in found if spec is not None), None)


class _Source(SourceFileLoader):
    """Compiles the source each time: what Python keeps of it may be older by less than a file's time can tell."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of a module."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

"""What strict mode refuses about services, hooks and their stand-ins, and what `explain` tells of them."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airgate.edge.checking import problems
from tests.edge.edge_process import ROOT
from tests.edge.stand_in_folder import VARIABLES, bound, gateway_file, hooked, stand_ins

REMOVE = object()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_ins(tmp_path_factory.mktemp("stand-ins") / "stand-ins")


def small() -> dict[str, Any]:
    """A good file with each kind of call once."""
    file = gateway_file("http://127.0.0.1:9001")
    file["authorizer"] |= {"type": "jwt"}
    file["paths"] = [
        bound("/bound", "obj"),
        hooked("/hooked", "allow"),
        {"method": "ANY", "path": "/orders/{.+}", "integration": {"type": "service", "binding": "orders"}},
        {"method": "GET", "path": "/static", "response": 1},
    ]
    return file


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    file = copy.deepcopy(small())
    place: Any = file
    for key in path[:-1]:
        place = place[key]
    if value is REMOVE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return file


def found(file: object, folder: Path | None) -> list[tuple[str, str]]:
    listed = problems(json.dumps(file), VARIABLES, None, stand_ins=folder)
    return [(problem.pointer, str(problem)) for problem in listed]


def test_a_good_file_has_no_problems(folder: Path) -> None:
    """Both the small one and the one with all routes."""
    assert found(small(), folder) == []
    assert found(gateway_file("http://127.0.0.1:9001"), folder) == []


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("servicesBindings",), {}, "/servicesBindings"),
        (("servicesBindings",), [{"alias": "", "binding": "A"}], "/servicesBindings/0/alias"),
        (("services", 0, "entrypoint"), "../orders", "/services/0/entrypoint"),
        (("services", 0, "entrypoint"), "services/orders.js", "/services/0/entrypoint"),
        (("services", 0, "entrypont"), "x", "/services/0/entrypont"),
        (("serviceBindings", 1), None, "/serviceBindings/1"),
        (("serviceBindings", 1, "alias"), "svc", "/serviceBindings/1/alias"),
        (("serviceBindings", 0, "binding"), "a/b", "/serviceBindings/0/binding"),
        (("servicesBindings",), [{"alias": "svc", "binding": "OTHER"}], "/servicesBindings/0/alias"),
        (("paths", 0, "integration", "binding"), "svk", "/paths/0/integration/binding"),
        (("paths", 0, "integration", "function"), "__init__", "/paths/0/integration/function"),
        (("paths", 0, "integration", "function"), REMOVE, "/paths/0/integration/function"),
        (("paths", 0, "mapping"), {"headers": {"X-User": "$request.jwt.sub"}}, "/paths/0/mapping"),
        (("paths", 1, "pre_process", "binding"), "svk", "/paths/1/pre_process/binding"),
        (("paths", 1, "pre_process", "function"), 5, "/paths/1/pre_process/function"),
        (("paths", 1, "pre_process", "functon"), "x", "/paths/1/pre_process/functon"),
        (("paths", 1, "pre_process"), "svc", "/paths/1/pre_process"),
        (("paths", 1, "integration", "post_process"), {}, "/paths/1/integration/post_process"),
        (("paths", 2, "integration", "binding"), "svc", "/paths/2/integration/binding"),
        (("paths", 2, "integration", "function"), "x", "/paths/2/integration/function"),
        (("paths", 3, "pre_process"), {"binding": "svc", "function": "deny"}, "/paths/3/pre_process"),
        (("x-airgate", "services", "env", 0), "MISSING", "/x-airgate/services/env/0"),
        (("x-airgate", "services", "env", 0), "$secret.EDGE_TEST_SECRET", "/x-airgate/services/env/0"),
        (("x-airgate", "services", "evn"), [], "/x-airgate/services/evn"),
        (("paths", 0, "x-airgate"), {"cache": True}, "/paths/0/x-airgate/cache"),
        (("serviceBindings", 0, "binding"), "NOPE", "/serviceBindings/0/binding"),
        (("services", 0, "entrypoint"), "services/nothere", "/services/0/entrypoint"),
        (("paths", 0, "integration", "function"), "missing", "/paths/0/integration/function"),
        (("paths", 0, "integration", "function"), "Response", "/paths/0/integration/function"),
        (("paths", 1, "pre_process", "function"), "missing", "/paths/1/pre_process/function"),
    ],
)
def test_each_fault_is_found_at_its_place(
    folder: Path, path: tuple[str | int, ...], value: object, pointer: str
) -> None:
    """No hook and no service is skipped because of a name, and no message has the value of a variable."""
    [(where, text)] = found(changed(path, value), folder)
    assert where == pointer
    assert not [secret for secret in VARIABLES.values() if len(secret) > 8 and secret in text]


def test_a_file_with_services_needs_a_folder() -> None:
    """Each module is told of once, with the option that gives it."""
    listed = found(small(), None)
    assert [pointer for pointer, _ in listed] == ["/serviceBindings/0/binding", "/services/0/entrypoint"]
    assert all("--stand-ins FOLDER" in text for _, text in listed)


@pytest.mark.parametrize(
    ("module", "text", "pointer", "said"),
    [
        ("SVC.py", "def obj(request, env, context): return 1\ndef allow(request): return True", 1, "does not take"),
        ("SVC.py", "import nothing_of_this_name", 0, "cannot be imported: ModuleNotFoundError"),
        ("SVC.py", "from . import nothing_of_this_name", 0, "cannot be imported: ImportError"),
        ("SVC.py", "raise RuntimeError('Bearer abcdefghijkl')", 0, "cannot be imported: RuntimeError: Bearer ***"),
        ("SVC.py", "import sys\nsys.exit(1)", 0, "cannot be imported: SystemExit"),
        ("SVC.py", "def obj(:", 0, "cannot be imported: SyntaxError"),
        ("services/orders.py", "", 2, "has no class with a method fetch"),
        ("services/orders.py", "class A:\n def fetch(s, *a): 1\nclass B:\n def fetch(s, *a): 1", 2, "several classes"),
        ("services/orders.py", "class Service:\n pass", 2, "has no method fetch"),
        ("services/orders.py", "class A:\n def __init__(s, x): 1\n def fetch(s, *a): 1", 2, "without arguments"),
        ("services/orders.py", "class A:\n def fetch(self, request): 1", 2, "does not take"),
    ],
)
def test_a_stand_in_that_cannot_be_called_is_found_before_it_is(
    tmp_path: Path, module: str, text: str, pointer: int, said: str
) -> None:
    """The message names the file and the cure."""
    folder = stand_ins(tmp_path / "stand-ins")
    (folder / module).write_text(text)
    pointers = ("/serviceBindings/0/binding", "/paths/1/pre_process/function", "/services/0/entrypoint")
    [(where, message)] = found(small(), folder)
    assert (where, module in message) == (pointers[pointer], True)
    assert said in message


def test_looking_at_a_folder_leaves_nothing_behind(folder: Path) -> None:
    """Neither modules nor compiled files."""
    assert found(small(), folder) == []
    assert not [name for name in sys.modules if name.startswith("airgate_stand_ins_")]
    assert not list(folder.rglob("__pycache__"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airgate.edge", *arguments]
    environment = {**os.environ, **VARIABLES}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_the_command_checks_and_explains(folder: Path, tmp_path: Path) -> None:
    """`check` finds what is missing, `explain` names the hook and the service, and that one is missing."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(small()))
    assert run("check", str(config), "--stand-ins", str(folder)).returncode == 0
    done = run("check", str(config))
    assert (done.returncode, "/services/0/entrypoint: " in done.stderr) == (2, True)
    done = run("check", str(config), "--stand-ins", str(tmp_path / "gone"))
    assert (done.returncode, "is no folder" in done.stderr) == (2, True)
    said = run("explain", str(config), "--stand-ins", str(folder), "GET", "/hooked").stdout
    assert "hook       the function 'allow' of the service binding 'svc' must return true; else 403" in said
    assert "upstream   up: GET http://127.0.0.1:9001/hooked" in said
    said = run("explain", str(config), "--mode", "compatible", "GET", "/orders/1").stdout
    assert "service    the service 'orders'" in said
    assert "answered with 500: the edge runs no JavaScript" in said

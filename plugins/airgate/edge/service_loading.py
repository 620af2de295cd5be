"""From a gateway's file and a folder to the stand-ins that it needs, and what is wrong with them."""

from collections.abc import Mapping
from pathlib import Path

from airgate.edge.service_calls import ServiceCalls, Told
from airgate.edge.stand_ins import StandIns
from airgate.spec.config import Mode
from airgate.spec.environment import substitute
from airgate.spec.extension import KEY
from airgate.spec.javascript import parse, stringify
from airgate.spec.problem import Problem
from airgate.spec.service_config import secret_values, without_secrets
from airgate.spec.services import Need, needs, shown_config


def service_calls(text: str, environment: Mapping[str, str], mode: Mode, folder: Path | None) -> ServiceCalls:
    """The stand-ins of a file, ready to be called; those that are missing fail when they are.

    Args:
        text: The file. One that cannot be read needs none.
        environment: The variables.
        mode: What they are told, and which answers are given.
        folder: Where their modules are; None for nowhere.
    """
    file = _object(text)
    needed = _needed(file, environment)
    secrets = tuple(secret_values(file, environment)) if needed else ()
    told = Told({}, "{}") if not needed else _told(file, environment, mode, secrets)
    return ServiceCalls(StandIns(folder if needed else None, needed, secrets), told, mode)


def stand_in_problems(text: str, environment: Mapping[str, str], folder: Path | None) -> list[Problem]:
    """What is missing in a folder for a file that the strict checks have passed. Its modules are imported to tell."""
    services = service_calls(text, environment, "strict", folder)
    try:
        return services.problems()
    finally:
        services.close()


def _object(text: str) -> dict[str, object]:
    try:
        file = parse(text)
    except ValueError:
        return {}
    return file if isinstance(file, dict) else {}


def _needed(file: Mapping[str, object], environment: Mapping[str, str]) -> list[Need]:
    served = substitute(file, environment)
    return list(needs(served)) if isinstance(served, dict) else []


def _told(file: dict[str, object], environment: Mapping[str, str], mode: Mode, secrets: tuple[str, ...]) -> Told:
    if mode == "compatible":
        shown = substitute(shown_config(file), environment)
        return Told(environment, stringify(shown), secrets)
    granted = granted_variables(file)
    env = {name: environment[name] for name in granted if name in environment}
    return Told(env, stringify(without_secrets(shown_config(file), environment, granted)), (*secrets, *env.values()))


def granted_variables(file: Mapping[str, object]) -> list[str]:
    """The variables that a file gives to its services."""
    policies = file.get(KEY)
    services = policies.get("services") if isinstance(policies, dict) else None
    names = services.get("env") if isinstance(services, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

"""Holds requests and answers against a published OpenAPI 3.0 description."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

_PLACEHOLDER = re.compile(r"\{[^}]+\}")


class Description:
    """A description, asked for one request or answer at a time."""

    def __init__(self, path: Path) -> None:
        self.root: dict[str, Any] = json.loads(path.read_text(), object_hook=_with_null)
        self._paths = {
            re.compile(_PLACEHOLDER.sub("([^/]+)", path)): (re.findall(r"\{([^}]+)\}", path), path)
            for path in self.root["paths"]
        }

    def example(self, name: str) -> Any:
        """A copy of a published example."""
        return json.loads(json.dumps(self.root["components"]["examples"][name]["value"]))

    def operation(self, method: str, path: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        """The operation of a request and its path parameters."""
        for pattern, (names, template) in self._paths.items():
            match = pattern.fullmatch(path)
            if match and method.lower() in self.root["paths"][template]:
                return self.root["paths"][template][method.lower()], dict(zip(names, match.groups(), strict=True))
        return None

    def complaints(
        self, operation: Mapping[str, Any], path: Mapping[str, str], query: Mapping[str, list[str]], body: bytes
    ) -> list[str]:
        """What the description says against a request; members of the body that it does not know count, too."""
        found = []
        known = {(each["in"], each["name"]): each["schema"] for each in map(self._followed, operation["parameters"])}
        for place, given in (("path", path), ("query", {name: values[-1] for name, values in query.items()})):
            for name, text in given.items():
                if (place, name) not in known:
                    found.append(f"{place} {name}: not described")
                else:
                    found += [f"{place} {name}: {each}" for each in self._errors(_read(text), known[place, name])]
        described = operation.get("requestBody")
        if described is None:
            return [*found, "a body where none is described"] if body else found
        schema = described["content"]["application/json"]["schema"]
        sent = json.loads(body)
        found += [f"body: {each}" for each in self._errors(sent, schema)]
        return found + [f"body: {name}: not described" for name in sent if name not in schema["properties"]]

    def flaws(self, operation: Mapping[str, Any], status: int, answer: Any) -> list[str]:
        """What the description says against an answer of the stub's."""
        if str(status) not in operation["responses"]:
            return [f"{status} is not described"]
        content = self._followed(operation["responses"][str(status)]).get("content")
        if not content:
            return [] if answer is None else ["a body where none is described"]
        return self._errors(answer, content["application/json"]["schema"])

    def _followed(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in value:
            _, _, kind, name = value["$ref"].split("/")
            value = self.root["components"][kind][name]
        return value

    def _errors(self, value: Any, schema: Mapping[str, Any]) -> list[str]:
        whole = {**schema, "components": self.root["components"]}
        # Formats are not asserted: GitHub describes `created` as a time and takes its search syntax there.
        return [
            f"{'.'.join(map(str, error.absolute_path))} {error.message[:200]}"
            for error in OAS30Validator(whole).iter_errors(value)
        ]


def _with_null(value: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0.3 wants null in the list of an enumeration that may be null; many descriptions leave it out."""
    if value.get("nullable") is True and isinstance(value.get("enum"), list) and None not in value["enum"]:
        return {**value, "enum": [*value["enum"], None]}
    return value


def _read(text: str) -> Any:
    """A parameter as its type: all that are asked for here are texts, integers and truth values."""
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.isascii() and text.isdigit() else text

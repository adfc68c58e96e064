"""`python -m tools.schemas`: write the JSON schema of every command's answer, from the types of what the answer tells.

It follows the rule of `etastar.core.told`, type by type instead of value by value, so that neither is written by hand.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from etastar.core.told import parts_told
from etastar.reports.kinds import KINDS
from etastar.studies.run import StudyAnswer
from etastar.verbs.answer import Answer, Made
from etastar.verbs.doctor import Diagnosis
from etastar.verbs.envelope import SCHEMA

FOLDER = Path(__file__).parents[1] / "src" / "etastar" / "cli"
ANSWERS: tuple[type[Answer], ...] = (*KINDS, *(cls for cls in (StudyAnswer, Diagnosis) if cls not in KINDS))
"""What a command writes."""
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"}, Path: {"type": "string"}, bool: {"type": "boolean"}, int: {"type": "integer"},
    float: {"type": ["number", "null"]}, type(None): {"type": "null"}, Any: {},
}  # fmt: skip
"""A float that is not finite is told as null."""


class Schema:
    """The schema of one kind of answer.

    Raises:
        TypeError: it tells something whose type says nothing about its form.
    """

    def __init__(self, answer: type[Answer]) -> None:
        self.answer = answer
        self.definitions: dict[str, Any] = {}

    @cached_property
    def content(self) -> dict[str, Any]:
        """A JSON schema, draft 2020-12."""
        command = self.answer.command
        head = {
            "schema": {"const": SCHEMA},
            "etastar": {"type": "string"},
            "command": {"const": command},
            "problem": {"type": "string"},
            "summary": {"type": "string"},
        }
        properties = head | self._parts(self.answer) | self._parts(Made)
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"etastar {command}: its answer in JSON (written by tools/schemas.py)",
            **_object(properties),
            "$defs": dict(sorted(self.definitions.items())),
        }

    def _parts(self, cls: type) -> dict[str, Any]:
        return {key: self._of(_hint(cls, path)) for key, path in (parts_told(cls) or {}).items()}

    def _of(self, hint: Any) -> dict[str, Any]:
        """What a value of this type is told as."""
        if hint in PLAIN:
            return PLAIN[hint]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._either([self._of(argument) for argument in arguments])
        if origin in (tuple, list, Sequence):
            return self._several(origin, arguments)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._of(arguments[1])}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"enum": [member.value for member in hint]}
        if isinstance(hint, type) and parts_told(hint) is not None and not is_typeddict(hint):
            return self._named(hint)
        raise TypeError(f"{self.answer.__name__} tells a {hint}, whose form in JSON its type does not say")

    def _several(self, origin: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if origin is tuple and arguments[-1] is not ...:
            parts = [self._of(argument) for argument in arguments]
            return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
        return {"type": "array", "items": self._of(arguments[0])}

    def _named(self, cls: type) -> dict[str, Any]:
        if cls.__name__ not in self.definitions:
            self.definitions[cls.__name__] = {}  # it may hold itself
            self.definitions[cls.__name__] = _object(self._parts(cls))
        return {"$ref": f"#/$defs/{cls.__name__}"}

    def _either(self, forms: list[dict[str, Any]]) -> dict[str, Any]:
        """One of them; plain types in one list."""
        if all(form.keys() == {"type"} for form in forms):
            kinds = [kind for form in forms for kind in (form["type"] if isinstance(form["type"], list) else [form["type"]])]
            return {"type": list(dict.fromkeys(kinds))}
        return {"anyOf": forms}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def _hint(cls: Any, path: str) -> Any:
    """The type of a field or property, also of a part ("trial.lr").

    >>> from etastar.designs.search.confirmation import Finalist
    >>> _hint(Finalist, "trial.diverged"), _hint(Finalist, "confirmed")
    (<class 'int'>, <class 'bool'>)
    """
    for name in path.split("."):
        attribute = getattr(cls, name, None)
        cls = get_type_hints(attribute.fget)["return"] if isinstance(attribute, property) else get_type_hints(cls)[name]
    return cls


def written(answer: type[Answer]) -> str:
    """The file's text."""
    return json.dumps(Schema(answer).content, indent=2) + "\n"


def path_of(answer: type[Answer]) -> Path:
    """Where it lies."""
    return FOLDER / f"{answer.command}.schema.json"


def main() -> None:
    """Write all of them."""
    for answer in ANSWERS:
        path_of(answer).write_text(written(answer), encoding="utf-8")


if __name__ == "__main__":
    main()

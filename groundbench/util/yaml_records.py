"""YAML read into pydantic models: a value that breaks the schema is named with its file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from groundbench.api.errors import BadInputError
from groundbench.util.validation import first_fault
from groundbench.util.yaml_files import compose

M = TypeVar("M", bound=BaseModel)
Location = Sequence[int | str]


@dataclass(frozen=True)
class YamlFile:
    """One YAML document: its values as Python objects, and the nodes that know their lines.

    Attributes:
        value: the document with YAML's merges (`<<`) carried out; None where it is empty.
    """

    path: Path
    value: Any
    node: yaml.Node | None

    def line(self, location: Location = ()) -> int:
        """Return the line (from 1) of a value, of its key where it has one; of the nearest one around it otherwise."""
        node, line = self.node, 1
        for part in location:
            found = _member(node, part)
            if found is None:
                break
            line, node = found
        return line

    def error(self, message: str, location: Location = ()) -> BadInputError:
        """Return an error about a value."""
        return BadInputError(f"{self.path}, line {self.line(location)}: {message}")

    def record(self, model: type[M], data: Mapping[str, object], location: Location = (), name: str = "") -> M:
        """Return a mapping of the file as a model.

        Args:
            data: the mapping, perhaps with fields that the file does not hold.
            location: the keys that lead to it.
            name: put before the field in a message.

        Raises:
            BadInputError: the first fault: file, line, field, value found, value expected.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            where = (*location, *error.errors(include_url=False)[0]["loc"])
            raise self.error(f"{name}{': ' if name else ''}{first_fault(error, model)}", where) from None


def read_yaml(path: Path, expected: str) -> YamlFile:
    """Read one YAML document; `expected` says what the file is to hold.

    Raises:
        BadInputError: no such file, not UTF-8 text, or not YAML (with the line).
    """
    text, node = compose(path, expected)
    try:
        return YamlFile(path, yaml.safe_load(text), node)
    except yaml.MarkedYAMLError as error:  # what composes need not be a value: an unknown tag, a key that is a list
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise BadInputError(f"{path}{line}: not valid YAML: {error.problem}") from None
    except ValueError as error:  # a date such as 2024-13-01
        raise BadInputError(f"{path}: not valid YAML: {error}") from None


def _member(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    """Return the line and the node of a key or an item; keys of merged mappings are looked for last."""
    if isinstance(node, yaml.SequenceNode):
        inside = isinstance(part, int) and 0 <= part < len(node.value)
        return (node.value[part].start_mark.line + 1, node.value[part]) if inside else None
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.value == part:
            return key.start_mark.line + 1, value
        if key.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
    return next((found for m in merged if (found := _member(m, part)) is not None), None)

"""YAML whose every value knows its file and line, so that a mistake can be named with its place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from groundbench.api.errors import BadInputError
from groundbench.util.suggestions import did_you_mean

_STRING, _BOOL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


@dataclass(frozen=True)
class Marked:
    """A value of a YAML file, read by asking for the type that is expected of it.

    All methods raise BadInputError with file, line, what was found and what was expected.
    """

    path: Path
    name: str
    node: yaml.Node

    @property
    def line(self) -> int:
        """Its line in the file, from 1."""
        return int(self.node.start_mark.line) + 1

    def error(self, message: str) -> BadInputError:
        """Return an error about this value."""
        return BadInputError(f"{self.path}, line {self.line}: {message}")

    def is_mapping(self) -> bool:
        """Return True if it holds keys and values."""
        return isinstance(self.node, yaml.MappingNode)

    def is_sequence(self) -> bool:
        """Return True if it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def mapping(self) -> dict[str, Marked]:
        """Return keys and values in order; a repeated key is refused."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self._error_expecting("keys and values")
        found: dict[str, Marked] = {}
        for key_node, value in self.node.value:
            key = Marked(self.path, f"a key of {self.name}", key_node).text()
            if key in found:
                raise Marked(self.path, key, key_node).error(f"{self.name} has the key {key!r} twice")
            found[key] = Marked(self.path, f"{self.name}.{key}" if self.name != "the file" else key, value)
        return found

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Marked]:
        """Return a mapping with these keys and no others."""
        found = self.mapping()
        allowed = [*required, *optional]
        unknown = [key for key in found if key not in allowed]
        lacking = [key for key in required if key not in found]
        if unknown:
            hint = did_you_mean(unknown[0], lacking or allowed)
            names = ", ".join(repr(key) for key in unknown)
            keys = f"an unknown key {names}" if len(unknown) == 1 else f"unknown keys {names}"
            lacks = f", and lacks {', '.join(map(repr, lacking))}" if lacking else ""
            raise found[unknown[0]].error(f"{self.name} has {keys}{lacks}, expected {', '.join(allowed)}{hint}")
        if lacking:
            names = ", ".join(repr(key) for key in lacking)
            raise self.error(f"{self.name} lacks the key{'' if len(lacking) == 1 else 's'} {names}")
        return found

    def sequence(self) -> list[Marked]:
        """Return the values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self._error_expecting("a list")
        return [Marked(self.path, f"{self.name}[{i}]", node) for i, node in enumerate(self.node.value, 1)]

    def text(self, *, empty: bool = False) -> str:
        """Return a text, not empty unless `empty`; numbers are taken as they are written."""
        node = self.node
        if isinstance(node, yaml.ScalarNode) and node.tag == _BOOL:
            raise self.error(f"{self.name} is {node.value}, which YAML reads as a truth value: put it in quotes")
        if not isinstance(node, yaml.ScalarNode) or node.tag not in (_STRING, *_NUMBERS):
            raise self._error_expecting("a text")
        if not (node.value or empty):
            raise self._error_expecting("a text")
        return str(node.value)

    def flag(self) -> bool:
        """Return `true` or `false` as a bool."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _BOOL:
            raise self._error_expecting("true or false")
        return bool(yaml.SafeLoader.bool_values[self.node.value.lower()])

    def choice(self, allowed: Collection[str]) -> str:
        """Return one of some words."""
        found = self.text()
        if found not in allowed:
            raise self.error(f"{self.name} is {found!r}, expected {' or '.join(allowed)}")
        return found

    def _error_expecting(self, what: str) -> BadInputError:
        if isinstance(self.node, yaml.ScalarNode):
            found = repr(self.node.value) if self.node.value else "nothing"
        else:
            found = "a list" if self.is_sequence() else "keys and values"
        return self.error(f"{self.name} is {found}, expected {what}")


def read_marked(path: Path, expected: str = "a testbed in YAML") -> Marked:
    """Read one YAML document.

    Raises:
        BadInputError: no such file, not UTF-8 text, not YAML (with the line), or nothing in it.
    """
    _, node = compose(path, expected)
    if node is None:
        raise BadInputError(f"{path}: the file is empty; expected {expected}")
    return Marked(path, "the file", node)


def compose(path: Path, expected: str) -> tuple[str, yaml.Node | None]:
    """Return a file's text and the root node of its YAML document, None where it is empty.

    Raises:
        BadInputError: no such file, not UTF-8 text, or not YAML (with the line).
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise BadInputError(f"{path}{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise BadInputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None

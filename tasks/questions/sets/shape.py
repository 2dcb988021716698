"""The description of a public set: its fields, its origin, and the records made of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from groundbench.tasks.questions.sets.place import Place, Row


@dataclass(frozen=True)
class Shape:
    """A public set as its makers publish it.

    Attributes:
        name: what `set:` calls it.
        needs: fields that every row has: a file that has them all is recognised.
        convert: row -> rows of our fields (several where a row holds a right and a wrong answer).
        source, licence, size, kinds: for the documentation. `size`: rows as published.
        automatic: recognised by its fields; else only by `set:` in a YAML file.
    """

    name: str
    needs: tuple[str, ...]
    convert: Callable[[Row, Place], Iterable[Row]]
    source: str
    licence: str
    size: str
    kinds: str
    mode: str
    automatic: bool = True


def pair(row_id: str, base: Row, right: str, wrong: str) -> list[Row]:
    """Return two records of one row: the right answer and the wrong one, of one group."""
    return [
        {**base, "id": f"{row_id}-right", "answer": right, "label": "supported"},
        {**base, "id": f"{row_id}-wrong", "answer": wrong, "label": "unsupported"},
    ]

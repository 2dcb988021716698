"""Public sets of evidence as their makers publish them, one file each; none of their rows is part of this package."""

from __future__ import annotations

from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.tasks.questions.sets.amber import AMBER
from groundbench.tasks.questions.sets.confiqa import CONFIQA
from groundbench.tasks.questions.sets.conflictqa import CONFLICTQA
from groundbench.tasks.questions.sets.faitheval import FAITHEVAL
from groundbench.tasks.questions.sets.halueval import HALUEVAL
from groundbench.tasks.questions.sets.memotrap import MEMOTRAP
from groundbench.tasks.questions.sets.naturalbench import NATURALBENCH
from groundbench.tasks.questions.sets.nq_swap import NQ_SWAP
from groundbench.tasks.questions.sets.pope_records import POPE_RECORDS
from groundbench.tasks.questions.sets.ragtruth import RAGTRUTH
from groundbench.tasks.questions.sets.shape import Shape
from groundbench.tasks.questions.sets.squad import SQUAD

ALL: tuple[Shape, ...] = (
    *(MEMOTRAP, *HALUEVAL, *FAITHEVAL, NQ_SWAP, CONFLICTQA, CONFIQA, RAGTRUTH, *SQUAD),
    *(POPE_RECORDS, AMBER, NATURALBENCH),
)
SETS: dict[str, Shape] = {shape.name: shape for shape in ALL}
"""Every public set by its name."""


def set_of(name: str | None, fields: frozenset[str], path: Path) -> Shape | None:
    """Return the public set of that name, else the one whose fields a file has; None where none fits.

    Raises:
        BadInputError: there is no such set, or the file lacks fields of the one that was named.
    """
    if name is None:
        return next((s for s in ALL if s.automatic and set(s.needs) <= fields), None)
    if name not in SETS:
        raise BadInputError(f"unknown set {name!r}: expected one of {', '.join(SETS)}")
    lacking = [n for n in SETS[name].needs if n not in fields]
    if lacking:
        raise BadInputError(
            f"{path}: the set {name} has the fields {', '.join(SETS[name].needs)}; not found: {', '.join(lacking)}"
        )
    return SETS[name]

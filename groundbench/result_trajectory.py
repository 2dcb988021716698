"""trajectory.json: the results of one training run's checkpoints, in order, with its training curve (contract 2)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from groundbench.errors import BadInputError
from groundbench.result import SCHEMA_VERSION, Record, Result, first_fault, write_atomic

FILE_NAME = "trajectory.json"


class CurvePoint(Record):
    """One logged training step: mean losses in nats per token, tokens seen so far; null where not logged."""

    step: int = Field(ge=0)
    tokens: int | None = Field(default=None, ge=0)
    train_loss: float | None = None
    heldout_loss: float | None = None


class TrajectoryPoint(CurvePoint):
    """One checkpoint: its losses and what was measured of it."""

    result: Result


class HolmTest(Record):
    """One test repeated at every checkpoint: its p-value and the same Holm-corrected over the checkpoints."""

    test: str
    step: int = Field(ge=0)
    p: float = Field(ge=0, le=1)
    p_holm: float = Field(ge=0, le=1)


class Trajectory(Record):
    """Everything measured along one training run.

    Attributes:
        name: what the run is called on a page, e.g. a preset; `description`: one sentence on what it is.
        points: checkpoints in the order of their steps; `curve`: training losses logged between them.
        holm: tests corrected over the checkpoints (protocol §11).
    """

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    name: str
    description: str = ""
    points: tuple[TrajectoryPoint, ...]
    curve: tuple[CurvePoint, ...] = ()
    holm: tuple[HolmTest, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Trajectory:
        for what, rows in (("points", self.points), ("curve", self.curve)):
            steps = [r.step for r in rows]
            if any(a >= b for a, b in pairwise(steps)):
                raise ValueError(f"{what} must have rising steps, found {steps[:20]}")
        if not self.points:
            raise ValueError("a trajectory needs at least one checkpoint")
        return self

    @property
    def last(self) -> Result:
        """The result of the last checkpoint."""
        return self.points[-1].result

    def save(self, path: Path) -> None:
        """Write the trajectory as JSON, whole or not at all."""
        write_atomic(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Trajectory:
        """Read a trajectory.json (or the directory that holds one). Raises BadInputError naming file and field."""
        path = path / FILE_NAME if path.is_dir() else path
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise BadInputError(f"{path}: no such file; expected a trajectory.json or its directory") from None
        except ValidationError as error:
            raise BadInputError(f"{path}: {first_fault(error)}") from None

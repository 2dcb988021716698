"""trajectory.json: the results of one training run's checkpoints, in order, with its training curve; aggregate.json:
the same of several seeds of one model, as means over seeds (contract 2)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from groundbench.results.base import read_record
from groundbench.results.run import (
    SCHEMA_VERSION,
    Control,
    Denominator,
    Record,
    Result,
    Selection,
    TestbedRecord,
    Version,
)
from groundbench.results.run_summary import of_trajectory
from groundbench.results.summary import Summarized, Summary
from groundbench.util.atomic_files import write_text

FILE_NAME = "trajectory.json"
AGGREGATE = "aggregate.json"


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


class Trajectory(Summarized, Record):
    """Everything measured along one training run.

    Attributes:
        name: what the run is called on a page, e.g. a preset; `description`: one sentence on what it is.
        points: checkpoints in the order of their steps; `curve`: training losses logged between them.
        holm: tests corrected over the checkpoints (protocol §11).
    """

    schema_version: Version = SCHEMA_VERSION
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

    def _summary(self) -> Summary:
        return of_trajectory(self)

    def save(self, path: Path) -> None:
        """Write the trajectory as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Trajectory:
        """Read a trajectory.json (or the directory that holds one). Raises BadInputError naming file and field."""
        return read_record(cls, path, FILE_NAME, f"file; expected a {FILE_NAME} or its directory")


class SeedMean(Record):
    """One number over seeds: its mean, and the two-sided 95 % t-interval over seeds (null with one seed).

    `values` stand in the order of the aggregate's `seeds`; null where a seed has none.
    """

    mean: float
    ci_low: float | None = None
    ci_high: float | None = None
    values: tuple[float | None, ...]


class LensSeedMean(Record):
    """The first lens of each seed at one layer: matched and mismatched surprisal and their difference, in nats."""

    layer: int = Field(ge=1)
    matched: SeedMean | None = None
    mismatched: SeedMean | None = None
    gain: SeedMean | None = None


class AblationSeedMean(Record):
    """One kind of ablation over seeds; fields as in `AblationRecord`, p-values by seed.

    Where heads were cut in some of the seeds, all means are over these.
    """

    kind: Literal["aggregate", "gather"] = "aggregate"
    selection: Selection
    denominator: Denominator
    control: Control
    n_heads: SeedMean | None = None
    original: SeedMean | None = None
    ablated: SeedMean | None = None
    control_mean: SeedMean | None = None
    gain_original: SeedMean | None = None
    gain_ablated: SeedMean | None = None
    gain_control: SeedMean | None = None
    p_cluster: tuple[float | None, ...] = ()
    p_draws: tuple[float | None, ...] = ()
    p_rank: tuple[float | None, ...] = ()

    @property
    def cut(self) -> tuple[bool, ...]:
        """For each seed whether heads were cut; empty where they were in none."""
        return () if self.ablated is None else tuple(v is not None for v in self.ablated.values)


class RegressionSeedMean(Record):
    """Adjusted R² of one regression on co-occurrence (protocol §7), over seeds."""

    window: Literal["chunk", "utterances"]
    statistic: Literal["log-count", "pmi"]
    unit: Literal["noun", "pair"]
    r2_adjusted: SeedMean | None = None


class MeanPoint(Record):
    """One step over seeds. Surprisals and gains in nats; `heads`, `null_heads`, `mean_layer`: of the headline's rule;
    `gather_heads`: of the first gather rule."""

    step: int = Field(ge=0)
    tokens: SeedMean | None = None
    train_loss: SeedMean | None = None
    heldout_loss: SeedMean | None = None
    gain: SeedMean | None = None
    matched: SeedMean | None = None
    mismatched: SeedMean | None = None
    same_category: SeedMean | None = None
    heads: SeedMean | None = None
    null_heads: SeedMean | None = None
    untrained_heads: SeedMean | None = None
    mean_layer: SeedMean | None = None
    gather_heads: SeedMean | None = None
    gain_variance: SeedMean | None = None
    regressions: tuple[RegressionSeedMean, ...] = ()
    ablations: tuple[AblationSeedMean, ...] = ()
    lens: tuple[LensSeedMean, ...] = ()


class MeanTrajectory(Record):
    """Several seeds of one model on one testbed, step by step (protocol §5: t-intervals over seeds).

    Attributes:
        seeds: in rising order; every `SeedMean` holds its values in this order.
        testbed: of the first seed's last checkpoint; `n_layers` (of those with heads), `parameters`: of the model.
        points: the steps that every seed has.
    """

    schema_version: Version = SCHEMA_VERSION
    name: str
    description: str = ""
    seeds: tuple[int, ...] = Field(min_length=1)
    testbed: TestbedRecord
    n_layers: int | None = None
    parameters: int = Field(ge=0)
    points: tuple[MeanPoint, ...] = Field(min_length=1)

    @property
    def last(self) -> MeanPoint:
        """The last step."""
        return self.points[-1]

    def save(self, path: Path) -> None:
        """Write the aggregate as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> MeanTrajectory:
        """Read an aggregate.json (or the directory that holds one). Raises BadInputError naming file and field."""
        return read_record(cls, path, AGGREGATE, f"file; expected an {AGGREGATE} or its directory")

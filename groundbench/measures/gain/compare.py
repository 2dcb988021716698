"""The paired, clustered difference of two runs on the same testbed and ENV form (protocol §5)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.gain.comparison_text import of_comparison
from groundbench.measures.gain.measure import gain_items, mean_or_none, noun_means, or_none
from groundbench.measures.gain.pairing import pair_rows
from groundbench.results.items import read_items
from groundbench.results.run import Record, Result
from groundbench.results.summary import Summarized, Summary
from groundbench.results.text.sentences import control_verdict, null_controls
from groundbench.stats.significance import N_RESAMPLES, bootstrap_mean, clustered_interval, clustered_test, signflip_p

Floats = npt.NDArray[np.float64]


class ComparedRun(Record):
    """One side of a comparison: which model, and its gain over the common items (nats)."""

    run: str
    model: str
    step: int | None
    gain: float | None
    n_failed: int


class NounDifference(Record):
    """One noun's gain in both runs and their difference a - b (nats)."""

    noun: str
    category: str
    a: float | None
    b: float | None
    difference: float | None


class Comparison(Summarized, Record):
    """The difference in gain, a - b, over the items both runs hold (nats).

    Attributes:
        difference, ci_low, ci_high: mean over nouns of the paired difference; its 95 % t-interval, clustered as
            `p_cluster`.
        ci_nouns_low, ci_nouns_high: 95 % bootstrap interval over nouns, for these frames alone.
        p_cluster: two-sided, clustered by noun and frame; `p_signflip`: over nouns, for these frames.
        detectable: the smallest difference this design finds at 5 % with 80 % power.
        n_items: (noun, frame) items compared; `n_unpaired`: rows left out because only one run holds them.
        control: which of the two is a null control of the other, with its verdict in `control_verdict`; null if none.
    """

    testbed: str
    testbed_hash: str
    env_form: str
    a: ComparedRun
    b: ComparedRun
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    ci_nouns_low: float | None
    ci_nouns_high: float | None
    p_cluster: float | None
    p_signflip: float | None
    detectable: float | None
    n_nouns: int
    n_items: int
    n_unpaired: int
    by_noun: tuple[NounDifference, ...]
    control: Literal["a", "b"] | None = None
    control_verdict: str | None = None

    def _summary(self) -> Summary:
        return of_comparison(self)


def compare_runs(
    a: str | Path, b: str | Path, *, form: str | None = None, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> Comparison:
    """Compare two run directories, each with a result.json and an items.parquet.

    Args:
        a: a run directory, or a trajectory, of which the last checkpoint is taken.
        b: the other one; the difference is a - b.
        form: the ENV form to compare; by default the form both results headline.
        seed: of the bootstrap and the sign flips.
        n_resamples: of the bootstrap and the sign flips.

    Raises:
        BadInputError: a file is missing or broken, or the runs differ in testbed or form.

    Example:
        >>> import groundbench
        >>> difference = groundbench.compare("runs/a", "runs/b")
        >>> difference.n_nouns, difference.ci_low < difference.difference < difference.ci_high
        (100, True)
    """
    a, b = Path(a), Path(b)
    a, b = (last_checkpoint(run) for run in (a, b))
    result_a, result_b = Result.load(a), Result.load(b)
    _refuse_other_testbed(a, result_a, b, result_b)
    if form is None and result_a.testbed.env_form != result_b.testbed.env_form:
        raise BadInputError(
            f"{a} and {b} headline different ENV forms, {result_a.testbed.env_form!r} and "
            f"{result_b.testbed.env_form!r}; expected one form: name it"
        )
    form = form or result_a.testbed.env_form
    table_a, table_b = (read_items(_directory(run) / "items.parquet", form) for run in (a, b))
    paired_a, paired_b = pair_rows(table_a, table_b)
    items_a, items_b = gain_items(paired_a), gain_items(paired_b)
    difference = items_a.gain - items_b.gain
    by_noun = noun_means(difference)
    if np.isnan(by_noun).all():
        raise BadInputError(f"{a} and {b} hold no item of the form {form!r} in common; nothing can be paired")
    overall = clustered_interval(difference, nested=items_a.nested)
    conditional = bootstrap_mean(by_noun, n_resamples=n_resamples, seed=seed)
    test = clustered_test(difference, nested=items_a.nested)
    gains_a, gains_b = noun_means(items_a.gain), noun_means(items_b.gain)
    control: Literal["a", "b"] | None = (
        "a" if is_control_of(result_a, result_b) else "b" if is_control_of(result_b, result_a) else None
    )
    of = None if control is None else result_a if control == "a" else result_b
    return Comparison(
        testbed=result_a.testbed.name,
        testbed_hash=result_a.testbed.hash,
        env_form=form,
        a=_side(a, result_a, gains_a, table_a),
        b=_side(b, result_b, gains_b, table_b),
        difference=overall.value,
        ci_low=overall.ci_low,
        ci_high=overall.ci_high,
        ci_nouns_low=conditional.ci_low,
        ci_nouns_high=conditional.ci_high,
        p_cluster=test.p,
        p_signflip=signflip_p(by_noun, n_flips=n_resamples, seed=seed),
        detectable=test.detectable,
        n_nouns=overall.n,
        n_items=test.n_items,
        n_unpaired=len(table_a.surprisal) + len(table_b.surprisal) - 2 * len(paired_a.surprisal),
        by_noun=_by_noun(paired_a, gains_a, gains_b, by_noun),
        control=control,
        control_verdict=None if of is None else control_verdict(of.gain, null_controls(of)),
    )


def last_checkpoint(run: Path) -> Path:
    """Return the run directory of a trajectory's last checkpoint; any other path as it is."""
    if (run / "result.json").exists() or not run.is_dir():
        return run
    steps = {int(p.parent.name.removeprefix("step-")): p.parent for p in run.glob("step-*/result.json")}
    return steps[max(steps)] if steps else run


def _by_noun(table: SurprisalTable, gains_a: Floats, gains_b: Floats, difference: Floats) -> tuple[NounDifference, ...]:
    columns = zip(table.nouns, table.categories, gains_a, gains_b, difference, strict=True)
    return tuple(
        NounDifference(noun=n, category=c, a=or_none(a), b=or_none(b), difference=or_none(d))
        for n, c, a, b, d in columns
    )


SHUFFLED = "shuffle-forms"


def is_control_of(control: Result, run: Result) -> bool:
    """Return True where one run is a null control of the other: its model with random weights, or its testbed's forms
    shuffled."""
    controls = null_controls(control)
    if not controls or null_controls(run):
        return False
    shuffled = "-shuffled" if SHUFFLED in controls else ""
    name = run.model.name + (" (untrained)" if "random-weights" in controls else "")
    same_testbed = (control.testbed.name, control.testbed.version) == (
        run.testbed.name + shuffled,
        run.testbed.version,
    )
    return same_testbed and control.model.name == name


def _refuse_other_testbed(a: Path, one: Result, b: Path, two: Result) -> None:
    if is_control_of(one, two) or is_control_of(two, one):
        return
    if one.testbed.hash != two.testbed.hash:
        raise BadInputError(
            f"{a} and {b} were measured on different testbeds, {one.testbed.name} {one.testbed.version} "
            f"({one.testbed.hash}) and {two.testbed.name} {two.testbed.version} ({two.testbed.hash}); "
            "expected the same hash"
        )


def _directory(run: Path) -> Path:
    return run if run.is_dir() else run.parent


def _side(run: Path, result: Result, gains: Floats, table: SurprisalTable) -> ComparedRun:
    return ComparedRun(
        run=str(run),
        model=result.model.name,
        step=result.model.step,
        gain=mean_or_none(gains),
        n_failed=table.n_failed,
    )

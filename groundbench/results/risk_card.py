"""card.json: the risk card of one model on question sets (pydantic, versioned, unknown fields refused).

Unmeasured is null, never 0, and a check of what was not measured fails. Gains are in nats; intervals are 95 %.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from groundbench.results.base import read_record
from groundbench.results.card_summary import of_card
from groundbench.results.risk_card_answers import (
    AggregateRecord,
    RecordsRecord,
    ThresholdRow,
    TokenQuality,
    WorstAnswer,
)
from groundbench.results.risk_card_answers import (
    Estimated as Estimated,
)
from groundbench.results.run import EnvironmentRecord, Failure, ModelRecord, Record
from groundbench.results.summary import Summarized, Summary
from groundbench.util.atomic_files import write_text

CARD_VERSION: Literal["1.1"] = "1.1"
FILE_NAME = "card.json"
EVERY = sys.float_info.max
"""The threshold that withholds no answer: JSON has no infinity."""

Role = Literal["signal", "baseline"]


class UnaskedRecord(Record):
    """Questions that could not be asked of this model (its tokenizer cannot read them): in no rate, so counted here.

    Attributes:
        n: all of them; `by_kind`: of each kind that has any.
        yes_no: those whose answers are yes and no; `contradicting`: those whose evidence contradicts the usual.
    """

    n: int = Field(default=0, ge=0)
    by_kind: dict[str, int] = Field(default_factory=dict)
    yes_no: int = Field(default=0, ge=0)
    contradicting: int = Field(default=0, ge=0)


class QuestionsRecord(Record):
    """The questions of a screening: `splits` are disjoint in groups (`detect` finds heads, `fit` fits risks).

    Attributes:
        n: questions that were answered; `unasked`: those beside them that could not be asked.
        limit: how many were wanted at most; `drawn_from`: how many the sets hold, where these are more, so that the
            card is of a sample; null where it is of all.
    """

    sets: tuple[str, ...]
    hash: str
    n: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    kinds: tuple[str, ...]
    forms: tuple[str, ...]
    splits: dict[Literal["detect", "fit", "test"], int]
    limit: int | None = None
    drawn_from: int | None = Field(default=None, ge=1)
    unasked: UnaskedRecord = UnaskedRecord()


class ErrorRecord(Record):
    """The rate at which the likeliest answer is wrong.

    Attributes:
        kind: of question; null for all of them. `form`: the way of showing; null for all of them.
        chance: the error rate of answers drawn at random, `constant`: of the best answer that never changes; null
            for given answers.
        yes, yes_true: how often the answer is yes, and how often it should be; null where answers are not yes and no.
        usual: of questions whose evidence contradicts the usual, how often the answer is the usual one.
        n_groups: scenes or images.
    """

    kind: str | None = None
    form: str | None = None
    error: Estimated
    n_groups: int = Field(ge=0)
    chance: float | None
    constant: float | None
    yes: Estimated | None = None
    yes_true: float | None = None
    usual: Estimated | None = None


class MentionRecord(Record):
    """The probability of mentions of absent things: CHAIR's two rates (Rohrbach et al. 2018) by likelihood.

    Attributes:
        absent: the probability that what is named next is not there, among all candidates; CHAIR counts the objects of
            written captions. `without`, `mismatched`: the same on blank evidence and on other evidence. `lowered`: how
            far it is below that on other evidence, image by image.
        any_absent: how often one of the `named` likeliest is not there; of fewer, where fewer things are there.
        chance: `absent` of a model to which all candidates are equally likely.
        candidates, there: the mean number of candidates, and of those that are there; `unreadable`: of candidates left
            out because the model's tokenizer cannot read them.
    """

    absent: Estimated
    without: Estimated | None = None
    mismatched: Estimated | None = None
    lowered: Estimated | None = None
    any_absent: Estimated
    named: int = Field(ge=1)
    chance: float
    candidates: float
    there: float
    unreadable: float = 0.0


class TruthGain(Record):
    """The true answer's grounding gain (nats): its surprisal without the evidence, or on other evidence, minus with."""

    against: Literal["without", "mismatched"]
    gain: Estimated


class HeadsUsed(Record):
    """The model's own aggregate heads, as (layer from 1, head from 0), detected in the `detect` split.

    Detected: in at least `min_rate` of the items of some kind of question (protocol §10). `selection` is the loosest
    definition that was needed: `magnitude` (share, lift and magnitude), `size` (share and magnitude, where evidence of
    over half of the prompt leaves no room for a lift of 2), `share` alone; or heads that were `given`. `n_items`: right
    answers they were detected in. Carriers are ranked by `contrast` in another run, and `n_items` are its pairs.
    """

    heads: tuple[tuple[int, int], ...]
    selection: Literal["magnitude", "size", "share", "given", "contrast"]
    threshold: float
    min_rate: float
    n_items: int = Field(ge=0)
    total: int = Field(ge=0)


class LogisticFit(Record):
    """P(error) = 1 / (1 + exp(-(intercept + slope * risk)))."""

    intercept: float
    slope: float


class IsotonicFit(Record):
    """P(error), linear between knots of the risk and constant beyond them."""

    risk: tuple[float, ...]
    error: tuple[float, ...]


class ReliabilityBin(Record):
    """One bin of equal mass: mean predicted risk and share of errors."""

    n: int = Field(ge=0)
    predicted: float
    observed: float


class CalibrationRecord(Record):
    """A risk fitted on the `fit` split and tested on the `test` split; null where a split has no answer.

    `ece`: expected calibration error without what chance gives a calibrated risk; `ece_raw`: the plain one, null in
    cards older than it (there `ece` is the plain one). `ece_high`: the upper end of its 95 % interval over groups of
    the test split; null with one group, and in cards older than it.
    """

    method: Literal["isotonic", "logistic"]
    fit: LogisticFit | IsotonicFit
    n_fit: int = Field(ge=0)
    n_test: int = Field(ge=0)
    ece: float
    ece_raw: float | None = None
    ece_high: float | None = None
    brier: float
    bins: tuple[ReliabilityBin, ...]


class CoveragePoint(Record):
    """The share of errors among the `coverage` of answers with the least risk, with its bootstrap interval."""

    coverage: float
    error: float
    low: float | None = None
    high: float | None = None


class KindAuroc(Record):
    """A signal's AUROC in the questions of one kind, in all forms."""

    kind: str
    auroc: Estimated


class SignalRecord(Record):
    """One risk signal: how well it tells wrong answers from right ones.

    Attributes:
        role: `signal` or `baseline`.
        description: what it is; `cost`: what it costs for one answer.
        auroc: on `fit` and `test` together; null where all answers are right, or all wrong.
        auroc_within: the same over pairs of one kind and form only: a signal that only tells kinds of question apart,
            which differ in how often they are answered wrongly, has 0.5 here. `by_kind`: in each kind alone.
        p: two-sided, that the AUROC is 0.5, clustered by group; `p_holm`: corrected over all signals. `p_within`,
            `p_within_holm`: the same of the AUROC within kinds.
        auroc_fit, auroc_test: on one split each.
        aurc: the area under the risk-coverage curve; a signal that says nothing has the error rate.
        calibration: the headline's first: logistic where it was fitted on fewer than 1,000 answers, else isotonic.
        source, formula: of published signals.
        auprc: area under the errors' precision-recall curve; `prr`: prediction rejection ratio (0 chance, 1 best).
        aggregates: the AUROC of the worst token and of the worst run; `auroc` is of the mean over the answer's tokens.
        tokens: how well it finds the tokens of labelled spans.
        missing: why there is nothing; null where it was measured.
    """

    name: str
    role: Role
    description: str
    cost: str
    n: int = Field(default=0, ge=0)
    auroc: Estimated | None = None
    auroc_within: Estimated | None = None
    by_kind: tuple[KindAuroc, ...] = ()
    p: float | None = Field(default=None, ge=0, le=1)
    p_holm: float | None = Field(default=None, ge=0, le=1)
    p_within: float | None = Field(default=None, ge=0, le=1)
    p_within_holm: float | None = Field(default=None, ge=0, le=1)
    auroc_fit: float | None = None
    auroc_test: Estimated | None = None
    aurc: Estimated | None = None
    curve: tuple[CoveragePoint, ...] = ()
    calibration: tuple[CalibrationRecord, ...] = ()
    source: str = ""
    formula: str = ""
    auprc: Estimated | None = None
    prr: Estimated | None = None
    aggregates: tuple[AggregateRecord, ...] = ()
    tokens: TokenQuality | None = None
    missing: str | None = None


class Comparison(Record):
    """Two signals, each the best of its kind on the `fit` split, compared on the `test` split: AUROC, paired.

    `gap` is over all pairs of answers; `within`, over pairs of one kind and form.
    """

    one: str
    other: str
    gap: Estimated
    within: Estimated


class Predictors(Record):
    """The best predictor of errors, chosen on the `fit` split, so that its AUROC on `test` is unbiased.

    `above_chance`: the signals whose AUROC is above 0.5 after Holm's correction, with an interval that says so too;
    `above_within`: the same of the AUROC within kinds.
    """

    best: str | None = None
    best_signal: str | None = None
    best_baseline: str | None = None
    above_chance: tuple[str, ...] = ()
    above_within: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


class OperatingPoint(Record):
    """Answer where the risk is at most `threshold`, withhold the rest: chosen on `fit`, measured on `test`.

    `met` says whether the test split keeps enough answers with few enough errors. A threshold of `EVERY` withholds
    none: of the fit split nothing had to be withheld.
    """

    signal: str
    max_risk: float
    min_coverage: float
    threshold: float | None
    fit_coverage: float | None = None
    fit_error: float | None = None
    coverage: Estimated | None = None
    error: Estimated | None = None
    met: bool
    why: str


class GenerationRecord(Record):
    """Answers by a short greedy continuation: what cannot be read as one of the candidates is counted apart."""

    n: int = Field(ge=0)
    tokens: int = Field(ge=1)
    unparseable: Estimated
    error: Estimated
    yes: Estimated | None = None
    agreement: Estimated
    examples: tuple[str, ...] = ()


class StrengthRecord(Record):
    """The effect of one strength of the heads on one split: error rate, and perplexity of ordinary text."""

    factor: float
    error: float
    perplexity: float | None = None


class StrengthenRecord(Record):
    """Heads' outputs multiplied by `factor` (chosen on the `fit` split), reported on the `test` split.

    The heads are the detected ones; weakened are those that raise wrong answers on the `fit` split.

    Attributes:
        tried: every factor on the `fit` split.
        before, after: error rates on the test split; `change`: their paired difference.
        random: error rates with as many other heads of the same layers multiplied alike; `p_rank`: the rank of the
            chosen heads among these draws, (1 + draws with as few errors) / (1 + draws).
        perplexity_*: of ordinary text, over the same tokens; null where it could not be measured (`note` says why).
    """

    factor: float
    n_heads: int = Field(ge=0)
    tried: tuple[StrengthRecord, ...]
    before: Estimated
    after: Estimated
    change: Estimated
    random: tuple[float, ...]
    p_rank: float | None = None
    perplexity_before: float | None = None
    perplexity_after: float | None = None
    perplexity_random: tuple[float, ...] = ()
    text: str
    note: str | None = None


class Check(Record):
    """One requirement of the policy. `passed` is false where it was not met, and where it was not measured."""

    name: str
    wanted: str
    found: str | None
    measured: bool
    passed: bool
    reason: str


class Verdict(Record):
    """The policy and what came of it; without a policy nothing is required and `passed` is null."""

    policy: dict[str, JsonValue] | None = None
    checks: tuple[Check, ...] = ()
    passed: bool | None = None


class OpenedRecord(Record):
    """The place a screened model was opened from, so that the same can be opened again."""

    model: str
    """A hub id, `module:object`, or the absolute path of a folder or file."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """The options of loading that were given."""


class RiskCard(Summarized, Record):
    """Everything a screening found of one model. The first entry of `errors` is over all questions."""

    schema_version: Literal["1.0", "1.1"] = CARD_VERSION
    model: ModelRecord
    opened: OpenedRecord | None = None
    """Null for a model that was in memory, and in older cards."""
    questions: QuestionsRecord
    errors: tuple[ErrorRecord, ...] = Field(min_length=1)
    mentions: MentionRecord | None = None
    gains: tuple[TruthGain, ...] = ()
    heads: HeadsUsed | None = None
    carriers: HeadsUsed | None = None
    signals: tuple[SignalRecord, ...] = ()
    predictors: Predictors = Predictors()
    operating: OperatingPoint | None = None
    generation: GenerationRecord | None = None
    strengthen: StrengthenRecord | None = None
    weaken: StrengthenRecord | None = None
    verdict: Verdict = Verdict()
    records: RecordsRecord | None = None
    thresholds: tuple[ThresholdRow, ...] = ()
    worst: tuple[WorstAnswer, ...] = ()
    failures: tuple[Failure, ...] = ()
    protocol: dict[str, JsonValue] = Field(default_factory=dict)
    environment: EnvironmentRecord

    def signal(self, name: str) -> SignalRecord | None:
        """Return the record of one signal, if it was asked for."""
        return next((s for s in self.signals if s.name == name), None)

    def _summary(self) -> Summary:
        return of_card(self)

    def save(self, path: Path) -> None:
        """Write the card as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> RiskCard:
        """Read a card.json (or the directory that holds one). Raises BadInputError naming file and field."""
        return read_record(cls, path, FILE_NAME, f"card; expected a screening's directory or its {FILE_NAME}")

"""The part of result.json on causes: interchange between matched and mismatched prompts (protocol §15).

Scores are in nats; recovered, lost, transfer and f are shares of the gain, which no bound keeps within 0 and 1.
Layers are numbered from 1, heads from 0; unmeasured is null, never 0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundbench.results.base import Record

Ranking = Literal["share", "contrast", "contrast-ig", "exact", "random"]


class Interval(Record):
    """A ratio of means over nouns with its 95 % interval (paired bootstrap over nouns); null where undefined."""

    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


class PairRecord(Record):
    """The pairs of one form.

    Attributes:
        n_left_out: items without another noun's prompt of equal length; they are in no number here.
        n_same_category: pairs of two nouns of one category that were measured; n_exact: pairs on which every head was
            interchanged alone.
        clean, corrupt: mean surprisal (nats) of the noun's first token when it, or the other noun, is shown; gain:
            corrupt - clean, with a bootstrap over nouns.
    """

    n: int = Field(ge=0)
    n_nouns: int = Field(ge=0)
    n_frames: int = Field(ge=0)
    n_left_out: int = Field(default=0, ge=0)
    n_same_category: int = Field(default=0, ge=0)
    n_exact: int = Field(default=0, ge=0)
    clean: float
    corrupt: float
    gain: Interval


class HeadScore(Record):
    """One head's scores: mean `share` of saliency on the ENV edge (§10), and mean nats over the pairs.

    `zeroed` is the rise of the clean prompt's surprisal when the head alone is zeroed at all positions: of heads whose
    exact effect is a fifth of the gain or more, null for others.
    """

    layer: int = Field(ge=1)
    head: int = Field(ge=0)
    share: float | None = None
    contrast: float | None = None
    contrast_ig: float | None = None
    exact: float | None = None
    zeroed: float | None = None


class Agreement(Record):
    """Spearman's rank correlation of two scores over all heads."""

    first: Ranking
    second: Ranking
    rank_correlation: float | None


class HeadPlace(Record):
    """A head by its place."""

    layer: int = Field(ge=1)
    head: int = Field(ge=0)


class InterchangeRecord(Record):
    """The effect of a set of heads: the first k of a ranking, interchanged between the prompts of a pair.

    Attributes:
        crossfit: ranked on the other half of nouns and frames; otherwise on the same pairs, which flatters.
        recovered: of the gain, when the set comes from the clean run into the corrupt one (sufficiency).
        lost: of the gain, when the set comes from the corrupt run into the clean one (necessity).
        transfer: how far the other noun becomes likely when the set comes from its run.
        same_answer: recovered when the donor shows the same noun in another frame of equal length.
        same_category: recovered over pairs of one category.
        random_recovered, random_lost: layer-matched random sets of equal size, one value for each of `n_draws` draws,
            over a seeded sample of `n_random_pairs` pairs (null in older results: of all), of the gain of all pairs.
            Empty, as every share is null, where that gain cannot be told from 0.
        p_draws: two-sided, of `recovered` over the same pairs against the spread of the draws; p_rank: its rank among
            them.
    """

    ranking: Ranking
    k: int = Field(ge=1)
    crossfit: bool = True
    headline: bool = False
    recovered: Interval
    lost: Interval
    transfer: Interval = Interval()
    same_answer: Interval = Interval()
    n_same_answer: int = Field(default=0, ge=0)
    same_category: Interval = Interval()
    n_draws: int = Field(default=0, ge=0)
    n_borrowed: int = Field(default=0, ge=0)
    n_random_pairs: int | None = Field(default=None, ge=1)
    random_recovered: tuple[float, ...] = ()
    random_lost: tuple[float, ...] = ()
    p_draws: float | None = Field(default=None, ge=0, le=1)
    p_rank: float | None = Field(default=None, ge=0, le=1)
    heads: tuple[HeadPlace, ...] = ()
    """In the set of every cell: each found with other nouns in other frames."""

    @property
    def random_mean(self) -> float | None:
        """The share of the gain that random sets recover, averaged over the draws."""
        drawn = self.random_recovered
        return sum(drawn) / len(drawn) if drawn else None


class CurvePoint(Record):
    """f(C) where the first k heads of a ranking stay clean and all others come from the corrupt run."""

    k: int = Field(ge=1)
    f: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


class CurveRecord(Record):
    """A faithfulness curve over the clean prompt (MIB; protocol §15).

    f = 0 is measured with all heads from the corrupt run, embeddings and MLPs as they come.

    Attributes:
        cpr: area under f; cmd: area of |1 - f|; both over the share of heads, linearly, by trapezoids between the
            measured sizes, as MIB's code has it by default. cpr_log, cmd_log: the same over its logarithm.
        heads_for_half: the least number of heads with f >= 0.5, interpolated between the measured sizes.
        empty: what is left of the gain with all heads from the corrupt run, which f takes for 0.
        n_orders: of the ranking `random`: orders, whose mean the points are; the interval is then their range.
    """

    ranking: Ranking
    crossfit: bool = True
    points: tuple[CurvePoint, ...]
    cpr: float | None = None
    cmd: float | None = None
    cpr_log: float | None = None
    cmd_log: float | None = None
    heads_for_half: Interval = Interval()
    empty: float | None = None
    n_orders: int = Field(default=1, ge=1)


class MatrixCell(Record):
    """Recovered in this record's form by its own heads (of the headline's size), at the prediction position, when they
    come from a run in which the same noun is shown in the donor form."""

    donor_form: str
    k: int = Field(ge=1)
    n_pairs: int = Field(ge=0)
    recovered: Interval


class KnockoutRecord(Record):
    """The gain lost when edges between tokens are cut in the matched prompt (and in the mismatched one).

    Attributes:
        step: `direct`: prediction position <- ENV; `read`: prediction position <- tokens after ENV; `write`: those
            tokens <- ENV.
        heads: `headline` (the headline's set) or `all` heads of the layers first_layer to last_layer.
    """

    step: Literal["direct", "read", "write"]
    heads: Literal["headline", "all"]
    first_layer: int = Field(ge=1)
    last_layer: int = Field(ge=1)
    lost: Interval


class HeadIdentity(Record):
    """The behaviour of a head on random tokens repeated once: mean attention weights, and its copying.

    Attributes:
        induction: from a token of the repeat to the one after its first occurrence; duplicate: to its first
            occurrence; previous: to the token before; sink: to the first token.
        ov_copy: the share of sampled tokens that the head, reading a token's embedding, raises above all other sampled
            tokens in the logits; null where the weights cannot be found.
    """

    layer: int = Field(ge=1)
    head: int = Field(ge=0)
    induction: float | None = None
    previous: float | None = None
    duplicate: float | None = None
    sink: float | None = None
    ov_copy: float | None = None


class CausalRecord(Record):
    """The measure `causal` of one form. `identity` is of the model, the same in all forms: in the first record only."""

    env_form: str
    n_heads: int = Field(ge=1)
    pairs: PairRecord
    scores: tuple[HeadScore, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    opposed: tuple[HeadPlace, ...] = ()
    """Heads whose contrast and exact effect differ in sign, among those with an effect of at least 1 % of the gain."""
    interchange: tuple[InterchangeRecord, ...] = ()
    curves: tuple[CurveRecord, ...] = ()
    matrix: tuple[MatrixCell, ...] = ()
    knockout: tuple[KnockoutRecord, ...] = ()
    identity: tuple[HeadIdentity, ...] = ()
    note: str | None = None

    @property
    def headline(self) -> InterchangeRecord | None:
        """The set of heads that the headline reports."""
        return next((i for i in self.interchange if i.headline), None)

    @property
    def headline_curve(self) -> CurveRecord | None:
        """The cross-fitted curve of the headline's ranking, `contrast`."""
        return next((c for c in self.curves if c.ranking == "contrast" and c.crossfit), None)

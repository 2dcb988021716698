"""result.json: the one record of a measurement (pydantic, versioned, unknown fields refused).

Unmeasured is null, never 0. Surprisals and gains are in nats; layers are numbered from 1, heads from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from groundbench.results.base import Record as Record
from groundbench.results.base import read_record
from groundbench.results.causal import CausalRecord
from groundbench.results.image import ImageRecord
from groundbench.results.ladder_score import LadderScore
from groundbench.results.run_summary import of_result
from groundbench.results.summary import Summarized, Summary
from groundbench.util.atomic_files import write_text

SCHEMA_VERSION: Literal["1.1"] = "1.1"
Version = Annotated[Literal["1.1"], BeforeValidator(lambda found: SCHEMA_VERSION if found == "1.0" else found)]
"""Of files whose own fields are those of schema 1.0; the results in them are upgraded one by one."""

Denominator = Literal["row", "total"]
Selection = Literal["instance", "crossfit"]
Control = Literal["layer", "uniform", "saliency"]


class MixerRecord(Record):
    """One token-mixing module with heads."""

    layer: int = Field(ge=1)
    kind: Literal["attention", "ssd"]
    n_heads: int = Field(ge=1)
    d_head: int = Field(ge=1)


class ModelRecord(Record):
    """The model that was measured."""

    name: str
    family: str
    architecture: str
    parameters: int | None = Field(ge=0)
    """None where nobody says it: a model behind an API."""
    dtype: str
    fingerprint: str
    mixers: tuple[MixerRecord, ...] = ()
    step: int | None = None
    seed: int | None = None
    checkpoint: str | None = None


class Excluded(Record):
    """A noun that was left out, and why."""

    noun: str
    reason: str


class TestbedRecord(Record):
    """On what it was measured."""

    name: str
    version: str
    hash: str
    frames: Literal["shared", "per-noun"]
    env_form: str
    n_nouns: int = Field(ge=0)
    n_items: int = Field(ge=0)
    excluded: tuple[Excluded, ...] = ()


class NounGain(Record):
    """One noun's gain and mean surprisals (nats)."""

    noun: str
    category: str
    gain: float | None
    matched: float | None
    mismatched: float | None


class CategoryGain(Record):
    """The mean gain of one CDI category (nats), over `n_nouns` nouns, with its clustered 95 % interval."""

    category: str
    n_nouns: int
    gain: float | None
    ci_low: float | None = None
    ci_high: float | None = None


class GainRecord(Record):
    """Grounding information gain (protocol §5), in nats.

    Attributes:
        mean: mean over nouns; `ci_low`, `ci_high`: its 95 % t-interval, clustered by noun and frame as `p_cluster`.
        ci_nouns_low, ci_nouns_high: 95 % bootstrap interval over nouns, for these frames alone.
        matched, mismatched: mean surprisal of a noun when its own, or another's, ENV form was shown.
        p_cluster: two-sided, two-way clustered by noun and frame; `p_signflip`: over nouns, for these frames.
        same_category: the gain against mismatches of the noun's own category only.
        per_frame_sd: standard deviation over frames of the mean gain in a frame.
        probe_gap: gain measured on the probe's numeric path minus the scoring path's.
        ideal: the ideal observer's gain on the same testbed, where its generator is known.
        detectable: the smallest gain this design detects at 5 % with 80 % power.
    """

    mean: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_nouns_low: float | None = None
    ci_nouns_high: float | None = None
    matched: float | None = None
    mismatched: float | None = None
    p_cluster: float | None = Field(default=None, ge=0, le=1)
    p_signflip: float | None = Field(default=None, ge=0, le=1)
    same_category: float | None = None
    same_category_ci_low: float | None = None
    same_category_ci_high: float | None = None
    per_frame_sd: float | None = None
    probe_gap: float | None = None
    ideal: float | None = None
    n_failed: int = Field(default=0, ge=0)
    detectable: float | None = None
    by_noun: tuple[NounGain, ...] = ()
    by_category: tuple[CategoryGain, ...] = ()


class HeadCount(Record):
    """The rate at which one head was detected, its mean share of saliency on the edge, and its lift over length.

    `head` counts from 0 in its layer, over all its mixers in the order in which they are called; `kind` is that of its
    mixer (None in results from before it was kept). `signed` is the mean of the edge's saliency with its sign (nats): a
    head with a positive one suppresses the word, since zeroing it makes the word likelier to first order.

    `effect` is the rise of the mean matched surprisal (nats) when this head alone is zeroed (protocol §11), and
    `gain_effect` the loss of gain (nats) on the same items: the rise of the matched surprisal less that of the
    mismatched one. A head that helps the word whatever is shown has the first and not the second.
    """

    layer: int = Field(ge=1)
    head: int = Field(ge=0)
    kind: Literal["attention", "ssd"] | None = None
    signed: float | None = None
    rate: float = Field(ge=0, le=1)
    share: float
    lift: float | None = None
    magnitude: float | None = None
    effect: float | None = None
    gain_effect: float | None = None


class Stability(Record):
    """The mean head count at another threshold."""

    threshold: float
    mean_count: float


class HeadsRecord(Record):
    """Heads of one kind under one definition (protocol §10), with the three references of every count.

    `even_count` is a fourth one, of gather heads: the count if the tokens of what is shown attended evenly to all that
    they may see. Where it is as large as `mean_count`, the heads found are those of any pattern of attention.
    """

    kind: Literal["aggregate", "gather"]
    denominator: Denominator
    threshold: float
    floor: float | None = None
    selection: Literal["share", "magnitude"]
    mean_count: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    null_count: float | None = None
    even_count: float | None = None
    untrained_count: float | None = None
    mean_layer: float | None = None
    mean_layer_ci_low: float | None = None
    mean_layer_ci_high: float | None = None
    diagonal: bool = True
    n_items: int = Field(default=0, ge=0)
    by_head: tuple[HeadCount, ...] = ()
    stability: tuple[Stability, ...] = ()


class AblationRecord(Record):
    """The loss when heads are cut (protocol §11). Surprisals are matched means in nats.

    Attributes:
        original, ablated, control_mean: matched surprisal untouched, with the detected heads edited, with the
            controls edited (mean over draws; `control_draws` are the draws).
        gain_*: the gain in the same conditions; `gain_removed` = 1 - gain_ablated / gain_original.
        factor: of the mode `scale`; null for the others.
        n_draws: different control sets; fewer than were asked for where there are no more, or where these settle the
            verdict (the note says so).
        p_surprisal: of the selection `instance` alone, the same test of the matched surprisal (as published); a model
            that grounds nothing can pass it, so `p_cluster` is of the gain.
        p_cluster: paired test of ablated against the mean control, clustered by noun and frame: whether these two
            differ on other nouns and frames. Two random sets of heads differ too, so a claim about the detected ones
            needs `p_draws`, the two-sided test of their gain against the spread of the control draws, or `p_rank`,
            the rank among the draws. `p_holm`: p_cluster corrected over checkpoints.
        nouns: the seeded sample of nouns that was tested; empty where all items were.
    """

    kind: Literal["aggregate", "gather"] = "aggregate"
    selection: Selection
    denominator: Denominator = "row"
    control: Control
    mode: Literal["zero", "mean", "resample", "scale"]
    factor: float | None = None
    positions: Literal["all", "last"]
    n_draws: int = Field(ge=0)
    n_heads: float | None = None
    n_no_head: int = Field(default=0, ge=0)
    n_borrowed: int = Field(default=0, ge=0)
    original: float | None = None
    ablated: float | None = None
    control_mean: float | None = None
    control_draws: tuple[float, ...] = ()
    gain_original: float | None = None
    gain_ablated: float | None = None
    gain_control: float | None = None
    gain_control_draws: tuple[float, ...] = ()
    gain_removed: float | None = None
    gain_removed_ci_low: float | None = None
    gain_removed_ci_high: float | None = None
    p_cluster: float | None = Field(default=None, ge=0, le=1)
    p_surprisal: float | None = Field(default=None, ge=0, le=1)
    p_draws: float | None = Field(default=None, ge=0, le=1)
    p_rank: float | None = Field(default=None, ge=0, le=1)
    p_holm: float | None = Field(default=None, ge=0, le=1)
    nouns: tuple[str, ...] = ()
    note: str | None = None


class LensLayer(Record):
    """Lens surprisal at one layer: matched, mismatched and their difference (protocol §9), in nats.

    `kl` is the mean over prompts of KL(model || lens): how well this lens reads this layer, 0 at the last.
    """

    layer: int = Field(ge=0)
    matched: float
    mismatched: float | None = None
    gain: float | None = None
    kl: float | None = None


class LensRecord(Record):
    """One lens read at every layer; `note` says what it was trained on and what it reads."""

    kind: Literal["tuned", "logit"]
    layers: tuple[LensLayer, ...]
    note: str | None = None


class Regression(Record):
    """R² of the per-noun gain (or pairwise difference) on one co-occurrence statistic (protocol §7)."""

    window: Literal["chunk", "utterances"]
    statistic: Literal["log-count", "pmi"]
    unit: Literal["noun", "pair"]
    r2_adjusted: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int


class CooccurrenceRecord(Record):
    """The co-occurrence analysis; `gain_variance` is given beside R², which falls when the gain saturates."""

    regressions: tuple[Regression, ...]
    gain_variance: float | None


class CopyCorrected(Record):
    """G(gloss) / G(word), both against same-category mismatches, on the nouns that both forms have (protocol §13).

    `ratio` is null where G(word) is less than five clustered standard errors from 0; gains in nats over the same
    `n_nouns` nouns.
    """

    ratio: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    gain_gloss: float | None = None
    gain_word: float | None = None
    n_nouns: int | None = Field(default=None, ge=0)


class HeadForms(Record):
    """The ENV forms whose headline list holds a head: it is detected in at least half of the form's items."""

    layer: int = Field(ge=1)
    head: int = Field(ge=0)
    forms: tuple[str, ...]


class FormRecord(Record):
    """Everything measured of one ENV form. The first entries of heads and ablations are the headline.

    `n_items`: matched prompts; null where a file of schema 1.0 did not count them.
    """

    env_form: str
    n_nouns: int = Field(ge=0)
    n_items: int | None = Field(ge=0)
    excluded: tuple[Excluded, ...] = ()
    gain: GainRecord | None = None
    heads: tuple[HeadsRecord, ...] = ()
    ablations: tuple[AblationRecord, ...] = ()
    lens: tuple[LensRecord, ...] = ()
    image: ImageRecord | None = None


class Failure(Record):
    """A failed item or measurement: an error, never a score."""

    where: str
    reason: str


class EnvironmentRecord(Record):
    """The place and the software of a measurement."""

    versions: dict[str, str]
    device: str
    seeds: tuple[int, ...] = ()
    seconds: float | None = None
    git: str | None = None


class Result(Summarized, Record):
    """Everything measured of one model on one testbed.

    `forms` holds every form that was asked for; the first is the headline's, and `gain`, `heads`, `ablations` and
    `lens` are its. `testbed` describes the headline's form.
    """

    schema_version: Literal["1.1"] = SCHEMA_VERSION
    model: ModelRecord
    testbed: TestbedRecord
    forms: tuple[FormRecord, ...] = Field(min_length=1)
    causal: tuple[CausalRecord, ...] = ()
    head_forms: tuple[HeadForms, ...] = ()
    copy_corrected: CopyCorrected | None = None
    ladder_score: LadderScore | None = None
    cooccurrence: CooccurrenceRecord | None = None
    failures: tuple[Failure, ...] = ()
    protocol: dict[str, JsonValue] = Field(default_factory=dict)
    environment: EnvironmentRecord

    @model_validator(mode="before")
    @classmethod
    def _of_an_older_schema(cls, data: Any) -> Any:
        return upgrade(data) if isinstance(data, dict) and data.get("schema_version") == "1.0" else data

    @model_validator(mode="after")
    def _headline_first(self) -> Self:
        first = self.forms[0].env_form
        if first != self.testbed.env_form:
            raise ValueError(f"forms must begin with the testbed's form {self.testbed.env_form!r}, found {first!r}")
        return self

    @property
    def headline(self) -> FormRecord:
        """The first form."""
        return self.forms[0]

    @property
    def gain(self) -> GainRecord | None:
        """The headline form's gain."""
        return self.headline.gain

    @property
    def heads(self) -> tuple[HeadsRecord, ...]:
        """The headline form's heads."""
        return self.headline.heads

    @property
    def ablations(self) -> tuple[AblationRecord, ...]:
        """The headline form's ablations."""
        return self.headline.ablations

    @property
    def lens(self) -> tuple[LensRecord, ...]:
        """The headline form's lenses."""
        return self.headline.lens

    @property
    def image(self) -> ImageRecord | None:
        """The first record of an image form."""
        return next((f.image for f in self.forms if f.image is not None), None)

    def with_headline(self, **fields: Any) -> Result:
        """Return the same result with other fields of its first form."""
        return self.model_copy(update={"forms": (self.headline.model_copy(update=fields), *self.forms[1:])})

    def of_form(self, form: FormRecord) -> Result:
        """One form as a result of its own; where its items are not counted (schema 1.0), those of the testbed stay."""
        about: dict[str, Any] = {"env_form": form.env_form, "n_nouns": form.n_nouns, "excluded": form.excluded}
        about |= {} if form.n_items is None else {"n_items": form.n_items}
        bed = self.testbed.model_copy(update=about)
        return self.model_copy(update={"testbed": bed, "forms": (form,), "head_forms": ()})

    def _summary(self) -> Summary:
        return of_result(self)

    def save(self, path: Path) -> None:
        """Write the result as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a result.json (or the run directory that holds one). Raises BadInputError naming file and field."""
        return read_record(cls, path, "result.json", "result file; expected a run directory or a result.json")


HEADLINE_1_0 = ("gain", "heads", "ablations", "lens")
"""Fields that schema 1.0 kept a second time at the top of a result: the first form's."""


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a result of schema 1.0 to 1.1.

    There a result of one form had no `forms`, and no form but the testbed's counted its items. With shared frames every
    noun has every frame, so that theirs are known; with frames of single nouns they are null.
    """
    new = {k: v for k, v in data.items() if k not in (*HEADLINE_1_0, "image", "screening", "forms")}
    bed = data.get("testbed")
    if not isinstance(bed, dict):
        return new | {"schema_version": SCHEMA_VERSION, "forms": ()}
    kept = [dict(f) if isinstance(f, dict) else f for f in data.get("forms") or ()]
    image = data.get("image")
    first: dict[str, Any] = {
        "env_form": bed.get("env_form"),
        "n_nouns": bed.get("n_nouns"),
        "n_items": bed.get("n_items"),
        "excluded": bed.get("excluded") or (),
        **{name: data[name] for name in HEADLINE_1_0 if name in data},
    }
    if isinstance(image, dict) and image.get("env_form") == first["env_form"]:
        first["image"] = image
    rest = [f for f in kept if not (isinstance(f, dict) and f.get("env_form") == first["env_form"])]
    for form in rest:
        if isinstance(form, dict):
            form["n_items"] = _items_1_0(form, bed)
    return new | {"schema_version": SCHEMA_VERSION, "forms": (first, *rest)}


def _items_1_0(form: dict[str, Any], bed: dict[str, Any]) -> int | None:
    heads = form.get("heads")
    if heads and isinstance(heads[0], dict) and isinstance(heads[0].get("n_items"), int) and heads[0]["n_items"]:
        counted: int = heads[0]["n_items"]
        return counted
    nouns, items, own = bed.get("n_nouns"), bed.get("n_items"), form.get("n_nouns")
    if bed.get("frames") != "shared" or not (
        isinstance(nouns, int) and isinstance(items, int) and isinstance(own, int)
    ):
        return None
    return own * (items // nouns) if nouns and items % nouns == 0 else None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of result.json."""
    return Result.model_json_schema()

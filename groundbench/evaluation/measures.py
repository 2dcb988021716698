"""The table of measures: what each needs of a model and which fields of a form's record it fills.

Adding a measure X: `measures/X/{options,measure}.py`, its record in `results/` as a field of `FormRecord`, a field
`x: XOptions` in `evaluation.options.Options`, and one entry in `MEASURES` here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from groundbench.api.adapter import Capability, ModelInfo
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.engine.subject import Subject
from groundbench.engine.traced_scoring import probe_table
from groundbench.measures.ablation.measure import measure as measure_ablation
from groundbench.measures.causal.measure import CausalRun, run_causal
from groundbench.measures.gain.measure import measure_gain
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.measures.heads.measure import Reference, read_saliency, saliency_options
from groundbench.measures.heads.measure import measure as measure_heads
from groundbench.measures.image.measure import measure as measure_image
from groundbench.measures.lens.measure import measure as measure_lens
from groundbench.results.image_examples import ImageExample
from groundbench.results.run import Failure

if TYPE_CHECKING:
    from groundbench.evaluation.options import Options

Fields = dict[str, Any]
"""Fields of a form's record."""


@dataclass
class FormRun:
    """One form of one model while it is measured, and what its measures share.

    Attributes:
        options: with every default resolved.
        reference: the untrained model, shared by all forms.
        heads_read: whether the saliency of heads is measured.
        probed_nouns: on so many nouns the path on which heads are read is compared with that of the scores; None: all.
        image_examples: kept for the page by the measure `image`.
        causal: what the measure `causal` found, for the result's records and the cross-form matrix.
    """

    subject: Subject
    testbed: Testbed
    form: EnvForm
    options: Options
    reference: Reference
    heads_read: bool
    probed_nouns: int | None = None
    image_examples: tuple[ImageExample, ...] = ()
    causal: CausalRun | None = None
    failures: list[Failure] = field(default_factory=list)

    @cached_property
    def saliency(self) -> HeadSaliency:
        """The saliency of the matched items, or of a sample, measured when it is first asked for; of images of all."""
        heads = self.options.heads
        return read_saliency(self.subject, replace(heads, items="all") if self.form.modality == "image" else heads)


@dataclass(frozen=True)
class Measure:
    """One entry of the table.

    Attributes:
        run: measures a form and returns the fields of its record.
        needs: the capability without which the measure is a failure of the result, never a zero.
        reads_heads: uses the heads' saliency, so that `heads` is measured along with it where the model allows it.
        images_only: only of forms that are images.
    """

    run: Callable[[FormRun], Fields]
    needs: Capability | None = None
    reads_heads: bool = False
    images_only: bool = False


def _gain(run: FormRun) -> Fields:
    subject = run.subject
    probe = None
    if run.heads_read:
        probe = probe_table(subject.adapter, subject.contexts, subject.batch_tokens, run.probed_nouns, subject.seed)
    ideal = run.testbed.ideal_gain(run.form)
    return {"gain": measure_gain(subject.table, seed=subject.seed, ideal=ideal, probe=probe)}


def _heads(run: FormRun) -> Fields:
    return {"heads": measure_heads(run.subject, run.options.heads, run.saliency, run.reference)}


def _causal(run: FormRun) -> Fields:
    """Return nothing: the records of all forms are made together in `run`.

    Prompts that cannot be paired are the user's mistake where nothing else was asked for, else a failure.
    """
    try:
        run.causal = run_causal(run.subject, run.options.causal, run.saliency)
    except BadInputError as error:
        if set(run.options.measures or ()) <= {"gain", "causal"} and len(run.options.forms) == 1:
            raise
        raise UnsupportedModelError(str(error)) from error
    return {}


def _ablation(run: FormRun) -> Fields:
    return {"ablations": measure_ablation(run.subject, run.options.ablation, run.saliency)}


def _lens(run: FormRun) -> Fields:
    return {"lens": measure_lens(run.subject, run.options.lens, run.testbed, run.options.corpus)}


def _image(run: FormRun) -> Fields:
    record, run.image_examples = measure_image(
        run.subject,
        run.options.image,
        run.saliency if run.heads_read else None,
        digest=run.testbed.form_digest(run.form),
        maps=saliency_options(run.options.heads),
    )
    return {"image": record}


MEASURES: dict[str, Measure] = {
    "gain": Measure(_gain),
    "heads": Measure(_heads, needs="hooks", reads_heads=True),
    "causal": Measure(_causal, needs="hooks", reads_heads=True),
    "ablation": Measure(_ablation, needs="hooks", reads_heads=True),
    "lens": Measure(_lens, needs="hidden"),
    "image": Measure(_image, reads_heads=True, images_only=True),
}
"""In the order in which they are measured."""


def measures_of_form(names: Sequence[str], form: EnvForm, info: ModelInfo) -> list[str]:
    """Return the measures that are made of one form, in order: the gain always, heads along with what reads them."""
    asked = {n for n in names if form.modality == "image" or not MEASURES[n].images_only} | {"gain"}
    if any(MEASURES[n].reads_heads for n in asked):
        asked.add("heads")
    return [n for n, m in MEASURES.items() if n in asked and (m.needs is None or m.needs in info.capabilities)]


def run_measures(run: FormRun, names: Sequence[str]) -> Fields:
    """Measure one form; what its model turns out not to allow is a failure and keeps nothing else from being made."""
    fields: Fields = {}
    for name in names:
        try:
            fields |= MEASURES[name].run(run)
        except UnsupportedModelError as error:
            if name == "gain":
                raise
            run.failures.append(Failure(where=name, reason=str(error)))
    return fields


def list_unmeasurable(names: Sequence[str], info: ModelInfo) -> tuple[Failure, ...]:
    """List what was asked for and cannot be measured on this model, with the reason; never a zero."""
    return tuple(
        Failure(where=name, reason=f"{info.name}: {info.why_not(measure.needs)}")
        for name, measure in MEASURES.items()
        if name in names and measure.needs is not None and measure.needs not in info.capabilities
    )

"""Defaults: testbed, forms and measures where none is named, and every option that depends on the model's size.

`resolve` is called once for a run. Measures see concrete values only, and these are recorded in the result's protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from groundbench.api.adapter import Adapter, ModelInfo, Untrainable
from groundbench.api.errors import BadInputError, UnencodableError, UnsupportedModelError
from groundbench.api.testbed import EnvForm, Testbed
from groundbench.evaluation.options import Options
from groundbench.evaluation.shuffled_forms import ShuffledForms
from groundbench.evaluation.training_provenance import Trained, training_record
from groundbench.measures.ablation.options import CONTROLS, AblationOptions
from groundbench.measures.causal.options import SCORES, CausalOptions, Score
from groundbench.measures.heads.options import HeadOptions
from groundbench.measures.image.options import ImageOptions
from groundbench.measures.lens.options import LensOptions
from groundbench.registry import load_testbed, open_model
from groundbench.results.run import Selection

SMALL = 30_000_000
"""Models of fewer parameters get the costlier defaults: `total` saliency, both selections, 99 draws, all nouns."""
PROBED_NOUNS = 12
"""Nouns on which the two numeric paths of a larger model are compared: all hundred cost more than its scores."""
DRAWS = (99, 20)
CAUSAL_FRAMES = (2, 1)
"""Of each half of the frames, or of a noun's own: an interval over nouns gains little from more."""
CAUSAL_DRAWS = (50, 20)
CAUSAL_SCORES: tuple[tuple[Score, ...], tuple[Score, ...]] = (SCORES, ("share", "contrast"))
"""A ranking by `exact` costs a pass for every head, as much as all the rest of the measure on a model of 270 heads."""
RANDOM_PAIRS: tuple[Literal["all"], int] = ("all", 12)
"""Pairs on which random sets and orders are interchanged: they need three times the passes of ranked heads. A rank
among random sets is as valid on few pairs, since the ranked set is read on the same ones."""
CONTROL_PAIRS: tuple[Literal["all"], int] = ("all", 20)
KNOCKOUT_PAIRS = (64, 16)
MATRIX_PAIRS: tuple[Literal["all"], int] = ("all", 20)
"""Pairs of each form into which every other form's outputs go."""
WINDOWS = (16, 8)
HEAD_ITEMS: tuple[Literal["all"], int] = ("all", 200)
UNTRAINED_ITEMS = (200, 20)
SWAPPED_ITEMS = (200, 64)
SWEPT_ITEMS = (64, 8)
"""Items on which every head is cut alone. Of small models and of others, as each of these pairs."""
EXACT_PAIRS = (64, 16)
"""Pairs on which every head is interchanged alone: a ranking comes of them."""
ABLATION_NOUNS = 40
"""Of models that are not small, heads are cut on a sample of this many nouns, each in half of the frames."""
MOST_LAYERS = 18
SPREAD_LAYERS = 12
"""A lens reads all of up to `MOST_LAYERS` layers, as our from-scratch models have; of more, so many evenly spaced."""
MOST_LOGITS = 1 << 21
"""Of one step of a lens' training: a large vocabulary, which is what a step costs, gets fewer positions."""


def resolve(options: Options, testbed: Testbed, info: ModelInfo) -> Options:
    """Return the options with every default that depends on the testbed or the model filled in."""
    measures = choose_measures(testbed, options.measures, own=info.checkpoint is not None)
    return replace(
        options,
        measures=measures,
        heads=resolve_heads(options.heads, info, every_item="ablation" in measures),
        ablation=resolve_ablation(options.ablation, info),
        causal=resolve_causal(options.causal, info),
        lens=resolve_lens(options.lens, info),
        image=resolve_image(options.image, info),
    )


def probe_size(info: ModelInfo) -> int | None:
    """Return the number of nouns scored on the traced path too; None for all, as of small models."""
    return None if is_small(info) else PROBED_NOUNS


def is_small(info: ModelInfo) -> bool:
    """Return True if a model gets the costlier defaults."""
    return info.parameters < SMALL


def resolve_heads(options: HeadOptions, info: ModelInfo, *, every_item: bool = False) -> HeadOptions:
    """Resolve to `total` saliency of every item for small models, `row` of 200 items where size matters (§8).

    Args:
        every_item: another measure needs the saliency of every item, whatever the model's size.
    """
    small = is_small(info)
    return replace(
        options,
        denominator=options.denominator or ("total" if small else "row"),
        items="all" if every_item else options.items or HEAD_ITEMS[not small],
        untrained_items=options.untrained_items or UNTRAINED_ITEMS[not small],
        swept_items=options.swept_items or SWEPT_ITEMS[not small],
    )


def resolve_ablation(options: AblationOptions, info: ModelInfo) -> AblationOptions:
    """Return both selections, all controls, 99 draws and all nouns for small models (protocol §11).

    For others `crossfit` alone (`instance` costs five scoring passes a draw), layer- and saliency-matched controls,
    20 draws and 40 nouns.
    """
    small = is_small(info)
    both: tuple[Selection, ...] = ("crossfit", "instance")
    return replace(
        options,
        selections=options.selections or (both if small and options.edit.mode in ("zero", "scale") else both[:1]),
        controls=options.controls or (CONTROLS if small else ("layer", "saliency")),
        draws=options.draws or DRAWS[not small],
        nouns=options.nouns or ("all" if small else ABLATION_NOUNS),
    )


def resolve_causal(options: CausalOptions, info: ModelInfo) -> CausalOptions:
    """Return every score, all nouns in two frames of each half, 50 draws and 64 swept pairs for small models (§15).

    For others the scores `share` and `contrast`, 40 nouns in one frame of each half, 20 draws and 5 random orders on 12
    of the pairs, edges cut in 16 pairs and 8 windows of layers, and other forms' outputs in 20 pairs; heads ranked on
    the pairs they are interchanged in at the headline's size alone.
    """
    small = is_small(info)
    return replace(
        options,
        scores=options.scores or CAUSAL_SCORES[not small],
        nouns=options.nouns or ("all" if small else ABLATION_NOUNS),
        frames=options.frames or CAUSAL_FRAMES[not small],
        draws=options.draws or CAUSAL_DRAWS[not small],
        random_pairs=options.random_pairs or RANDOM_PAIRS[not small],
        control_pairs=options.control_pairs or CONTROL_PAIRS[not small],
        same_pairs=small if options.same_pairs is None else options.same_pairs,
        exact_pairs=options.exact_pairs or EXACT_PAIRS[not small],
        knockout_pairs=options.knockout_pairs or KNOCKOUT_PAIRS[not small],
        matrix_pairs=options.matrix_pairs or MATRIX_PAIRS[not small],
        windows=options.windows or WINDOWS[not small],
    )


def resolve_lens(options: LensOptions, info: ModelInfo) -> LensOptions:
    """Resolve to all layers of up to 18, twelve evenly spaced ones of more; 32 to 256 positions a step."""
    n, layers = info.n_layers, options.layers
    if layers is None:
        evenly = sorted({1 + round(k * (n - 1) / (SPREAD_LAYERS - 1)) for k in range(SPREAD_LAYERS)})
        layers = tuple(range(1, n + 1)) if n <= MOST_LAYERS else tuple(evenly)
    positions = options.batch_positions or min(256, max(32, MOST_LOGITS // info.vocab_size))
    return replace(options, layers=layers, batch_positions=positions)


def resolve_image(options: ImageOptions, info: ModelInfo) -> ImageOptions:
    """Resolve to 200 items of the patch swap for small models, 64 for others."""
    return replace(options, items=options.items or SWAPPED_ITEMS[not is_small(info)])


def protocol_record(options: Options, info: ModelInfo) -> dict[str, JsonValue]:
    """Return the resolved options of the measures asked for, as written into a result's `protocol`."""
    asked, found = set(options.measures or ()), dict[str, JsonValue]()
    found["seed"] = options.seed
    if {"heads", "ablation", "causal"} & asked and "hooks" in info.capabilities:
        heads, cut = options.heads, options.ablation
        found |= {
            "denominator": heads.denominator,
            "loss": heads.loss,
            "head_items": heads.items,
            "untrained_items": heads.untrained_items,
            "swept_items": heads.swept_items,
            "selections": list(cut.selections or ()),
            "controls": list(cut.controls or ()),
            "draws": cut.draws,
            "every_draw": cut.every_draw,
            "instance_draws": min(cut.draws or 0, cut.instance_draws),
            "ablation_nouns": cut.nouns,
            "gather": cut.gather,
            "edit": cut.edit.mode,
            "factor": cut.edit.factor,
            "positions": cut.edit.positions,
        }
    if "causal" in asked and "hooks" in info.capabilities:
        found["causal"] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(options.causal).items()}
    if options.image.swap_rings:
        found["swap_rings"] = list(options.image.swap_rings)
    if "image" in asked:
        found["swapped_items"] = options.image.items
    if "lens" in asked and "hidden" in info.capabilities:
        found["lens"] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(options.lens).items()}
    return found


def choose_subject(
    model: str | Adapter,
    testbed: str | Testbed | None,
    load: dict[str, Any] | None,
    seed: int,
    shuffle_forms: bool,
    random_weights: bool,
    *,
    folder: str | Path | None = None,
    at_least: int | None = None,
    forms: Sequence[str] = (),
    opener: Callable[..., Adapter] = open_model,
) -> tuple[Adapter, Testbed]:
    """Return the model and the testbed that are asked for, each in place of its null control's where that is asked for.

    Args:
        folder, at_least: of the imported corpus that a checkpoint was trained on, see `choose_testbed`.
        forms: the forms that will be measured; one that the testbed lacks is refused before the model is opened.
        opener: opens the model, or describes it for a plan.

    Raises:
        BadInputError: one of them is unknown, or the model cannot be made with random weights.
    """
    if isinstance(testbed, str):  # unknown names are refused before a model is opened
        named = load_testbed(testbed)
        for name in forms:
            if name != "all":
                named.form(name)
    adapter = opener(model, **(load or {}))
    bed = choose_testbed(adapter, testbed, folder=folder, at_least=at_least)
    if random_weights:
        if not isinstance(adapter, Untrainable):
            raise UnsupportedModelError(f"{adapter.info.name}: its adapter cannot make it with random weights")
        adapter = adapter.untrained(seed)
    return adapter, ShuffledForms(bed, seed) if shuffle_forms else bed


def choose_testbed(
    adapter: Adapter,
    testbed: str | Testbed | None,
    *,
    folder: str | Path | None = None,
    at_least: int | None = None,
) -> Testbed:
    """Return the testbed asked for, or that of what the model was trained on, else the ladder.

    Args:
        folder: where the imported corpus that a checkpoint was trained on lies now, if not where it lay.
        at_least: keep the nouns that it shows and says so often; by default the published threshold (protocol §3).

    Raises:
        BadInputError: no such testbed; or its nouns are chosen by the corpus, which is missing or another one.
    """
    trained = Trained(training_record(adapter.info), None if folder is None else Path(folder), at_least)
    if testbed is None:
        ours = "childworld" if adapter.info.checkpoint is not None else "ladder"
        testbed = trained.testbed_name() or ours
    return trained.testbed(testbed) if isinstance(testbed, str) else testbed


def choose_forms(testbed: Testbed, names: Sequence[str], adapter: Adapter) -> list[EnvForm]:
    """Return the forms asked for: the testbed's default where none is named, all for `all`.

    Where a whole ladder, or `all`, is asked for, the forms that joined it are among them if the model reads them.
    """
    if names and "all" not in names:
        return [testbed.form(name) for name in dict.fromkeys(names)]
    chosen = testbed.forms if names else testbed.default_forms
    if not (names or testbed.ladder):
        return list(chosen)
    return [*chosen, *(f for f in testbed.image_forms if why_unread(adapter, testbed, f) is None)]


def why_unread(adapter: Adapter, testbed: Testbed, form: EnvForm) -> str | None:
    """Return the reason for which the model does not read a form's prompts at all; None if it reads its first."""
    frame, noun = testbed.frames(form)[0], testbed.nouns_of(form)[0]
    try:
        adapter.encode([testbed.prompt(frame, noun, form)])
    except UnencodableError:
        return None  # it reads the form, but not this noun in it
    except (BadInputError, UnsupportedModelError) as error:
        return str(error)
    return None


def choose_measures(testbed: Testbed, names: Sequence[str] | None, *, own: bool = False) -> tuple[str, ...]:
    """Return the measures asked for; by default gain and heads, of a ladder causal too, and of images `image`.

    Args:
        own: of a checkpoint that was trained here; of a ladder the published ablation then stands for causal.
    """
    if names is not None:
        return tuple(names)
    image = ("image",) if any(f.modality == "image" for f in (*testbed.forms, *testbed.image_forms)) else ()
    return ("gain", "heads", *((("ablation" if own else "causal"),) if testbed.ladder else ()), *image)


def check_swap_rings(options: Options, forms: Sequence[EnvForm]) -> None:
    """Raise BadInputError if `swap_rings` is set but no image form is measured with `image`: it has no effect."""
    has_images = any(f.modality == "image" for f in forms)
    if not options.image.swap_rings or ("image" in (options.measures or ()) and has_images):
        return
    names, measures = (", ".join(x) for x in ((f.name for f in forms), options.measures or ()))
    raise BadInputError(
        f"swap_rings is given, but the forms are {names} and the measures {measures}; expected the measure image and a "
        "form that is an image"
    )

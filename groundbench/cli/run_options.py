"""The options of a measurement: those of `run`, and of `trajectory` for each checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from groundbench.cli.completion import complete_form
from groundbench.cli.option_values import number_or_all, numbers, split
from groundbench.cli.options import BATCH_TOKENS, SIZE, BatchTokens, Seed

CAUSE = "Heads and ablation"


@dataclass(frozen=True)
class RunOptions:
    """The measures of a run and their settings: `groundbench.evaluation.options.Options` as parameters."""

    env_form: Annotated[
        list[str] | None,
        typer.Option(
            "--env-form",
            help="How the noun is shown, e.g. word or gloss; repeat it for several, or give all.",
            autocompletion=complete_form,
            show_default="all of a ladder, else the testbed's own",
            metavar="FORM",
        ),
    ] = None
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            help="What to measure: gain, heads, causal, ablation, lens, image; separated by commas, or repeat it.",
            show_default="gain,heads; of a ladder also causal, of images also image",
            metavar="WHAT",
        ),
    ] = None
    seed: Seed = 0
    limit: Annotated[
        int | None,
        typer.Option(
            help="Only this many nouns, drawn by the seed.",
            min=2,
            show_default="all",
            metavar="N",
            rich_help_panel=SIZE,
        ),
    ] = None
    mismatches: Annotated[
        int | None,
        typer.Option(
            help="For each item only this many other nouns, drawn by the seed.",
            min=1,
            show_default="all",
            metavar="M",
            rich_help_panel=SIZE,
        ),
    ] = None
    at_least: Annotated[
        int | None,
        typer.Option(
            help="Of an imported corpus: only nouns that it shows and says at least this often; 0 for all.",
            min=0,
            show_default="100",
            metavar="K",
            rich_help_panel=SIZE,
        ),
    ] = None
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the imported corpus that the checkpoint was trained on, if it was moved.",
            show_default="its folder during training",
            metavar="DIR",
        ),
    ] = None
    batch_tokens: BatchTokens = BATCH_TOKENS
    draws: Annotated[
        int | None,
        typer.Option(
            help="Most random head sets to compare with; those that are cut stop at 20 once the verdict is settled.",
            min=1,
            show_default="99 up to 30 M parameters, else 20",
            metavar="N",
            rich_help_panel=CAUSE,
        ),
    ] = None
    every_draw: Annotated[
        bool,
        typer.Option(
            "--every-draw",
            help="Cut all of the random head sets, also after the verdict is settled.",
            rich_help_panel=CAUSE,
        ),
    ] = False
    ablation_nouns: Annotated[
        str | None,
        typer.Option(
            help="Cut cross-fitted heads on this many nouns, each in half of the frames, drawn by the seed, or on all.",
            show_default="all up to 30 M parameters, else 40",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_nouns: Annotated[
        str | None,
        typer.Option(
            help="Interchange head outputs between prompts of this many nouns, drawn by the seed, or of all.",
            show_default="all up to 30 M parameters, else 40",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_frames: Annotated[
        str | None,
        typer.Option(
            help="Interchange in this many frames of each half, or in all.",
            show_default="2 up to 30 M parameters, else 1",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_scores: Annotated[
        list[str] | None,
        typer.Option(
            help="Rank heads by: share, contrast, contrast-ig, exact (each head alone: slow); separated by commas.",
            show_default="all up to 30 M parameters, else share,contrast",
            metavar="WHICH",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_random_pairs: Annotated[
        str | None,
        typer.Option(
            help="Interchange random sets and orders of heads on this many pairs, drawn by the seed, or on all.",
            show_default="all up to 30 M parameters, else 12",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_control_pairs: Annotated[
        str | None,
        typer.Option(
            help="Measure the controls of the same answer and the same category in this many pairs each, or in all.",
            show_default="all up to 30 M parameters, else 20",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_exact_pairs: Annotated[
        str | None,
        typer.Option(
            help="Interchange every head alone (score exact) on this many pairs, or on all.",
            show_default="64 up to 30 M parameters, else 16",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_knockout_pairs: Annotated[
        str | None,
        typer.Option(
            help="Cut edges between tokens in this many pairs, or in all.",
            show_default="64 up to 30 M parameters, else 16",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_matrix_pairs: Annotated[
        str | None,
        typer.Option(
            help="Put the heads' outputs of every other form into this many pairs of a form, or into all.",
            show_default="all up to 30 M parameters, else 20",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    causal_same_pairs: Annotated[
        bool | None,
        typer.Option(
            help="Also interchange heads ranked on the same pairs at every size, not only at the headline's.",
            show_default="up to 30 M parameters",
            rich_help_panel=CAUSE,
        ),
    ] = None
    head_items: Annotated[
        str | None,
        typer.Option(
            help="Read heads in this many items, drawn by the seed, or in all; in all where heads are cut (ablation).",
            show_default="all up to 30 M parameters, else 200",
            metavar="N|all",
            rich_help_panel=CAUSE,
        ),
    ] = None
    selection: Annotated[
        Literal["crossfit", "instance"] | None,
        typer.Option(
            "--selection",
            help="Cut the heads detected in the other half, or in the item itself (the paper's, selection-biased).",
            show_default="both up to 30 M parameters, else crossfit",
            rich_help_panel=CAUSE,
        ),
    ] = None
    denominator: Annotated[
        Literal["row", "total"] | None,
        typer.Option(
            "--denominator",
            help="A head's share is of the prediction row, or of all its saliency too.",
            show_default="total up to 30 M parameters, else row",
            rich_help_panel=CAUSE,
        ),
    ] = None
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="What the detected heads are compared with: layer, uniform, saliency; the first is the headline's.",
            show_default="all up to 30 M parameters, else layer,saliency",
            metavar="WHICH",
            rich_help_panel=CAUSE,
        ),
    ] = None
    loss: Annotated[
        Literal["first", "all"],
        typer.Option("--loss", help="Saliency of the target's first token, or of all of them.", rich_help_panel=CAUSE),
    ] = "first"
    edit: Annotated[
        Literal["zero", "mean", "resample", "scale"],
        typer.Option(help="What is done to a head's output; scale multiplies it by --factor.", rich_help_panel=CAUSE),
    ] = "zero"
    factor: Annotated[
        float | None,
        typer.Option(help="The factor of --edit scale.", show_default=False, metavar="X", rich_help_panel=CAUSE),
    ] = None
    positions: Annotated[
        Literal["all", "last"],
        typer.Option("--positions", help="Edit every position, or only that of the prediction.", rich_help_panel=CAUSE),
    ] = "all"
    swap_rings: Annotated[
        str | None,
        typer.Option(
            help="Of images, also swap this many rings of patches around the object's box, and the whole image.",
            show_default="the box alone",
            metavar="1,2,…",
            rich_help_panel=CAUSE,
        ),
    ] = None

    def as_keywords(self) -> dict[str, Any]:
        """Return the fields of `Options` that these parameters set. Raises BadInputError."""
        from groundbench.measures.ablation.head_edits import EditStyle
        from groundbench.measures.ablation.options import AblationOptions
        from groundbench.measures.causal.options import CausalOptions
        from groundbench.measures.heads.options import HeadOptions
        from groundbench.measures.image.options import ImageOptions

        fields: dict[str, Any] = {
            "forms": split(self.env_form),
            "limit": self.limit,
            "mismatches": self.mismatches,
            "seed": self.seed,
            "batch_tokens": self.batch_tokens,
            "corpus": self.corpus,
            "heads": HeadOptions(
                denominator=self.denominator, loss=self.loss, items=number_or_all("--head-items", self.head_items)
            ),
            "ablation": AblationOptions(
                selections=(self.selection,) if self.selection else None,
                controls=split(self.control) or None,  # type: ignore[arg-type]  # checked there
                draws=self.draws,
                every_draw=self.every_draw,
                nouns=number_or_all("--ablation-nouns", self.ablation_nouns),
                edit=EditStyle(self.edit, self.positions, self.factor),
            ),
            "causal": CausalOptions(
                nouns=number_or_all("--causal-nouns", self.causal_nouns),
                frames=number_or_all("--causal-frames", self.causal_frames),
                scores=split(self.causal_scores) or None,  # type: ignore[arg-type]  # checked there
                random_pairs=number_or_all("--causal-random-pairs", self.causal_random_pairs),
                control_pairs=number_or_all("--causal-control-pairs", self.causal_control_pairs),
                exact_pairs=number_or_all("--causal-exact-pairs", self.causal_exact_pairs),
                knockout_pairs=number_or_all("--causal-knockout-pairs", self.causal_knockout_pairs),
                matrix_pairs=number_or_all("--causal-matrix-pairs", self.causal_matrix_pairs),
                same_pairs=self.causal_same_pairs,
                draws=None if self.draws is None else max(2, self.draws),
            ),
            "image": ImageOptions(() if self.swap_rings is None else numbers("--swap-rings", self.swap_rings)),
        }
        measures = split(self.measure)
        return fields | ({"measures": measures} if measures else {})

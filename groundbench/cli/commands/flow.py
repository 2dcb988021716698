"""`groundbench flow MODEL`: what flows between the tokens of one prompt, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.load_options import LoadOptions
from groundbench.cli.option_groups import expand_option_groups
from groundbench.cli.options import Model, OneForm, Testbed

if TYPE_CHECKING:
    from groundbench.measures.heads.flow_maps import FlowMaps
    from groundbench.report.sections.flow import FlowPage
    from groundbench.results.run import EnvironmentRecord

EPILOG = examples(
    (
        "a checkpoint trained here, the noun book in the first frame",
        "groundbench flow CHECKPOINT --noun book --out runs/flow",
    ),
    ("a pretrained model, shown a definition", "groundbench flow MODEL --env-form gloss --noun book --out DIR"),
    ("the loss summed over the word's tokens", "groundbench flow MODEL --noun giraffe --loss all --out DIR"),
)


@expand_option_groups
def flow(
    model: Model,
    out: Annotated[Path, typer.Option(help="For flow.html and flow.npz.", show_default=False, metavar="DIR")],
    *,
    testbed: Testbed = None,
    env_form: OneForm = None,
    noun: Annotated[
        str | None,
        typer.Option(help="The noun shown and asked for.", show_default="the testbed's first", metavar="WORD"),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(help="The context; see `groundbench tasks show`.", show_default="the first", metavar="ID"),
    ] = None,
    loss: Annotated[
        Literal["first", "all"],
        typer.Option(help="Saliency of the word's first token, or summed over all of its tokens."),
    ] = "first",
    loading: LoadOptions,
) -> None:
    """Draw the saliency flow of one prompt: how much the word's surprisal depends on each pair of tokens, by layer.

    Entry q, k of a layer's matrix is the absolute sum over heads of attention times its gradient (protocol section 8).
    """
    from groundbench.engine.provenance import environment_record
    from groundbench.evaluation.defaults import choose_testbed
    from groundbench.measures.heads.flow_maps import measure_flow
    from groundbench.registry import open_model
    from groundbench.report.pages import render_flow
    from groundbench.util.atomic_files import write_text

    adapter = open_model(model, **loading.load())
    bed = choose_testbed(adapter, testbed)
    maps = measure_flow(adapter, bed, noun=noun, frame=frame, form=env_form, loss=loss)
    maps.save(out / "flow.npz")
    write_text(
        out / "flow.html", render_flow(_page(maps, bed.version, environment_record(adapter.info.device, (), None)))
    )
    _show(maps)
    console.note(f"wrote {out / 'flow.html'} and {out / 'flow.npz'}")


def _page(maps: FlowMaps, version: str, environment: EnvironmentRecord) -> FlowPage:
    from groundbench.report.sections.about import environment_facts
    from groundbench.report.sections.flow import FlowPage, Layer

    target = "".join(maps.target).strip()
    of_images = " An image's patches are summed along their rows, inside and outside the object's box."
    matrices = zip(maps.layers, maps.flow.tolist(), strict=True)
    return FlowPage(
        title=f"Where “{target}” comes from",
        about=f"{maps.model} · {maps.testbed} {version} · shown as {maps.form}",
        sentence=f"Shown “{maps.noun}”, the model gives its word a surprisal of {maps.surprisal:.2f} nats."
        + (of_images if maps.has_images else ""),
        tokens=maps.tokens,
        shown=frozenset(maps.shown),
        layers=tuple(Layer(n, matrix) for n, matrix in matrices),
        facts=(
            ("Model", maps.model),
            ("Fingerprint", maps.fingerprint),
            ("Testbed", f"{maps.testbed} {version}"),
            ("Form shown", maps.form),
            ("Frame", maps.frame),
            ("Noun", maps.noun),
            ("Target tokens", " | ".join(maps.target)),
            ("Loss", "on the first target token" if maps.loss == "first" else "summed over the target's tokens"),
        ),
        environment=environment_facts(environment),
    )


def _show(maps: FlowMaps) -> None:
    """Return a row for each layer."""
    rows = [
        (str(layer), f"{total:.4g}", f"{edge:.4g}", f"{edge / total:.1%}" if total > 0 else "nothing flows")
        for layer, total, edge in zip(maps.layers, maps.total.tolist(), maps.edge.tolist(), strict=True)
    ]
    columns = ("layer", "flow", "noun to prediction", "share")
    title = f"{maps.model}: saliency flow, {maps.noun} in frame {maps.frame} ({maps.surprisal:.3f} nats)"
    console.show_table(columns, rows, title=title, right=columns)

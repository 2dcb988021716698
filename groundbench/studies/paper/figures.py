"""The reproduction's plots as small self-contained SVG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from groundbench.plots.style import COLOURS
from groundbench.report.elements import Figure
from groundbench.report.sections import seeds
from groundbench.results.trajectory import MeanTrajectory
from groundbench.studies.children.run_order import RunOrder, order_figures
from groundbench.studies.paper import image_page
from groundbench.studies.paper.measure import Measured
from groundbench.util.atomic_files import write_text

STYLE = "".join(
    (
        "svg{background:#fcfcfa;font-family:Inter,'Segoe UI',Roboto,'Noto Sans',sans-serif}",
        ".tick,.label{fill:#59616c;font-size:11px}.name{font-weight:600;font-size:12px}",
        ".grid{stroke:#ecebe6}.zero{stroke:#59616c;stroke-opacity:.55}.axis{stroke:#e4e3de}",
        ".line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}.dashed{stroke-dasharray:5 5}",
        ".band{fill-opacity:.14;stroke:none}.whisker{stroke-width:1.8;stroke-opacity:.8}",
        *(
            f".mark.c{i},.band.c{i},.name.c{i}{{fill:{c}}}.line.c{i},.whisker.c{i}{{stroke:{c}}}"
            for i, c in enumerate(COLOURS, 1)
        ),
    )
)


class Drawn(NamedTuple):
    """A plot that was written; its caption is empty where it says no more than that of all others."""

    title: str
    file: str
    caption: str = ""


def write_figures(runs: Sequence[Measured], folder: Path) -> dict[str, list[Drawn]]:
    """Write every plot there are numbers for.

    Returns:
        For each model's name, and "" for those of several models, each plot in order.
    """
    shown = [m.mean for m in runs]
    headed = [m.mean for m in runs if m.run.kind != "lstm"]
    written: dict[str, list[Drawn]] = {}
    together = [
        ("gain", _of_all("Grounding gain over training", "gain (nats)", shown, seeds.reader("gain"))),
        ("heads", seeds.by_run("Aggregate heads", "heads (mean over items)", headed, seeds.reader("heads"))),
        ("r2", _of_all("Adjusted R² of the gain on co-occurrence", "adjusted R²", shown, seeds.r2)),
        ("loss", _of_all("Held-out loss", "nats per token", shown, seeds.reader("heldout_loss"))),
    ]
    _write(folder, "", "all", together, written)
    for m in runs:
        _write(folder, m.run.name, m.run.name, _of_one(m.mean), written)
    return written


def write_order_figures(orders: Sequence[RunOrder], folder: Path) -> list[Drawn]:
    """Write the plots of the order of grounding beside children's ages. Returns them in order."""
    written: dict[str, list[Drawn]] = {}
    named = [("children-order" if i == 0 else f"children-order-{i}", f) for i, f in enumerate(order_figures(orders))]
    _write(folder, "", "all", named, written)
    return written.get("", [])


def write_image_figures(runs: Sequence[Measured], folder: Path) -> list[Drawn]:
    """Write the plots of models that see images, apart from the others'. Returns them in order."""
    written: dict[str, list[Drawn]] = {}
    _write(folder, "", "pictures", image_page.figures(runs), written)
    return written.get("", [])


def _of_all(title: str, unit: str, shown: seeds.MeanTrajectories, read: seeds.Read) -> Figure | None:
    """Return a width that holds the names of LSTMs, which differ at their ends."""
    return seeds.by_run(title, unit, shown, read, width=640)


def _of_one(mean: MeanTrajectory) -> list[tuple[str, Figure | None]]:
    return [
        ("surprisal", seeds.surprisal_figure(mean)),
        ("ablation", seeds.ablation_figure(mean, of_gain=False)),
        ("ablation-gain", seeds.ablation_figure(mean, of_gain=True)),
        ("ablation-item", seeds.ablation_figure(mean, of_gain=False, selection="instance")),
        ("ablation-item-gain", seeds.ablation_figure(mean, of_gain=True, selection="instance")),
        ("lens", seeds.lens_figure(mean)),
        ("lens-matched", seeds.lens_figure(mean, "matched")),
    ]


def _write(
    folder: Path,
    key: str,
    name: str,
    figures: Sequence[tuple[str, Figure | None]],
    written: dict[str, list[Drawn]],
) -> None:
    for what, figure in figures:
        if figure is None:
            continue
        file = f"{name}-{what}.svg"
        write_text(folder / file, standalone(str(figure.panels[0])))
        caption = "" if figure.caption == seeds.BANDS else figure.caption
        written.setdefault(key, []).append(Drawn(figure.title, file, caption))


def standalone(markup: str) -> str:
    """Return a page's plot as a file of its own: its name space, its size and its style inside."""
    head, _, rest = markup.partition(">")
    box = head.split('viewBox="')[1].split('"')[0].split()
    size = f' xmlns="http://www.w3.org/2000/svg" width="{box[2]}" height="{box[3]}"'
    return f"{head}{size}><style>{STYLE}</style>{rest}\n"

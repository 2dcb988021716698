"""Several seeds of one or more models as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench._version import __version__
from groundbench.report.elements import Section, Table
from groundbench.report.pages import environment, stylesheet
from groundbench.report.sections import seeds
from groundbench.report.text.labels import distinct
from groundbench.results.trajectory import Aggregate


def render_seeds(
    runs: Sequence[Aggregate],
    title: str = "",
    sentence: str = "",
    tables: Sequence[Table] = (),
    sections: Sequence[Section] = (),
) -> str:
    """Render the page of several seeds: the gain over training, then the evidence, as means with intervals.

    Args:
        title: the page's heading; by default the model's name, or what several show together.
        sentence, tables: what stands below the heading; a summary of the last steps always does.
        sections: what stands after the evidence.

    Raises:
        ValueError: there is none.
    """
    if not runs:
        raise ValueError("render_seeds needs at least one aggregate")
    names = distinct([r.name for r in runs], [f"seeds {', '.join(map(str, r.seeds))}" for r in runs])
    runs = [r.model_copy(update={"name": n}) for r, n in zip(runs, names, strict=True)]
    beds = sorted({f"{r.testbed.name} {r.testbed.version}, shown as {r.testbed.env_form}" for r in runs})
    n = sorted({len(r.seeds) for r in runs})
    over = f"{n[0]} seed{'s' if n[-1] > 1 else ''}" if n[0] == n[-1] else f"{n[0]} to {n[-1]} seeds"
    return (
        environment()
        .get_template("seeds.html.j2")
        .render(
            style=stylesheet(),
            version=__version__,
            title=title or (runs[0].name if len(runs) == 1 else "How grounding emerges"),
            about=f"{' · '.join(beds)} · {over}",
            sentence=sentence,
            tables=[*tables, seeds.summary_table(runs)],
            hero=seeds.hero(runs),
            sections=[*seeds.seed_sections(runs), *sections],
        )
    )

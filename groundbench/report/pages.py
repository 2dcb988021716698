"""Pages: a run, training runs, several seeds, a saliency flow or a risk card as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from groundbench._version import __version__
from groundbench.report.elements import Facts, Section, Stat, Table
from groundbench.report.markdown import markdown
from groundbench.report.sections import (
    ablation,
    about,
    causal,
    flow,
    gain,
    heads,
    images,
    ladder,
    lens,
    seeds,
    training_ablation,
    training_causal,
    training_gain,
    training_lens,
)
from groundbench.report.sections.risk_card import card_facts, card_sections, card_stats
from groundbench.report.text.labels import distinct
from groundbench.report.text.unbroken import unbroken_text
from groundbench.results.image import ImageRecord
from groundbench.results.risk_card import RiskCard
from groundbench.results.run import Result
from groundbench.results.text import card_sentences
from groundbench.results.text.numbers import count, decimals_for, interval, number, on_one_line, parameters, percent
from groundbench.results.text.sentences import CI, gain_phrase, headline
from groundbench.results.trajectory import MeanTrajectory, Trajectory

HERE = Path(__file__).parent / "templates"


@lru_cache
def environment(*folders: Path) -> Environment:
    """Make Jinja with escaping always on and undefined names refused; our templates, after those of `folders`."""
    loaders = [FileSystemLoader(f) for f in (*folders, HERE)]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["unbroken"] = unbroken_text
    return made


@lru_cache
def stylesheet() -> Markup:
    """Return the style of all pages. Ours, so trusted; a page's own values never enter it."""
    return Markup((HERE / "style.css").read_text(encoding="utf-8"))


def render_run(result: Result, gallery: images.Gallery | None = None) -> str:
    """Return one run as a self-contained HTML page: the gain first, then the evidence, then how it was measured.

    `gallery`: the images that the run kept, if any. Sections that were not measured say so. Every string of the
    result is escaped.
    """
    return _render(
        "run.html.j2",
        title=result.model.name,
        about=f"{result.testbed.name} · shown as {result.testbed.env_form}",
        sentence=headline(result),
        stats=run_stats(result),
        sections=run_sections(result, gallery),
        facts=run_facts(result),
        excluded=about.excluded_table(result.testbed),
    )


def render_trajectories(trajectories: Sequence[Trajectory], title: str = "") -> str:
    """Render training runs beside each other as a self-contained HTML page: gain over steps first.

    Args:
        title: the page's heading; by default the run's name, or what several of them show together.

    Raises:
        ValueError: there is none.
    """
    if not trajectories:
        raise ValueError("render_trajectories needs at least one trajectory")
    trajectories = _with_distinct_names(trajectories)
    return _render(
        "trajectories.html.j2",
        title=title or (trajectories[0].name if len(trajectories) == 1 else "How grounding emerges"),
        about=_common_testbeds(trajectories),
        hero=training_gain.hero(trajectories),
        runs=[_run(t) for t in trajectories],
        sections=training_sections(trajectories),
    )


def _with_distinct_names(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return the runs under names that differ: equal names with their seeds, else with a number."""
    seeds = ["" if t.last.model.seed is None else f"seed {t.last.model.seed}" for t in trajectories]
    names = distinct([t.name for t in trajectories], seeds)
    return [t.model_copy(update={"name": n}) for t, n in zip(trajectories, names, strict=True)]


def training_sections(trajectories: Sequence[Trajectory]) -> list[Section]:
    """Make the sections over training, run beside run; a section says so where nothing was measured."""
    return [
        training_gain.training_section(trajectories),
        training_gain.surprisal_section(trajectories),
        training_gain.heads_section(trajectories),
        training_causal.causes_over_training(trajectories),
        training_ablation.ablation_section(trajectories),
        training_lens.lens_over_training(trajectories),
        training_lens.cooccurrence_over_training(trajectories),
    ]


def render_flow(page: flow.FlowPage) -> str:
    """Return the saliency flow of one prompt as a self-contained HTML page: a map of tokens for each layer."""
    return _render(
        "flow.html.j2",
        title=page.title,
        about=page.about,
        sentence=page.sentence,
        section=flow.flow_section(page),
        facts=flow.flow_facts(page),
    )


def _run(t: Trajectory) -> dict[str, Any]:
    """Return one training run's part of the page: its verdict, its checkpoints and its last result."""
    return {
        "name": t.name,
        "description": t.description,
        "sentence": headline(t.last),
        "phrase": gain_phrase(t.last.gain),
        **_gain(t.last),
        "loss": number(t.points[-1].heldout_loss),
        "step": count(t.points[-1].step),
        "checkpoints": training_gain.checkpoints_table(t),
        "sections": run_sections(t.last),
        "facts": run_facts(t.last),
    }


def _gain(result: Result) -> dict[str, str | None]:
    """Return the gain and its interval in as many decimals as they need."""
    g = result.gain
    if g is None:
        return {"gain": None, "interval": None}
    places = decimals_for(g.mean, g.ci_low, g.ci_high)
    return {"gain": number(g.mean, places), "interval": interval(g.ci_low, g.ci_high, places)}


def _common_testbeds(trajectories: Sequence[Trajectory]) -> str:
    beds = sorted({f"{t.last.testbed.name} {t.last.testbed.version}" for t in trajectories})
    forms = sorted({t.last.testbed.env_form for t in trajectories})
    return f"{', '.join(beds)} · shown as {', '.join(forms)}"


def run_sections(result: Result, gallery: images.Gallery | None = None) -> list[Section]:
    """Return the sections of one result's page, in order."""
    sections = [
        gain.measures_section(result.gain, result.testbed.env_form)
        if result.gain
        else Section(
            "measures",
            "The gain in numbers",
            missing="The gain was not measured: groundbench run MODEL --measure gain.",
        ),
        gain.noun_section(result.gain)
        if result.gain
        else Section(
            "nouns", "Noun by noun", missing="The gain was not measured: groundbench run MODEL --measure gain."
        ),
        ladder.ladder_section(result),
        heads.heads_section(result.model, result.heads),
        causal.causal_section(result.model, result.causal),
        ablation.ablation_section(result.model, result.ablations),
        lens.lens_section(result.lens),
        lens.cooccurrence_section(result.cooccurrence),
    ]
    seen = images.image_sections(_images(result), gallery)
    if not seen and any(f.env_form.partition("-")[0] == "image" for f in result.forms):
        command = "groundbench run MODEL --measure gain,heads,image"
        seen = [Section("image", images.TITLE, missing=f"Patches were not swapped in this run: {command}.")]
    return [*sections, *seen, about.failures_section(result)]


def _images(result: Result) -> list[ImageRecord]:
    """Return the records of all image forms of a result, the one in its head first."""
    return [f.image for f in result.forms if f.image is not None]


def run_stats(result: Result) -> list[Stat]:
    """Return the numbers of a page's header."""
    g, h = result.gain, result.heads[0] if result.heads else None
    a = result.ablations[0] if result.ablations else None
    gain, ends = _gain(result).values()
    total = sum(m.n_heads for m in result.model.mixers)
    removed = percent(a.gain_removed) if a else None
    missing = "not measured" if total else "no heads"
    return [
        Stat("Grounding gain", gain, "nats", f"{CI} {ends}" if ends else ""),
        Stat("Surprisal, own noun", number(g.matched) if g else None, "nats"),
        Stat("Surprisal, another", number(g.mismatched) if g else None, "nats"),
        Stat("Aggregate heads", number(h.mean_count, 1) if h else None, f"of {total}", missing=missing),
        Stat("Gain removed", removed, "", "by cutting them" if removed else "", missing),
        Stat("Parameters", parameters(result.model.parameters)),
    ]


def run_facts(result: Result) -> list[Facts]:
    """List the facts needed to cite or repeat a result."""
    return [
        about.model_facts(result.model),
        about.testbed_facts(result.testbed),
        about.protocol_facts(result.protocol),
        about.environment_facts(result.environment),
    ]


def _render(template: str, **values: Any) -> str:
    page = environment().get_template(template)
    return on_one_line(page.render(style=stylesheet(), version=__version__, **values))


def render_seeds(
    runs: Sequence[MeanTrajectory],
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
    return _render(
        "seeds.html.j2",
        title=title or (runs[0].name if len(runs) == 1 else "How grounding emerges"),
        about=f"{' · '.join(beds)} · {over}",
        sentence=sentence,
        tables=[*tables, seeds.summary_table(runs)],
        hero=seeds.hero(runs),
        sections=[*seeds.seed_sections(runs), *sections],
    )


def render_card(card: RiskCard) -> str:
    """Render the page: the verdict, the evidence, the measurement. Every string of the card is escaped."""
    return _render(
        "card.html.j2",
        title=card.model.name,
        about=f"risk card · {', '.join(card.questions.sets)}",
        sentence=card_sentences.headline(card),
        stats=card_stats(card),
        sections=card_sections(card),
        facts=_card_page_facts(card),
    )


def render_card_markdown(card: RiskCard) -> str:
    """Return the same as Markdown, without figures."""
    title = f"Risk card of {card.model.name}"
    return markdown(title, card_sentences.headline(card), card_stats(card), card_sections(card), _card_page_facts(card))


def _card_page_facts(card: RiskCard) -> list[Facts]:
    return [
        about.model_facts(card.model),
        card_facts(card),
        about.protocol_facts(card.protocol),
        about.environment_facts(card.environment),
    ]

"""The reproduction's tables: verdicts, models, cross-fitted ablations, LSTMs, the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from groundbench.report.elements import Table
from groundbench.report.sections.seeds import cell, seeds_cut
from groundbench.results.text.numbers import count, number, p_value
from groundbench.studies.paper import evidence as ev
from groundbench.studies.paper.lstm_claim import lstm_verdicts
from groundbench.studies.paper.measure import Measured
from groundbench.studies.paper.verdict import Claim
from groundbench.tasks.corpora import Manifest


def verdict_table(claims: Sequence[Claim]) -> Table:
    """Return every claim, model by model."""
    rows = tuple((c.claim, c.model, c.verdict, c.because, c.criterion) for c in claims)
    return Table("Claims", ("Claim", "Model", "Verdict", "Because", "Criterion"), rows, frozenset(range(5)))


def short_table(claims: Sequence[Claim]) -> Table:
    """Return the verdicts alone: a row for each claim, a column for each model."""
    models = tuple(dict.fromkeys(c.model for c in claims))
    by = {(c.claim, c.model): c.verdict for c in claims}
    rows = tuple(
        (claim, *(by.get((claim, m), "-") for m in models)) for claim in dict.fromkeys(c.claim for c in claims)
    )
    return Table("Verdicts", ("Claim", *models), rows, frozenset(range(len(models) + 1)))


def models_table(runs: Sequence[Measured]) -> Table:
    """Tabulate the trained models and their last losses."""
    rows = []
    for m in runs:
        last = m.mean.last
        rows.append(
            (
                m.run.name,
                str(m.run.layers),
                count(m.mean.parameters),
                ", ".join(map(str, m.mean.seeds)),
                f"{m.run.learning_rate:g}",
                count(last.step),
                count(None if last.tokens is None else round(last.tokens.mean)),
                number(None if m.run.hours is None else 60 * m.run.hours, 1),
                cell(last.heldout_loss),
                cell(last.gain),
                cell(last.matched),
                cell(last.mismatched),
                cell(last.heads),
                cell(last.mean_layer),
            )
        )
    head = (
        "Model",
        "Layers",
        "Parameters",
        "Seeds",
        "Learning rate",
        "Steps",
        "Tokens a seed",
        "Minutes, all seeds",
        "Held-out loss",
        "Gain",
        "Matched",
        "Mismatched",
        "Aggregate heads",
        "Mean layer",
    )
    title = "Models at their last checkpoint: mean over seeds [95 % t-interval], nats"
    return Table(title, head, tuple(rows), frozenset({0, 3}))


def recipes_table(runs: Sequence[Measured]) -> Table:
    """Tabulate each model's recipe; `--set` values of a preset's architecture are among its config."""
    rows = []
    for m in runs:
        recipe, corpus = m.run.preset, m.run.corpus
        config = ", ".join(f"{k} {v}" for k, v in recipe["config"].items() if isinstance(v, int | float | str))
        rows.append(
            (
                m.run.name,
                str(recipe["name"]),
                config,
                f"{recipe['steps']:,}",
                f"{recipe['batch_size']} × {recipe['length']}",
                f"{m.run.learning_rate:g}, {recipe['optimisation']['warmup_steps']} steps of warm-up",
                str(recipe.get("precision", "fp32")),
                count(corpus.get("vocabulary")) or "all",
            )
        )
    head = ("Model", "Preset", "Config", "Steps", "Rows × tokens", "Learning rate", "Precision", "Words kept")
    return Table("Recipes", head, tuple(rows), frozenset(range(len(head))))


def crossfit_table(runs: Sequence[Measured]) -> Table:
    """Tabulate the gain left by cutting cross-fitted heads, aggregate and gather, beside layer-matched controls."""
    rows = []
    for m in runs:
        for point in m.mean.points:
            for a in point.ablations:
                if (a.selection, a.control) != ("crossfit", "layer") or a.ablated is None:
                    continue
                rows.append(
                    (
                        m.run.name,
                        count(point.step),
                        f"{a.kind}, {a.denominator}",
                        seeds_cut(a),
                        cell(a.n_heads),
                        cell(a.gain_original),
                        cell(a.gain_ablated),
                        cell(a.gain_control),
                        cell(a.ablated),
                        cell(a.control_mean),
                        *(", ".join(p_value(p) or "-" for p in ps) for ps in (a.p_cluster, a.p_draws, a.p_rank)),
                    )
                )
    head = (
        "Model",
        "Step",
        "Heads by",
        "Seeds",
        "Heads cut",
        "Gain",
        "Gain, cut",
        "Gain, others cut",
        "Matched, cut",
        "Matched, others cut",
        "p cluster by seed",
        "p draws by seed",
        "p rank by seed",
    )
    title = (
        "Cross-fitted heads are cut, against as many others of the same layers: nats; each row is of the seeds in "
        "which there were heads to cut, and there is none where that was in no seed"
    )
    return Table(title, head, tuple(rows), frozenset({0, 2}))


def lstm_table(runs: Sequence[Measured]) -> Table:
    """Return each LSTM beside the Transformer at the checkpoint of the nearest held-out loss (protocol §6)."""
    rows = tuple(
        (
            v.measured.run.name,
            str(v.measured.run.layers),
            "yes" if v.measured.run.residual else "no",
            f"{v.measured.run.learning_rate:g}",
            str(len(v.measured.trajectories)),
            number(v.loss),
            ev.text(v.gain),
            count(v.matched_step),
            number(v.matched_gain),
            v.verdict,
        )
        for v in lstm_verdicts(runs)
    )
    head = (
        "LSTM",
        "Layers",
        "Residual",
        "Learning rate",
        "Seeds",
        "Held-out loss",
        "Gain",
        "Transformer's step nearest that loss",
        "Its gain",
        "Verdict",
    )
    title = (
        "LSTMs, each beside the Transformer's checkpoint of the nearest held-out loss, which may be in the middle of "
        "its schedule: nats; intervals of fewer than three seeds are over nouns"
    )
    return Table(title, head, rows, frozenset({0, 9}))


def corpus_table(manifest: Manifest, kept: int, at_least: int) -> Table:
    """Tabulate the corpus."""
    t, share = manifest.totals, manifest.min_env_share
    rich = f"those of which at least {share} of the words are ENV; {manifest.poor_transcripts} left out"
    kept_transcripts = "all" if share is None else rich
    named = [name or "(unnamed)" for name in manifest.corpora]
    rows = (
        ("source", manifest.source),
        ("read from", "; ".join(f"{PurePath(i.path).name}, {i.files:,} files" for i in manifest.inputs)),
        ("corpora", f"{len(named)}: {', '.join(named)}"),
        ("ENV tiers", manifest.tiers),
        ("transcripts kept", kept_transcripts),
        ("transcripts", count(t.transcripts)),
        ("held out", count(manifest.heldout_transcripts)),
        ("utterances", count(t.utterances)),
        ("ENV segments", count(t.env_segments)),
        ("ENV words", count(t.env_words)),
        ("LAN words", count(t.lan_words)),
        ("word types", count(manifest.types)),
        (f"nouns at least {at_least} times in both forms", f"{kept} of {len(manifest.nouns)}"),
        ("licence", manifest.licence),
        ("digest", manifest.digest[:16]),
    )
    return Table("The corpus", ("", ""), rows, frozenset({0, 1}))

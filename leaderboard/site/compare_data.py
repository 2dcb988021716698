"""The data of the compare page: plain values, None where something was not measured."""

from __future__ import annotations

from typing import Any

from groundbench.leaderboard.rows import ResultRow
from groundbench.leaderboard.submission.form_views import FormView


def choice(e: ResultRow) -> list[str]:
    """Return an entry in the page's lists."""
    return [e.id, e.model, f"{e.board} · {e.form}", e.submitter]


def comparable(e: ResultRow, view: FormView) -> dict[str, Any]:
    """Return the numbers of an entry (nats, unless they are counts or shares)."""
    g = view.gain
    ladder = e.ladder
    return {
        "id": e.id,
        "slug": e.slug,
        "model": e.model,
        "submitter": e.submitter,
        "own": e.own,
        "board": f"{e.board} · {e.form}",
        "family": e.family,
        "parameters": e.parameters,
        "has_heads": e.heads_total > 0,
        "like": "|".join(e.group),
        "gain": [g.mean, g.ci_low, g.ci_high] if g else None,
        "matched": g.matched if g else None,
        "mismatched": g.mismatched if g else None,
        "ladder": [ladder.score, ladder.ci_low, ladder.ci_high] if ladder else None,
        "forms": {f.env_form: f.ratio for f in ladder.forms} if ladder else {},
        "heads": e.heads,
        "heads_null": e.heads_null,
        "layer": e.layer / e.depth if e.layer is not None and e.depth else None,
        "half": e.heads_for_half,
        "lost": e.lost,
        "p": e.lost_p,
        "removed": e.removed,
        "image": e.image,
        "measured": e.measured,
        "nouns": {n.noun: round(n.gain, 4) for n in g.by_noun if n.gain is not None} if g else {},
    }

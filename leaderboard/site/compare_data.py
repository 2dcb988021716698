"""What the compare page is given of a result: plain data, None where something was not measured."""

from __future__ import annotations

from typing import Any

from groundbench.leaderboard.rows import Entry, board_name, image_gain, lost_to_cut


def choice(e: Entry) -> dict[str, str]:
    """An entry in the page's lists."""
    return {"id": e.id, "model": e.submission.card.model, "board": board_name(e.result)}


def comparable(e: Entry) -> dict[str, Any]:
    """The numbers of an entry (nats, unless they are counts or shares)."""
    r = e.result
    g, h, a = r.gain, r.heads[0] if r.heads else None, r.ablations[0] if r.ablations else None
    copy = e.whole.copy_corrected
    lost, p = lost_to_cut(a)
    return {
        **choice(e),
        "family": r.model.family,
        "parameters": r.model.parameters,
        "has_heads": bool(r.model.mixers),
        "hash": r.testbed.hash,
        "form": r.testbed.env_form,
        "gain": [g.mean, g.ci_low, g.ci_high] if g else None,
        "matched": g.matched if g else None,
        "mismatched": g.mismatched if g else None,
        "copy": copy.ratio if copy else None,
        "heads": h.mean_count if h else None,
        "layer": h.mean_layer if h else None,
        "lost": lost,
        "p": p,
        "removed": a.gain_removed if a else None,
        "image": image_gain(e.whole),
        "nouns": {n.noun: round(n.gain, 4) for n in g.by_noun if n.gain is not None} if g else {},
    }

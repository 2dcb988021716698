"""Can this gain have been measured? What follows from the nouns' gains is computed from them again."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from scipy import special

from groundbench.leaderboard.submission.bounds import interval_faults, is_near
from groundbench.leaderboard.submission.strict_json_yaml import shorten
from groundbench.results.run import GainRecord

Faults = Iterator[str]
FAILED_TOLERANCE = 0.1
MOST_MEAN = 60.0
"""Nats of a mean surprisal: five times what guessing among 200,000 words costs."""
LEAST_FRAMES = 4
"""Frames of the smallest testbed; with more, an interval clustered by frame is narrower."""
FEW = 20
"""Nouns below which the shape of their gains moves the ends of a bootstrap interval a lot."""


def gain_faults(g: GainRecord, n_nouns: int) -> Faults:
    """Yield what cannot be so, as clauses."""
    for name in ("matched", "mismatched"):
        value = getattr(g, name)
        if value is not None and value < 0:
            yield f"gain.{name} is {value:g}; a surprisal is never negative"
        if value is not None and value > MOST_MEAN:
            yield f"gain.{name} is {value:g}; no vocabulary gives a mean surprisal above {MOST_MEAN:g} nats"
    slack = FAILED_TOLERANCE if g.n_failed else 0.0
    if g.mean is not None and g.matched is not None and g.mismatched is not None:
        difference = g.mismatched - g.matched
        if not is_near(g.mean, difference, slack):
            yield f"gain.mean is {g.mean:g}, but mismatched minus matched is {difference:g}"
    if g.mean is not None and (g.matched is None or g.mismatched is None):
        yield "gain.matched and gain.mismatched are missing beside gain.mean"
    yield from interval_faults("gain.mean", g.mean, g.ci_low, g.ci_high)
    yield from interval_faults("gain.mean", g.mean, g.ci_nouns_low, g.ci_nouns_high)
    yield from interval_faults("gain.same_category", g.same_category, g.same_category_ci_low, g.same_category_ci_high)
    yield from _nouns(g, n_nouns, slack)
    yield from _interval(g)
    yield from _categories(g)


def _nouns(g: GainRecord, n_nouns: int, slack: float) -> Faults:
    if not g.by_noun:
        if g.mean is not None:
            yield "gain.by_noun is empty; a board needs each noun's gain"
        return
    names = [n.noun for n in g.by_noun]
    if len(set(names)) != len(names):
        yield "gain.by_noun names a noun twice"
    if len(names) != n_nouns:
        yield f"gain.by_noun has {len(names)} nouns, the testbed {n_nouns}"
    for i, n in enumerate(g.by_noun):
        if n.gain is None and not g.n_failed:
            yield f"gain.by_noun[{i}] has no gain, but gain.n_failed is 0"
        if (n.matched or 0.0) < 0 or (n.mismatched or 0.0) < 0:
            yield f"gain.by_noun[{i}] has a negative surprisal"
        if n.gain is not None and (n.matched is None or n.mismatched is None):
            yield f"gain.by_noun[{i}] has a gain without its surprisals"
        elif n.gain is not None and n.matched is not None and n.mismatched is not None:
            difference = n.mismatched - n.matched
            if not is_near(n.gain, difference, slack):
                yield f"gain.by_noun[{i}].gain is {n.gain:g}, but mismatched minus matched is {difference:g}"
    for name, key in (("mean", "gain"), ("matched", "matched"), ("mismatched", "mismatched")):
        known = [v for n in g.by_noun if (v := getattr(n, key)) is not None]
        stated = getattr(g, name)
        if known and stated is not None and not is_near(stated, math.fsum(known) / len(known)):
            yield f"gain.{name} is {stated:g}, but the nouns' mean is {math.fsum(known) / len(known):g}"


def _interval(g: GainRecord) -> Faults:
    """Intervals follow from the nouns: a bootstrap over them (older results), or clustered by frame too."""
    known = np.array([n.gain for n in g.by_noun if n.gain is not None], dtype=np.float64)
    if known.size < 2:
        return
    by_noun = float(known.std()) / math.sqrt(known.size)
    by_frame = (g.per_frame_sd or 0.0) / math.sqrt(LEAST_FRAMES)
    t = float(special.stdtrit(min(LEAST_FRAMES, known.size) - 1, 0.975))
    bootstrap = 1.96 * by_noun
    clustered = max(bootstrap, t * math.hypot(by_noun, by_frame))
    # Where items are independent, frames vary less than nouns by chance: two-way variance is then below the nouns' own.
    low, high = (0.3, 1.25) if known.size >= FEW else (0.2, 2.0)
    for name, most in (("ci", clustered), ("ci_nouns", bootstrap)):
        ends = (getattr(g, f"{name}_low"), getattr(g, f"{name}_high"))
        if ends[0] is None or ends[1] is None:
            continue
        half = (ends[1] - ends[0]) / 2
        if not bootstrap * low - 1e-6 <= half <= most * high + 1e-6:
            yield (
                f"gain.{name}_low and {name}_high are {ends[0]:g} and {ends[1]:g}, but the nouns' gains give an "
                f"interval of {2 * bootstrap:.3g} nats"
            )


def _categories(g: GainRecord) -> Faults:
    members: dict[str, list[float | None]] = defaultdict(list)
    for n in g.by_noun:
        members[n.category].append(n.gain)
    seen = set()
    for i, c in enumerate(g.by_category):
        if c.category in seen:
            yield f"gain.by_category names {shorten(c.category)} twice"
        seen.add(c.category)
        known = [m for m in members.get(c.category, ()) if m is not None]
        if c.n_nouns != len(known):
            yield f"gain.by_category[{i}] counts {c.n_nouns} nouns, by_noun has {len(known)} of them"
        elif c.gain is not None and known and not is_near(c.gain, math.fsum(known) / len(known)):
            yield f"gain.by_category[{i}].gain is {c.gain:g}, but its nouns' mean is {math.fsum(known) / len(known):g}"

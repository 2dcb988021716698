"""A comparison of two runs as sentences, and its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundbench.results.summary import Summary, with_ends
from groundbench.results.text.numbers import decimals_for, number, p_phrase
from groundbench.results.text.sentences import ALPHA, CI

if TYPE_CHECKING:
    from groundbench.measures.gain.compare import Comparison


def finding(c: Comparison) -> str:
    """Return a comparison in one sentence: the difference (nats), its interval and p."""
    if c.difference is None or c.ci_low is None or c.ci_high is None:
        return "The two runs cannot be told apart or alike: the difference has no interval."
    p = p_phrase(c.p_cluster)
    places = decimals_for(c.difference, c.ci_low, c.ci_high)
    size = f"{CI} {number(c.ci_low, places)} to {number(c.ci_high, places)}{', ' + p if p else ''}"
    if c.ci_low <= 0 <= c.ci_high or (c.p_cluster is not None and c.p_cluster >= ALPHA):
        return f"No difference that can be told from 0: A minus B is {number(c.difference, places)} nats ({size})."
    more = "more" if c.difference > 0 else "less"
    by = number(abs(c.difference), places)
    return f"A gains {by} nats {more} than B ({CI} of A - B: {size.removeprefix(CI + ' ')})."


def control_sentence(c: Comparison) -> str | None:
    """Say which run is a null control of the other, and its verdict; None where neither is."""
    if c.control_verdict is None:
        return None
    name = str(c.control).upper()
    return f"{name} controls {'B' if name == 'A' else 'A'}. {c.control_verdict}"


def compared_on(c: Comparison) -> str:
    """Say what both runs hold: testbed, form, nouns and items."""
    return f"{c.testbed}, shown as {c.env_form}: {c.n_nouns} nouns, {c.n_items:,} items that both runs hold"


def of_comparison(c: Comparison) -> Summary:
    """Return the finding, what was compared, and a row for each run and for their difference."""
    return Summary(" ".join(filter(None, (finding(c), control_sentence(c)))), compared_on(c), *_table(c))


def _table(c: Comparison) -> tuple[list[str], list[list[str]]]:
    rows = [[f"{name}  {side.model}", with_ends(side.gain, None, None)] for name, side in (("A", c.a), ("B", c.b))]
    return ["run", "gain (nats)"], [*rows, ["A - B", with_ends(c.difference, c.ci_low, c.ci_high)]]

"""Writing of numbers: nats, intervals, p-values, shares. None stays None: unmeasured is never 0."""

from __future__ import annotations

import math
import re

MINUS = "\u2212"
NOT_MEASURED = "not measured"


def number(value: float | None, decimals: int = 2) -> str | None:
    """Return a number with a true minus sign and no negative zero; None stays None."""
    if value is None:
        return None
    text = f"{value:,.{decimals}f}".replace(",", "\u2009")
    return text.replace("-", MINUS) if float(f"{value:.{decimals}f}") != 0 else f"{0:.{decimals}f}"


def decimals_for(*values: float | None) -> int:
    """Return 2 decimals, or 4 where all the values together would round to nothing."""
    known = [abs(v) for v in values if v is not None]
    return 4 if known and max(known) < 0.05 else 2


def signed_number(value: float | None, decimals: int = 2) -> str | None:
    """Return a difference with its sign."""
    text = number(value, decimals)
    if value is None or text is None:
        return None
    return f"+{text}" if value > 0 and text.strip("0.") else text


def interval(low: float | None, high: float | None, decimals: int = 2) -> str | None:
    """Write `low to high`; None unless both ends are known."""
    if low is None or high is None:
        return None
    return f"{number(low, decimals)} to {number(high, decimals)}"


def with_interval(value: float | None, low: float | None, high: float | None, decimals: int = 2) -> str | None:
    """Write `value [low, high]`."""
    if value is None:
        return None
    ends = "" if low is None or high is None else f" [{number(low, decimals)}, {number(high, decimals)}]"
    return f"{number(value, decimals)}{ends}"


def p_value(p: float | None) -> str | None:
    """Write `0.034`, or `< 0.001`."""
    if p is None:
        return None
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_phrase(p: float | None) -> str:
    """Write `p = 0.034`, `p < 0.001`, or nothing."""
    text = p_value(p)
    if text is None:
        return ""
    return f"p {text}" if text.startswith("<") else f"p = {text}"


MARKS = (0.0, 0.3, 0.5, 1.0)
"""Shares at which something changes: none, the share asked of a head, chance or half of the items, all."""
MOST_DECIMALS = 4


def percent(share: float | None, decimals: int = 0) -> str | None:
    """Return a share as a percentage; one that is not 0, 30, 50 or 100 % has the decimals that tell it from them."""
    if share is None:
        return None
    while decimals < MOST_DECIMALS and any(
        round(100 * share, decimals) == 100 * mark and abs(share - mark) > 1e-9 for mark in MARKS
    ):
        decimals += 1
    return f"{number(100 * share, decimals)}\u202f%"


def percent_with_interval(value: float | None, low: float | None, high: float | None) -> str | None:
    """Write a share as `50.6 % (43.0 % to 58.1 %)`, as every share on a card is written."""
    if value is None:
        return None
    ends = percent_interval(low, high)
    return f"{percent(value, 1)} ({ends})" if ends else percent(value, 1)


def percent_interval(low: float | None, high: float | None) -> str | None:
    """Write `43.0 % to 58.1 %`; None unless both ends are known."""
    return None if low is None or high is None else f"{percent(low, 1)} to {percent(high, 1)}"


def count(value: int | None) -> str | None:
    """Return an integer with thin spaces between thousands."""
    return None if value is None else f"{value:,}".replace(",", "\u2009")


def parameters(n: int | None) -> str:
    """Return a model's size: 135 M, 0.9 M, 1.2 B; `unknown` where nobody says it."""
    if n is None:
        return "unknown"
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            scaled = n / size
            return f"{scaled:.0f}\u202f{unit}" if scaled >= 10 else f"{scaled:.1f}\u202f{unit}"
    return str(n)


def factor(nats: float) -> str:
    """exp(nats) as words: how many times more probable; large factors are rounded to two digits."""
    times = math.exp(min(nats, 50.0))
    if times < 9.95:
        return f"{times:.1f}"
    digits = max(0, int(math.log10(times)) - 1)
    return f"{round(times, -digits):,.0f}".replace(",", "\u2009")


def on_one_line(page: str) -> str:
    """Return a page in which no browser breaks a number or an interval: spaces within them do not break."""
    page = re.sub(r"(?<=\d)(?: (?=%)|\u2009(?=\d))", "\u202f", page)
    page = re.sub(r"(?<=[\d%]) to (?=[−-]?\d)", "\u00a0to\u00a0", page)
    return re.sub(r"(\[[−-]?[\d.]+), (?=[−-]?[\d.]+\])", "\\1,\u00a0", page)

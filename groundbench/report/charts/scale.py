"""From numbers to pixels: linear scales with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear map of a domain onto pixels; a domain without width maps to the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the domain, about that many."""
        step = round_step(self.high - self.low, about)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def round_step(span: float, about: int) -> float:
    """Return the step among 1, 2, 2.5, 5 times a power of ten that gives about so many ticks."""
    if span <= 0:
        return 1.0
    raw = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * (1 - 1e-9))


def domain(values: Iterable[float | None], include: Iterable[float] = (), pad: float = 0.04) -> tuple[float, float]:
    """Return the range of the known values and of `include`, padded; (0, 1) where nothing is known."""
    known = [v for v in (*values, *include) if v is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    margin = (high - low) * pad or max(abs(high) * 0.1, 0.5)
    fixed = set(include)
    return (low if low in fixed else low - margin), (high if high in fixed and high != low else high + margin)


def tick_label(value: float, step: float) -> str:
    """Return a tick's label with as many decimals as its step needs; thousands with a thin space, a true minus sign."""
    decimals = 0
    while decimals < 6 and abs(round(step, decimals) - step) > step * 1e-6:
        decimals += 1
    label = f"{value:,.{decimals}f}".replace(",", "\u2009")
    return label.replace("-", "\u2212") if float(f"{value:.{decimals}f}") != 0 else f"{0:.{decimals}f}"

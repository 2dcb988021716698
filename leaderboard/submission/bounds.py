"""Helpers of every check of a number: nearness, and an interval around its value."""

from __future__ import annotations

from collections.abc import Iterator

ROUNDING = 1e-6
"""The share of two numbers, and nats near 0, by which sums of 32-bit surprisals in another order may part them."""


def is_near(a: float, b: float, tolerance: float = 0.0) -> bool:
    """Return True if two numbers differ by no more than a tolerance and rounding."""
    return abs(a - b) <= tolerance + ROUNDING * max(abs(a), abs(b), 1.0)


def interval_faults(name: str, value: float | None, low: float | None, high: float | None) -> Iterator[str]:
    """Yield a fault where a value is outside its own interval."""
    if (low is None) != (high is None):
        yield f"{name}: one end of its interval is missing"
    if value is None or low is None or high is None:
        return
    slack = 1e-9 + 1e-6 * abs(value)
    if not low - slack <= value <= high + slack:
        yield f"{name} is {value:g}, outside its own interval {low:g} to {high:g}"

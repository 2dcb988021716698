"""What every check of a number needs: nearness, and an interval around its value."""

from __future__ import annotations

from collections.abc import Iterator


def near(a: float, b: float, tolerance: float) -> bool:
    """Whether two numbers differ by no more than a tolerance and rounding."""
    return abs(a - b) <= tolerance + 1e-6 * max(abs(a), abs(b))


def around(name: str, value: float | None, low: float | None, high: float | None) -> Iterator[str]:
    """A fault where a value lies outside its own interval."""
    if value is None or low is None or high is None:
        return
    slack = 1e-9 + 1e-6 * abs(value)
    if not low - slack <= value <= high + slack:
        yield f"{name} is {value:g}, outside its own interval {low:g} to {high:g}"

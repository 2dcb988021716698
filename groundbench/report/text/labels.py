"""Names of several runs on one page: none equal, none cut to the same text."""

from __future__ import annotations

from collections.abc import Sequence


def distinct(names: Sequence[str], details: Sequence[str]) -> list[str]:
    """Return the names, where several are equal each with its detail; where that is equal too, with its number."""
    pairs = list(zip(names, details, strict=True))
    out = [f"{n}, {d}" if names.count(n) > 1 and d and pairs.count((n, d)) == 1 else n for n, d in pairs]
    seen: dict[str, int] = {}
    for i, name in enumerate(list(out)):
        seen[name] = seen.get(name, 0) + 1
        if out.count(name) > 1 or seen[name] > 1:
            out[i] = f"{name} ({seen[name]})"
    return out


def shorten_names(names: Sequence[str], room: int) -> list[str]:
    """Return names of at most `room` characters: cut at the end, or in the middle where cuts at the end are equal."""
    cut = [n if len(n) <= room else f"{n[: max(1, room - 1)]}…" for n in names]
    if len(set(cut)) == len(set(names)):
        return cut
    head = max(1, (room - 1) // 3)
    tail = max(1, room - 1 - head)
    return [n if len(n) <= room else f"{n[:head]}…{n[-tail:]}" for n in names]

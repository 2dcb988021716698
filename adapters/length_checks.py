"""Find up to how many tokens a model's shortcuts (its cache, tree masks) give what a whole pass gives.

A window, a chunk or a top-k begins to act at some length: what was seen on seven tokens says nothing beyond it. So the
shortcuts are tried again around each length that the config names, and at the longest prompt met. Rows that are longer
than what was tried, or for which a try failed, are run whole: slower, and right.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from groundbench.adapters import capability_checks
from groundbench.adapters.hooks.head_hooks import probe_ids
from groundbench.api.adapter import Capability, Encoded
from groundbench.api.trials import Each, Trial, run_each

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from groundbench.adapters.huggingface import HFCausal

NAMED = re.compile(r"window|chunk|top_?k|local_attention|original_max|block_size")
NO_LENGTH = re.compile(r"pattern|layers?$|group|prob|head|every|router|expert")
"""Names under which configs keep the lengths at which attention, scan or positions change, and which hold no length."""
AFTER = 5
"""Tokens by which a try goes beyond a length: more than one, so that what is dropped matters."""
STEP = 32
"""The longest prompt's length is tried rounded up to a multiple, so that one a little longer needs no new try."""
EAGER = 2_000_000_000
EAGER_TOKENS = 512
"""Most parameters x tokens, and tokens, of what is tried on opening; longer ones are tried when a prompt comes near."""
SHORT = 64
"""Lengths below this are also tried at twice their size."""
LONGEST = 1 << 20
RESTART: Capability = "start_at_layer"
BEHIND_CACHE = "start_behind_cache"


def find_lengths(model: PreTrainedModel) -> tuple[int, ...]:
    """Return the lengths (tokens) that the text model's config, or a module's chunk, names, ascending."""
    found = set(_lengths(model.config.get_text_config().to_dict()))
    for module in model.modules():
        size = getattr(module, "chunk_size", None)
        if isinstance(size, int):
            found.add(size)
    return tuple(sorted(n for n in found if n > 1))


def _lengths(config: Mapping[str, Any]) -> Iterator[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _lengths(value)
        elif (
            NAMED.search(str(name))
            and not NO_LENGTH.search(str(name))
            and isinstance(value, int)
            and not isinstance(value, bool)
        ):
            yield value


@dataclass
class Reach:
    """The lengths at which one model was tried; they count a row's tokens and those of a path behind it.

    Attributes:
        named: lengths at which the model changes, ascending; those that a try has gone past are in `passed`.
        prefix, trace: the longest row for which going on from the cache was seen to be right, without and with traces.
        tried: the longest row that was tried.
        why: why `prefix` ended where it did.
    """

    named: tuple[int, ...]
    passed: int = 0
    prefix: int = LONGEST
    trace: int = LONGEST
    tried: int = 0
    why: str | None = None

    @property
    def tree(self) -> int:
        """The longest row whose paths may share a pass under a tree mask: below every named length, since what a window
        drops differs from path to path."""
        return min(self.cached, next((n - 1 for n in self.named), LONGEST))

    @property
    def cached(self) -> int:
        """The longest row that may go on from a cache."""
        return min(self.prefix, self._untried)

    @property
    def traced(self) -> int:
        """The longest row that may be traced on a cache."""
        return min(self.trace, self._untried)

    @property
    def _untried(self) -> int:
        return next((n - 1 for n in self.named if n > self.passed), LONGEST)


def is_further(reach: Reach, longest: int, of_config: bool = False) -> bool:
    """Return True if rows of `longest` tokens come near an untried length, or are longer than all tried."""
    near = any(reach.passed < n < longest + AFTER for n in reach.named)
    return near or (not of_config and longest > reach.tried)


def measure_reach(
    adapter: HFCausal, longest: int, reach: Reach, of_config: bool = False, each: Each = run_each
) -> dict[Capability, str]:
    """Try everything up to rows of `longest` tokens and keep in `reach` how far it held.

    Args:
        of_config: only lengths that the config names, not `longest` itself.
        each: runs the trials of one length.

    Returns:
        The capabilities that fail beyond some length, with the reason.
    """
    lost: dict[Capability, str] = {}
    for length, named in _rows_to_try(reach, longest, adapter.encoder.max_length, of_config):
        rows = _rows(adapter.model, length)
        if named is None:  # no length at which anything is known to change: fewer rows
            rows = [rows[0], rows[-1]]
        cuts = [length // 2] if named is None else [n for n in (named - 2, named + 2) if 0 < n < length - 1]
        held = reach.tried if named is None else named - 1
        trials = _trials(adapter, rows, (*cuts, length - 1), reach, adapter.lacks.keys() | lost.keys())
        found = {trial.ability: why for trial, why in zip(trials, each(trials), strict=True)}
        failed = {ability for ability, why in found.items() if why is not None}
        if "prefix" in found:
            reach.why = found["prefix"]
            reach.prefix = LONGEST if reach.why is None else held
        for trial in trials:
            why = None if trial.on & failed else found[trial.ability]
            if why is None or trial.ability == "prefix":
                continue
            if trial.ability == "trace":
                reach.trace = held
            else:
                capability = cast(Capability, RESTART if trial.ability == BEHIND_CACHE else trial.ability)
                lost.setdefault(capability, f"in rows of more than {held} tokens {why}")
        reach.tried = max(reach.tried, length)
        reach.passed = reach.passed if named is None else max(reach.passed, named)
    return lost


def _trials(
    adapter: HFCausal, rows: Sequence[Encoded], cuts: Sequence[int], reach: Reach, lacks: Collection[str]
) -> list[Trial]:
    """Return the trials on some rows, without those of abilities that the model lacks."""
    n, cached = len(rows), reach.prefix == LONGEST and "prefix" not in lacks
    on_cache = frozenset({"prefix"})
    trials = []
    if cached:
        trials.append(Trial("prefix", lambda: capability_checks.no_prefix(adapter, rows, cuts), 3.5 * n))
    if "hidden" not in lacks:
        trials.append(Trial("hidden", lambda: capability_checks.no_lens(adapter, rows), n))
    if RESTART not in lacks:
        whole, behind = (
            partial(capability_checks.check_start_at_layer, adapter, cached=c, whole=not c, rows=rows)
            for c in (False, True)
        )
        trials.append(Trial(RESTART, whole, 4 * n))
        if cached:
            trials.append(Trial(BEHIND_CACHE, behind, n, on_cache | {RESTART}))
    if "hooks" not in lacks:
        trials.append(Trial("hooks", lambda: adapter.check_hooks(rows[:1]), 4))
        if cached and reach.trace == LONGEST:
            alone = partial(capability_checks.no_rows_on_a_cache, adapter, rows[-1])
            trials.append(Trial("trace", alone, 5, on_cache | {"hooks"}))
    return trials


def _rows_to_try(reach: Reach, longest: int, limit: int, of_config: bool) -> list[tuple[int, int | None]]:
    """Return the rows to try: (tokens, the named length that they go past, or None for the longest prompt)."""
    wanted = min(longest + AFTER, limit)
    if not of_config:
        wanted = min(-(-wanted // STEP) * STEP, limit)
    named = [n for n in reach.named if reach.passed < n < min(wanted, limit)]
    stations: list[tuple[int, int | None]] = [
        (min(length, limit), n) for n in named for length in (n + AFTER, *([2 * n + AFTER] if n < SHORT else []))
    ]
    if not of_config and wanted > max(reach.tried, *(length for length, _ in stations), 0):
        stations.append((wanted, None))
    return stations


def _rows(model: PreTrainedModel, length: int) -> list[Encoded]:
    """Return rows of ordinary tokens: many different ones, and few that come often, as words do."""
    kinds = probe_ids(model, 64)[0].tolist()
    return [Encoded(tuple(kinds[(7 * i + i * i // 5) % min(n, len(kinds))] for i in range(length))) for n in (64, 9, 5)]

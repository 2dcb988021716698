"""The measure `causal`: heads that carry the gain, by interchange of their outputs between prompts (protocol §15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import UnsupportedModelError
from groundbench.engine.subject import Subject
from groundbench.measures.causal.edge_knockout import knockout_records
from groundbench.measures.causal.head_ranking import (
    agreement,
    opposed_heads,
    score_heads,
    score_records,
    top_heads,
    zero_each_head,
)
from groundbench.measures.causal.head_sets import interchange_sets, pair_record
from groundbench.measures.causal.options import CausalOptions, Score, headline_size
from groundbench.measures.causal.setting import Setting
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.results.causal import CausalRecord, KnockoutRecord

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CausalRun:
    """A form's record, and what the cross-form matrix needs of it.

    Attributes:
        lists: each cell's headline set.
        clean, corrupt: [pairs] surprisal (nats) of the noun in the untouched prompts.
    """

    record: CausalRecord
    setting: Setting
    lists: tuple[Bools, ...]
    clean: Floats
    corrupt: Floats


def measure(subject: Subject, options: CausalOptions, saliency: HeadSaliency | None = None) -> CausalRecord:
    """Rank heads, interchange sets of them and draw faithfulness curves; see `run_causal`."""
    return run_causal(subject, options, saliency).record


def run_causal(subject: Subject, options: CausalOptions, saliency: HeadSaliency | None = None) -> CausalRun:
    """Return everything measured of one form.

    Args:
        saliency: of the matched items (`measures.heads`), for the ranking by share; without it there is none.

    Raises:
        UnsupportedModelError: the model has no heads, or none that can be edited.
        BadInputError: fewer than four nouns in a half, or no two prompts of equal length.
    """
    info = subject.adapter.info
    if "hooks" not in info.capabilities or not info.mixers:
        raise UnsupportedModelError(f"{info.name}: no heads can be interchanged: {info.why_not('hooks')}")
    setting = Setting.of(subject, options)
    scores = score_heads(setting, saliency)
    kinds = [s for s in options.rankings if s in scores.of_pairs or (s == "share" and scores.share is not None)]
    interchange, curves, table = interchange_sets(setting, scores, kinds)
    lists = top_heads(scores, setting, "contrast", headline_size(info.n_heads))
    notes = [] if len(kinds) == len(options.rankings) else [_note_unscored(options, kinds)]
    knockout: tuple[KnockoutRecord, ...] = ()
    shares = interchange[0].recovered.value is not None
    if not shares:
        notes.append("the gain of the pairs cannot be told from 0: no shares of it were measured")
    elif options.knockout:
        try:
            knockout = knockout_records(setting, lists, table.gain)
        except UnsupportedModelError as error:
            notes.append(f"no edge was cut: {error}")
    record = CausalRecord(
        env_form=subject.contexts.form.name,
        n_heads=info.n_heads,
        pairs=pair_record(setting, scores, table, shares=shares),
        scores=score_records(setting, scores, zero_each_head(setting, scores, table.clean, table.gain)),
        agreement=agreement(setting, scores, kinds),
        opposed=opposed_heads(setting, scores, table.gain),
        interchange=interchange,
        curves=curves,
        knockout=knockout,
        note="; ".join(notes) or None,
    )
    return CausalRun(record, setting, tuple(lists), table.clean, table.corrupt)


def _note_unscored(options: CausalOptions, kinds: Sequence[Score]) -> str:
    missing = ", ".join(s for s in options.rankings if s not in kinds)
    return f"not measured on this model: {missing}"

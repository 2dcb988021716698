"""The cross-form matrix: does a head carry the noun, or the token? (protocol §15)

Receiver: the corrupt prompt of a pair in form B; donor: a prompt of form A that shows the same noun in the same frame.
The headline heads of B, ranked on other nouns and frames, take the donor outputs at the prediction position, so that
lengths may differ. A head that carries the noun transfers between forms; one that carries the token does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, HeadEdit
from groundbench.engine.batching import MIN_PREFIX, group_alike
from groundbench.measures.causal.curve import ratio
from groundbench.measures.causal.edge_knockout import Asked
from groundbench.measures.causal.measure import CausalRun
from groundbench.measures.heads.saliency_flow import finite_loss
from groundbench.results.causal import CausalRecord, MatrixCell

Floats = npt.NDArray[np.float64]


def cross_form(runs: Sequence[CausalRun]) -> list[CausalRecord]:
    """Return the records of several forms of one model, each with its row of the matrix; of one form alone as it is."""
    if len(runs) < 2:
        return [run.record for run in runs]
    given = [LastOutputs(run) for run in runs]
    made = []
    for receiver in runs:
        cells = tuple(_cell(receiver, donor) for donor in given)
        made.append(receiver.record.model_copy(update={"matrix": cells}))
    return made


class LastOutputs:
    """The head outputs at the prediction position of one form's matched prompts, read when they are first needed."""

    def __init__(self, run: CausalRun) -> None:
        self.run = run
        contexts = run.setting.subject.contexts
        words, frames = [n.word for n in contexts.nouns], [f.id for f in contexts.frames]
        pairs = zip(contexts.frame.tolist(), contexts.env.tolist(), strict=True)
        self.place = {(frames[f], words[u]): i for i, (f, u) in enumerate(pairs)}
        self._kept: dict[int, list[Tensor]] = {}

    def of(self, wanted: Sequence[int]) -> list[Tensor]:
        """Return for each mixer [wanted, 1, H, D] of these contexts."""
        adapter, rows = self.run.setting.subject.adapter, self.run.setting.subject.contexts.rows
        budget = self.run.setting.subject.batch_tokens
        new = [i for i in dict.fromkeys(wanted) if i not in self._kept]
        for part in group_alike([(len(rows[i]),) for i in new], lambda key: budget // key[0]):
            traces = adapter.forward([rows[new[k]] for k in part], trace=True).traces
            sites = [t.site.detach()[:, :, -1:].transpose(1, 2).cpu() for t in traces]
            for j, k in enumerate(part):
                self._kept[new[k]] = [s[j : j + 1] for s in sites]
        return [torch.cat(parts) for parts in zip(*(self._kept[i] for i in wanted), strict=True)]


def _cell(run: CausalRun, donor: LastOutputs) -> MatrixCell:
    setting, contexts = run.setting, run.setting.subject.contexts
    patched = np.full(len(setting.noun), np.nan)
    for part, cell, chosen in zip(setting.parts, setting.cells, run.lists, strict=True):
        members, wanted, asked = [], [], []
        for i, pair in enumerate(cell.pairs, start=part.start):
            at = donor.place.get((contexts.frames[pair.frame].id, contexts.nouns[pair.noun].word))
            if at is not None:
                members.append(i)
                wanted.append(at)
                where = contexts.prompts[pair.corrupt].where
                asked.append(Asked(contexts.rows[pair.corrupt], pair.target, where))
        if members:
            budget = setting.subject.batch_tokens
            patched[members] = _patched(setting.subject.adapter, asked, chosen, donor.of(wanted), budget)
    known = ~np.isnan(patched)
    above, below = run.corrupt - patched, run.corrupt - run.clean
    nouns = setting.noun
    return MatrixCell(
        donor_form=donor.run.record.env_form,
        k=int(run.lists[0].sum()),
        n_pairs=int(known.sum()),
        recovered=ratio(nouns[known], above[known], below[known], setting.subject.seed),
    )


def _patched(
    adapter: Adapter,
    asked: Sequence[Asked],
    chosen: npt.NDArray[np.bool_],
    outputs: Sequence[Tensor],
    batch_tokens: int,
) -> Floats:
    """Return [rows] surprisal with the chosen heads' outputs put in at the prediction position."""
    info = adapter.info
    cached = "prefix" in info.capabilities and all(m.kind == "attention" for m in info.mixers)
    scale = torch.tensor(np.where(chosen, 0.0, 1.0), dtype=torch.float32)[None]
    found = np.full(len(asked), np.nan)
    for part in group_alike([(len(a.row),) for a in asked], lambda key: batch_tokens // key[0]):
        own = [asked[i] for i in part]
        length = len(own[0].row)
        start = length - 1 if cached and length > MIN_PREFIX else 0
        prefix = adapter.prefill([a.row.upto(start) for a in own]) if start else None
        edit = HeadEdit(scale, tuple(o[part] for o in outputs), "last")
        logits = adapter.forward([a.row.after(start) for a in own], prefix=prefix, edit=edit).logits
        loss = finite_loss(logits, [a.target for a in own], [a.where for a in own].__getitem__)
        found[part] = loss.double().cpu().numpy()
    return found

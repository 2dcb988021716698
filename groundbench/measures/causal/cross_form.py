"""The cross-form matrix: does a head carry the noun, or the token? (protocol §15)

Receiver: the corrupt prompt of a pair in form B; donor: a prompt of form A that shows the same noun in the same frame.
The headline heads of B, ranked on other nouns and frames, take the donor outputs at the prediction position, so that
lengths may differ. A head that carries the noun transfers between forms; one that carries the token does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import HeadEdit
from groundbench.engine.batch_runner import in_halves
from groundbench.engine.batching import MIN_PREFIX, group_alike, prefill_once
from groundbench.engine.run_directory import Array, load_or_make
from groundbench.measures.causal.curve import ratio
from groundbench.measures.causal.edge_knockout import Asked
from groundbench.measures.causal.measure import CausalRun
from groundbench.measures.causal.setting import Setting
from groundbench.measures.heads.saliency import rows_can_be_cached
from groundbench.measures.heads.saliency_flow import finite_loss
from groundbench.results.causal import CausalRecord, Interval, MatrixCell
from groundbench.util.progress import Progress


def cross_form(runs: Sequence[CausalRun]) -> list[CausalRecord]:
    """Return the records of several forms of one model, each with its row of the matrix; of one form alone as it is."""
    if len(runs) < 2:
        return [run.record for run in runs]
    given = [LastOutputs(run) for run in runs]
    return [r.record.model_copy(update={"matrix": _row(r, given)}) for r in runs]


class LastOutputs:
    """The head outputs at the prediction position of one form's matched prompts, read when they are first needed."""

    def __init__(self, run: CausalRun) -> None:
        self.run = run
        contexts = run.setting.subject.contexts
        words, frames = [n.word for n in contexts.nouns], [f.id for f in contexts.frames]
        self.place = {(frames[f], words[u]): i for (f, u), i in contexts.place.items()}
        self._kept: dict[int, list[Tensor]] = {}

    def identity(self, name: tuple[str, str]) -> object:
        """Return what decides a donor's outputs, by frame and noun: its tokens; None where the form lacks it."""
        place = self.place.get(name)
        return None if place is None else self.run.setting.subject.contexts.rows[place].ids

    def of(self, wanted: Sequence[int]) -> list[Tensor]:
        """Return for each mixer [wanted, 1, H, D] of these contexts; nothing of none."""
        adapter, rows = self.run.setting.subject.adapter, self.run.setting.subject.contexts.rows
        budget = self.run.setting.subject.batch_tokens
        new = [i for i in dict.fromkeys(wanted) if i not in self._kept]
        cached = rows_can_be_cached(adapter)

        def read(members: Sequence[int]) -> None:
            own = [rows[i] for i in members]
            start = len(own[0]) - 1 if cached and len(own[0]) > MIN_PREFIX else 0
            prefix = prefill_once(adapter, [r.upto(start) for r in own]) if start else None
            traces = adapter.forward([r.after(start) for r in own], prefix=prefix, trace=True).traces
            sites = [t.site.detach()[:, :, -1:].transpose(1, 2).cpu() for t in traces]
            for j, i in enumerate(members):
                self._kept[i] = [s[j : j + 1] for s in sites]

        for part in group_alike([(len(rows[i]),) for i in new], lambda key: budget // key[0]):
            in_halves(read, [new[k] for k in part], name=self._where)
        return [torch.cat(parts) for parts in zip(*(self._kept[i] for i in wanted), strict=True)]

    def _where(self, context: int) -> str:
        return self.run.setting.subject.contexts.prompts[context].where


def _row(run: CausalRun, donors: Sequence[LastOutputs]) -> tuple[MatrixCell, ...]:
    """Return one receiver's cells; its prompts are read once, whatever the number of donor forms.

    What a cell of the cross-fit gave is kept in the run directory. Where the form has no gain, nothing is measured.
    """
    setting, contexts = run.setting, run.setting.subject.contexts
    if run.record.headline is None or run.record.headline.recovered.value is None:
        k = int(run.lists[0].sum())
        empty = MatrixCell(donor_form="", k=k, n_pairs=0, recovered=Interval())
        return tuple(empty.model_copy(update={"donor_form": d.run.record.env_form}) for d in donors)
    patched = np.full((len(setting.noun), len(donors)), np.nan)
    name = f"{setting.subject.adapter.info.name}: heads of {run.record.env_form} from other forms"
    sample, pairs = setting.sample(setting.options.most("matrix_pairs"), 141), setting.pairs
    with Progress(name, len(sample)) as bar:
        for number, (part, chosen) in enumerate(zip(setting.parts, run.lists, strict=True)):
            members = sample[(sample >= part.start) & (sample < part.stop)]
            own = [pairs[i] for i in members.tolist()]
            asked = [Asked(contexts.rows[p.corrupt], p.target, contexts.prompts[p.corrupt].where) for p in own]
            names = [(contexts.frames[p.frame].id, contexts.nouns[p.noun].word) for p in own]
            given = [[d.identity(n) for n in names] for d in donors]
            told = [(a.row.ids, a.target) for a in asked], chosen.tobytes(), given
            stage = setting.stage(f"matrix-{number}", *told)
            make = partial(_patch_and_score, setting, asked, names, chosen, donors, bar.advance)
            patched[members] = load_or_make(stage, 0, make, partial(bar.advance, len(asked)))
    gain = run.corrupt - run.clean
    cells = []
    for number, donor in enumerate(donors):
        known = ~np.isnan(patched[:, number])
        above = run.corrupt - patched[:, number]
        cells.append(
            MatrixCell(
                donor_form=donor.run.record.env_form,
                k=int(run.lists[0].sum()),
                n_pairs=int(known.sum()),
                recovered=ratio(setting.noun[known], above[known], gain[known], setting.subject.seed),
            )
        )
    return tuple(cells)


def _patch_and_score(
    setting: Setting,
    asked: Sequence[Asked],
    names: Sequence[tuple[str, str]],
    chosen: npt.NDArray[np.bool_],
    donors: Sequence[LastOutputs],
    advance: Callable[[int], None],
) -> Array:
    """Return [rows, donors] surprisal with the chosen heads' outputs put in at the prediction position.

    Args:
        names: each row's frame and noun; NaN where a donor form lacks them.
    """
    adapter, budget = setting.subject.adapter, setting.subject.batch_tokens
    cached = "prefix" in adapter.info.capabilities and all(m.kind == "attention" for m in adapter.info.mixers)
    scale = torch.tensor(np.where(chosen, 0.0, 1.0), dtype=torch.float32)[None]

    for donor in donors:  # in large batches, before they are asked for row by row
        donor.of([donor.place[name] for name in names if name in donor.place])

    def run(part: Sequence[int]) -> Array:
        found = np.full((len(part), len(donors)), np.nan, dtype=np.float32)
        length = len(asked[part[0]].row)
        start = length - 1 if cached and length > MIN_PREFIX else 0
        prefix = prefill_once(adapter, [asked[i].row.upto(start) for i in part]) if start else None
        known = [(k, d) for d, donor in enumerate(donors) for k, i in enumerate(part) if names[i] in donor.place]
        if not known:
            return found
        given = [donors[d].of([donors[d].place[names[part[k]]]]) for k, d in known]
        edit = HeadEdit(scale, tuple(torch.cat(parts) for parts in zip(*given, strict=True)), "last")
        here = None if prefix is None else prefix.select([k for k, _ in known])
        members = [asked[part[k]] for k, _ in known]
        logits = adapter.forward([a.row.after(start) for a in members], prefix=here, edit=edit).logits
        loss = finite_loss(logits, [a.target for a in members], [a.where for a in members].__getitem__)
        found[tuple(zip(*known, strict=True))] = loss.double().cpu().numpy()
        return found

    found = np.full((len(asked), len(donors)), np.nan, dtype=np.float32)
    for part in group_alike([(len(a.row),) for a in asked], lambda key: budget // (key[0] * len(donors))):
        found[part] = np.concatenate(list(in_halves(run, part, name=lambda i: asked[i].where)))
        advance(len(part))
    return found

"""One given answer, teacher-forced: every token measured in one traced pass and two plain ones (protocol §16).

The answer's tokens are appended to the prompt; the position before each token predicts it. Of that pass are kept, by
token, its surprisal and the distribution's entropy, the logit lens, and what every head attends to; of the same answer
after the prompt without evidence and after the prompt with other evidence, surprisals and distances of distributions.
Shapes: T answer tokens, H heads of the model in a HeadEdit's order, L layers. Surprisals in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundbench.api.adapter import Adapter, Embedded, Encoded, Forward, HiddenReadable, Trace
from groundbench.api.errors import BadInputError, NonFiniteLogitsError
from groundbench.api.evidence_record import EvidenceRecord
from groundbench.api.testbed import Prompt
from groundbench.measures.heads.saliency_flow import gradients
from groundbench.measures.heads.spans import patch_positions
from groundbench.screening.answer_pass import AnswerPass, evidence_positions, run_answer
from groundbench.screening.distributions import contrastive_decoding, divergence, embedding_distance
from groundbench.screening.information_rate import Lens, LensSums
from groundbench.screening.lens_entropy import middle_layers
from groundbench.screening.prompt_length import CUT_EVIDENCE, encode_fitting, require_possible_length
from groundbench.screening.shared_beginnings import SharedBeginnings
from groundbench.util.atomic_files import write_npz

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
LENS_ROWS = 768
"""States that are unembedded at once: fewer read the unembedding more often than the processor multiplies with it."""
GLSIM_GLOBAL, GLSIM_PATCHES = 0.6, 32
"""GLSim's weight of the global similarity, and how many image positions its local one takes."""
MLP_LAYERS = 10
"""At most so many layers, evenly spaced, in which the feed-forward part is read (`redeep`)."""
TOP_SHARE = 0.1
"""Of the evidence tokens: the most attended part that `redeep` compares with."""


@dataclass(frozen=True)
class GivenAnswer:
    """An answer after three prompts: with the evidence, without any, and with other evidence (None: not compared)."""

    where: str
    row: Encoded
    target: tuple[int, ...]
    without: Encoded | None = None
    other: Encoded | None = None

    @property
    def prompts(self) -> tuple[Encoded, ...]:
        """The prompts it is read after."""
        return tuple(p for p in (self.row, self.without, self.other) if p is not None)


@dataclass(frozen=True)
class Wanted:
    """The parts of an answer to be read beside surprisals: each costs something (see the table of signals)."""

    without: bool = True
    other: bool = True
    heads: bool = True
    gradients: bool = True
    lens: bool = True
    mlp: bool = True


@dataclass(frozen=True)
class Reading:
    """The measurements of one answer; None where the model cannot show it or it was not asked for.

    Attributes:
        size: [3] tokens of the prompt, of the evidence and of the answer.
        surprisal, entropy: [T] of the answer's tokens and of the distributions they are drawn from.
        without, other: [T] surprisals after the prompt without evidence and with other evidence.
        contrast: [T] surprisals under contrastive decoding against the prompt without evidence (strength 1).
        divergence, mmd: [T] Jensen-Shannon divergence (nats) and MMD^2 of the next-token distributions with own and
            with other evidence.
        lens_entropy: [T] mean entropy of the logit lens at the middle layers; `rate`: [T] LUMINA's processing rate.
        evidence, answer, first: [T, H] attention from the predicting position to all evidence tokens, all earlier
            answer tokens and the first token; `previous`: from the token's own position to the token before.
        edge, row_sum, support: [T, H] |saliency| from evidence, of the whole row, and signed saliency from evidence.
        external: [T, H] cosine of the token's last state with the mean of those of the most attended
            evidence tokens; `parametric`: [T, L'] divergence of the lens before and after feed-forward parts.
        image_lens: [T] the largest lens probability of the token at any image position and layer.
        image_similarity: [T] similarity of the token's last state with the prompt's end and with the image positions
            whose lens gives the token most (GLSim).
    """

    size: npt.NDArray[np.int64]
    surprisal: Floats32
    entropy: Floats32
    without: Floats32 | None = None
    other: Floats32 | None = None
    contrast: Floats32 | None = None
    divergence: Floats32 | None = None
    mmd: Floats32 | None = None
    lens_entropy: Floats32 | None = None
    rate: Floats32 | None = None
    evidence: Floats32 | None = None
    answer: Floats32 | None = None
    first: Floats32 | None = None
    previous: Floats32 | None = None
    edge: Floats32 | None = None
    row_sum: Floats32 | None = None
    support: Floats32 | None = None
    external: Floats32 | None = None
    parametric: Floats32 | None = None
    image_lens: Floats32 | None = None
    image_similarity: Floats32 | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the answer."""
        return int(self.size[2])

    def copy(self) -> Reading:
        """Return the same in memory of its own, taken when that of the pass is free again.

        Small arrays kept from the middle of a pass hold the memory around them: 25 MB an answer of 150 tokens.
        """
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return Reading(**{n: np.array(v) for n, v in named.items() if v is not None})

    def save(self, path: Path) -> None:
        """Write one .npz file, whole or not at all."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        write_npz(path, **{n: v for n, v in named.items() if v is not None})

    @classmethod
    def load(cls, path: Path) -> Reading:
        """Read a file that `save` wrote. Raises BadInputError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{n: file[n] for n in file.files})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path}: not a reading of an answer: {error}") from error


def encode_answer(adapter: Adapter, record: EvidenceRecord, other: Prompt | None, answer: str) -> GivenAnswer:
    """Return a record's answer after its prompts, as tokens.

    Raises:
        BadInputError: prompt and answer do not fit the model's context, or cannot be told apart in its tokens.
    """
    prompt = record.prompt()
    require_possible_length(adapter, prompt, CUT_EVIDENCE)
    (target,) = adapter.encode_targets([answer], prompt)
    row = encode_fitting(adapter, prompt, len(target), CUT_EVIDENCE)
    without = record.prompt("")
    blank = encode_fitting(adapter, without, len(target), CUT_EVIDENCE) if without.segments else None
    lent = None
    if other is not None:
        try:
            lent = encode_fitting(adapter, other, len(target))
        except BadInputError:
            lent = None  # the comparison alone is unmeasured
    return GivenAnswer(record.where, row, target, blank, lent)


def read_answer(
    adapter: Adapter, given: GivenAnswer, wanted: Wanted | None = None, shared: SharedBeginnings | None = None
) -> Reading:
    """Measure one answer.

    Args:
        shared: what its prompts begin with in common with those of other answers; such a beginning is run once.

    Raises:
        NonFiniteLogitsError: names the record.
    """
    wanted, shared = wanted or Wanted(), shared or SharedBeginnings()
    info, n = adapter.info, len(given.target)
    if "hidden" not in info.capabilities:
        return _by_prefixes(adapter, given, wanted, shared)
    layers = _layers(adapter, wanted)
    heads = wanted.heads and "hooks" in info.capabilities
    mlp = heads and wanted.mlp and wanted.lens
    passed = run_answer(adapter, given.row, given.target, layers, trace=heads, mlp=mlp, shared=shared)
    out = passed.out
    found: dict[str, Any] = {}
    with torch.set_grad_enabled(heads and wanted.gradients):  # also where the caller has switched graphs off
        states = out.hidden[info.n_layers][0, -n - 1 : -1]
        log_p = adapter.unembed(states, normed=False).float().log_softmax(-1)
        _finite(log_p, given, info.name)
        picked = -log_p[torch.arange(n), torch.tensor(given.target, device=log_p.device)]
        if heads:
            found |= _heads(passed, picked, given, wanted, info.n_layers)
    log_p = log_p.detach()
    with torch.no_grad():
        if wanted.lens:
            found |= _lens(adapter, passed, given, log_p)
        found |= _read_comparisons(adapter, given, log_p, wanted, shared)
    size = np.array([len(given.row), len(evidence_positions(given.row)), n], np.int64)
    entropy = -(log_p.exp() * log_p).sum(-1)
    arrays = {k: _array(v) for k, v in found.items()}
    return Reading(size, _array(picked.detach()), _array(entropy), **arrays)


def _with_answer(row: Encoded, target: Sequence[int]) -> Encoded:
    return replace(row, ids=(*row.ids, *target))


def _layers(adapter: Adapter, wanted: Wanted) -> tuple[int, ...]:
    last = adapter.info.n_layers
    return tuple(range(1, last + 1)) if wanted.lens else (last,)


def _finite(log_p: Tensor, given: GivenAnswer, name: str) -> None:
    if not torch.isfinite(log_p).all():
        raise NonFiniteLogitsError(f"{given.where}: {name} returned NaN or infinite logits")


def _array(values: Tensor) -> Floats32:
    found: Floats32 = values.detach().float().cpu().numpy()
    return found


@torch.no_grad()
def _by_prefixes(adapter: Adapter, given: GivenAnswer, wanted: Wanted, shared: SharedBeginnings) -> Reading:
    """Return the same without hidden states: one pass for each token, and nothing of layers or heads."""
    (log_p,) = _distributions(adapter, [given.row], given.target, shared)
    _finite(log_p, given, adapter.info.name)
    picked = -log_p[torch.arange(len(given.target)), torch.tensor(given.target)]
    size = np.array([len(given.row), len(evidence_positions(given.row)), len(given.target)], np.int64)
    compared = {k: _array(v) for k, v in _read_comparisons(adapter, given, log_p, wanted, shared).items()}
    return Reading(size, _array(picked), _array(-(log_p.exp() * log_p).sum(-1)), **compared)


@torch.no_grad()
def _distributions(
    adapter: Adapter, rows: Sequence[Encoded], target: Sequence[int], shared: SharedBeginnings
) -> list[Tensor]:
    """Return for each prompt [T, V] log-probabilities that the answer's tokens are drawn from after it."""
    if not rows:
        return []
    if "hidden" in adapter.info.capabilities:
        last, states = adapter.info.n_layers, []
        for row in rows:
            full = _with_answer(row, target)
            begun = shared.begin(adapter, row) if len(full) <= adapter.info.longest_cached else None
            prefix, start = (None, 0) if begun is None else (begun.prefix, begun.prefix.length)
            rest = [full.after(start)]
            if isinstance(adapter, HiddenReadable):
                found = adapter.hidden_states(rest, (last,), prefix=prefix)
            else:
                found = adapter.forward(rest, prefix=prefix, hidden=(last,)).hidden
            states.append(found[last][0, -len(target) - 1 : -1])
        # unembedded together: the unembedding is read once
        logits = adapter.unembed(torch.cat(states), normed=False).float()
    else:
        parts = [_with_answer(row, target[:k]) for row in rows for k in range(len(target))]
        logits = torch.cat([adapter.forward([part]).logits for part in parts]).float()
    return list(torch.split(logits.log_softmax(-1), len(target)))


def _read_comparisons(
    adapter: Adapter, given: GivenAnswer, log_p: Tensor, wanted: Wanted, shared: SharedBeginnings
) -> dict[str, Tensor]:
    """Read the answer after the prompts without evidence and with other evidence."""
    at = torch.arange(len(given.target)), torch.tensor(given.target, device=log_p.device)
    found: dict[str, Tensor] = {}
    asked = {"without": given.without if wanted.without else None, "other": given.other if wanted.other else None}
    rows = {name: row for name, row in asked.items() if row is not None}
    read = dict(zip(rows, _distributions(adapter, list(rows.values()), given.target, shared), strict=True))
    for distribution in read.values():
        _finite(distribution, given, adapter.info.name)
    if (blank := read.get("without")) is not None:
        found["without"] = -blank[at]
        found["contrast"] = -contrastive_decoding(log_p, blank)[at]
    if (lent := read.get("other")) is not None:
        found["other"] = -lent[at]
        found["divergence"] = divergence(log_p, lent)
        if isinstance(adapter, Embedded):
            found["mmd"] = embedding_distance(log_p, lent, adapter.token_embeddings)
    return found


def _lens(adapter: Adapter, passed: AnswerPass, given: GivenAnswer, log_p: Tensor) -> dict[str, Tensor]:
    """Read the logit lens at every layer: entropy at the middle ones, processing rate, what feed-forward parts change,
    and image positions. Several layers are unembedded at once: the unembedding is read less often."""
    info, n, out, added = adapter.info, len(given.target), passed.out, passed.added
    middle = set(middle_layers(info))
    sums = LensSums(log_p, torch.tensor(given.target, device=log_p.device))
    entropy = torch.zeros(n, device=log_p.device)
    parts = mlp_layers(info.n_layers) if added and all(k in added for k in mlp_layers(info.n_layers)) else ()
    changed: list[Tensor] = []

    def rows(states: Tensor) -> Tensor:
        return states[0, -n - 1 : -1].detach()

    step = max(1, round(LENS_ROWS / ((1 + len(parts) / info.n_layers) * n)))
    for first in range(1, info.n_layers + 1, step):
        layers = range(first, min(first + step, info.n_layers + 1))
        before = [k for k in layers if k in parts]
        inner = [k for k in layers if k < info.n_layers]  # the last layer's lens is what the model says
        stacked = [rows(out.hidden[k]) for k in inner] + [rows(out.hidden[k]) - rows(added[k]) for k in before]
        lenses: list[Lens] = []
        if stacked:
            unembedded = adapter.unembed(torch.cat(stacked), normed=False).float()
            lenses = [Lens.of(z) for z in unembedded.view(len(stacked), n, -1).unbind(0)]
        at = dict(zip(inner, lenses, strict=False))
        if info.n_layers in layers:
            at[info.n_layers] = Lens.of(log_p)
        for layer, lens in at.items():
            sums.add(layer, lens)
            if layer in middle:
                entropy += lens.entropy / len(middle)
        changed += [lens.divergence(at[k]) for k, lens in zip(before, lenses[len(inner) :], strict=True)]
    found = {"lens_entropy": entropy, "rate": sums.rate()}
    if changed:
        found["parametric"] = torch.stack(changed, 1)
    return {**found, **image_measures(adapter, out, given)}


def image_measures(adapter: Adapter, out: Forward, given: GivenAnswer) -> dict[str, Tensor]:
    """Return each token's largest lens probability at image positions, and GLSim; nothing without images."""
    images, last = patch_positions(given.row), adapter.info.n_layers
    best, lens = None, torch.empty(0)
    for layer in range(1, last + 1) if images else ():
        lens = adapter.unembed(out.hidden[layer][0, images].detach(), normed=False).float().softmax(-1)
        lens = lens[:, list(given.target)]
        best = lens.amax(0) if best is None else torch.maximum(best, lens.amax(0))
    if best is None:
        return {}
    states = torch.nn.functional.normalize(out.hidden[last][0].detach().float(), dim=-1)
    n = len(given.target)
    own, end, patches = states[-n:], states[-n - 1], states[images]
    top = lens.topk(min(GLSIM_PATCHES, len(images)), dim=0).indices  # [K, T]
    local = (patches[top] * own).sum(-1).mean(0)
    return {"image_lens": best, "image_similarity": GLSIM_GLOBAL * (own @ end) + (1 - GLSIM_GLOBAL) * local}


def mlp_layers(n_layers: int) -> tuple[int, ...]:
    """Return the layers (from 1) whose feed-forward part is read: at most `MLP_LAYERS`, the last included."""
    return tuple(sorted({int(k) for k in np.linspace(1, n_layers, min(MLP_LAYERS, n_layers)).round()}))


def _heads(passed: AnswerPass, picked: Tensor, given: GivenAnswer, wanted: Wanted, last: int) -> dict[str, Tensor]:
    """Read each head's attention in each predicting position, and its saliency of the answer's surprisal."""
    traces = passed.out.traces
    grads: list[Tensor | None] = [None] * len(traces)
    if wanted.gradients:
        grads = list(gradients(picked.sum(), traces))
    n, prompt = len(given.target), len(given.row)
    length = prompt + n
    evidence = torch.zeros(length)
    evidence[evidence_positions(given.row)] = 1.0
    states = _LastStates.of(passed, given, last)
    columns: dict[str, list[Tensor]] = {}
    for trace, gradient in zip(traces, grads, strict=True):
        for name, values in _one_mixer(trace, gradient, evidence, states, prompt, n, passed.skipped).items():
            columns.setdefault(name, []).append(values)
    return {name: torch.cat(values, 1) for name, values in columns.items()}


@torch.no_grad()
def _one_mixer(
    trace: Trace,
    gradient: Tensor | None,
    evidence: Tensor,
    states: _LastStates | None,
    prompt: int,
    n: int,
    skipped: int,
) -> dict[str, Tensor]:
    """Return [T, heads] of one mixer; the row holds `prompt` tokens of the prompt, then the answer's.

    Queries are traced from token number `skipped` on.
    """
    length, first = prompt + n, prompt - 1 - skipped
    rows = trace.weights(slice(first, first + n + 1), length)[0].float()  # [h, T + 1, keys]
    weights, own = rows[:, :-1], torch.arange(n, device=rows.device)
    shown = evidence.to(weights.device)
    earlier = weights[:, :, prompt:].sum(-1)
    before = rows[:, own + 1, own + prompt - 1]
    found = {
        "evidence": (weights * shown).sum(-1).T,
        "answer": earlier.T,
        "first": weights[:, :, 0].T,
        "previous": before.T,
    }
    if states is not None:
        found["external"] = states.external(rows[:, 1:])
    if gradient is not None:
        values = trace.values[0].float()[:, :length]
        flow = weights * (gradient[0, :, first : first + n].float() @ values.transpose(1, 2))
        found |= {
            "edge": (flow.abs() * shown).sum(-1).T,
            "row_sum": flow.abs().sum(-1).T,
            "support": -(flow * shown).sum(-1).T,
        }
    return found


@dataclass(frozen=True)
class _LastStates:
    """Last states, before the final norm: `own` [T, d] of the answer's tokens, each of length 1; `evidence` [E, d]."""

    own: Tensor
    evidence: Tensor
    positions: list[int]

    @classmethod
    def of(cls, passed: AnswerPass, given: GivenAnswer, last: int) -> _LastStates | None:
        """Return them; None without evidence."""
        if passed.evidence is None:
            return None
        own = passed.out.hidden[last][0, -len(given.target) :].detach().float()
        return cls(_unit(own), passed.evidence.float(), evidence_positions(given.row))

    def external(self, rows: Tensor) -> Tensor:
        """Return [T, heads] ReDeEP's external-context score, of the attention [heads, T, keys] from every token."""
        most = max(1, round(TOP_SHARE * len(self.positions)))
        weights = rows[:, :, self.positions]
        top = weights.topk(most, dim=-1).indices  # [heads, T, most]
        mean = torch.zeros_like(weights).scatter_(-1, top, 1 / most) @ self.evidence
        found: Tensor = (_unit(mean) * self.own).sum(-1).T
        return found


def _unit(states: Tensor) -> Tensor:
    found: Tensor = states / states.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return found

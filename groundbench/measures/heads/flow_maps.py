"""The saliency flow of one prompt, layer by layer: the matrices I_l = |sum over heads of A * dL/dA| (protocol §8)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Adapter, Encoded, Readable
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.testbed import EnvForm, Frame, Noun, Testbed
from groundbench.measures.heads.saliency import Loss, SaliencyItem, flow_matrices
from groundbench.util.atomic_files import write_npz
from groundbench.util.suggestions import did_you_mean

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FlowMaps:
    """The flow between the tokens of one prompt when its noun is predicted. T tokens, L mixers.

    Attributes:
        tokens: the prompt's tokens as text; `shown`: the positions of the ENV form. Of an image the patches of a row
            that stand together inside, or outside, the object's box are one of them, named `row: columns` from 1, and
            what flows from and to it is their sum.
        target: the tokens of the word that is asked for; `loss`: on its `first` token, or summed over `all`.
        surprisal: of the target's first token, in nats.
        layers: [L] the layer (from 1) of each mixer.
        flow: [L, T, T]; flow[l, q, k] is what flows into position q from position k; 0 where k > q.
    """

    model: str
    fingerprint: str
    testbed: str
    form: str
    frame: str
    noun: str
    tokens: tuple[str, ...]
    target: tuple[str, ...]
    shown: tuple[int, ...]
    loss: Loss
    surprisal: float
    layers: tuple[int, ...]
    flow: Floats32
    has_images: bool = False
    """True if the prompt holds an image."""

    @property
    def edge(self) -> Floats32:
        """[L] what flows from the ENV form to the prediction position."""
        return np.asarray(self.flow[:, -1, list(self.shown)].sum(-1), np.float32)

    @property
    def total(self) -> Floats32:
        """[L] all that flows in a layer."""
        return np.asarray(self.flow.sum((1, 2)), np.float32)

    def save(self, path: Path) -> None:
        """Write one .npz file: `flow`, `layers`, `shown`, `tokens`, and `header`, a JSON text with everything else."""
        arrays = ("flow", "layers", "shown", "tokens")
        header = {k: v for k, v in self.__dict__.items() if k not in arrays}
        write_npz(
            path,
            flow=self.flow,
            layers=np.array(self.layers),
            shown=np.array(self.shown),
            tokens=np.array(self.tokens),
            header=np.array(json.dumps(header)),
        )


def measure_flow(
    adapter: Adapter,
    testbed: Testbed,
    *,
    noun: str | None = None,
    frame: str | None = None,
    form: str | None = None,
    loss: Loss = "first",
) -> FlowMaps:
    """Return the flow matrices of one matched prompt: `noun` is shown in `frame` and its word asked for.

    Args:
        noun, frame, form: by default the form's first noun, its first frame, and the testbed's default form.
        loss: on the target's `first` token, or summed over `all` of them.

    Raises:
        UnsupportedModelError: the model has no heads that can be read.
        BadInputError: no such noun, frame or form, or the prompt cannot be encoded.
        NonFiniteLogitsError: names the prompt.
    """
    info = adapter.info
    if "hooks" not in info.capabilities:
        raise UnsupportedModelError(f"{info.name}: no saliency flow, since {info.why_not('hooks')}")
    shape = testbed.form(form or testbed.default_form)
    shown = _noun(testbed, shape, noun)
    place = _frame(testbed, shape, shown, frame)
    prompt = testbed.prompt(place, shown, shape)
    (row,) = adapter.encode([prompt])
    (target,) = adapter.encode_targets([testbed.target_in(shown, shape)], prompt)
    item = SaliencyItem(row, target, shown.word, place.id)
    matrices, surprisal = flow_matrices(adapter, item, loss)
    units = _units(row)
    starts = [first for first, _ in units]
    names = shown_tokens(adapter, row.ids)
    return FlowMaps(
        model=info.name,
        fingerprint=info.fingerprint,
        testbed=testbed.name,
        form=shape.name,
        frame=place.id,
        noun=shown.word,
        tokens=tuple(name or names[first] for first, name in units),
        target=shown_tokens(adapter, target),
        shown=tuple(i for i, first in enumerate(starts) if first in set(row.env_positions)),
        loss=loss,
        surprisal=surprisal,
        layers=tuple(layer for layer, _ in matrices),
        flow=np.stack([_sum_blocks(m.float().cpu().numpy(), starts) for _, m in matrices]),
        has_images=bool(row.grids),
    )


def _units(row: Encoded) -> list[tuple[int, str]]:
    """Return (first position, name) of each unit: every token, and of an image each run of patches of one row
    on one side of the box's edge; the name of a token is left empty."""
    shown = set(row.env_positions)
    name: dict[int, str] = {}
    inner: set[int] = set()
    for grid in row.grids:
        for down in range(grid.rows):
            ((first, last),) = grid.spans(range(down, down + 1), range(grid.columns))
            cuts = [p for p in range(first, last) if p == first or (p in shown) != (p - 1 in shown)]
            for start, end in pairwise([*cuts, last]):
                name[start] = f"{down + 1}: {start - first + 1}–{end - first}"
                inner |= set(range(start + 1, end))
    return [(p, name.get(p, "")) for p in range(len(row)) if p not in inner]


def _sum_blocks(flow: Floats32, starts: list[int]) -> Floats32:
    """Return [U, U] of [T, T]: sums over the blocks that begin at these positions."""
    return np.asarray(np.add.reduceat(np.add.reduceat(flow, starts, axis=0), starts, axis=1), np.float32)


def _noun(testbed: Testbed, form: EnvForm, word: str | None) -> Noun:
    nouns = testbed.nouns_of(form)
    if word is None:
        return nouns[0]
    noun = testbed.noun(word)
    if noun not in nouns:
        raise BadInputError(f"testbed {testbed.name!r}: {word!r} has no form {form.name!r}")
    return noun


def _frame(testbed: Testbed, form: EnvForm, noun: Noun, name: str | None) -> Frame:
    frames = {f.id: f for f in testbed.frames(form) if f.noun is None or f.noun == noun.word}
    if name is None:
        return next(iter(frames.values()))
    if name not in frames:
        hint = did_you_mean(name, frames) or f"; expected one of {', '.join(frames)}"
        raise BadInputError(f"testbed {testbed.name!r} has no frame {name!r} for {noun.word!r}{hint}")
    return frames[name]


def shown_tokens(adapter: Adapter, ids: Sequence[int]) -> tuple[str, ...]:
    """Return tokens as text; as numbers where the adapter cannot show them."""
    return tuple(adapter.token_texts(ids)) if isinstance(adapter, Readable) else tuple(map(str, ids))

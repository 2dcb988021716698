"""HeadSaliency: what is kept of the saliency of many items, per head, as plain arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundbench.api.adapter import Mixer, MixerKind
from groundbench.api.errors import BadInputError
from groundbench.results.run import Denominator
from groundbench.util.atomic_files import write_npz

Floats32 = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int32]

ITEM_FIELDS = ("nouns", "frames")


@dataclass(frozen=True)
class HeadSaliency:
    """Saliency of `items` matched prompts in every head of a model (protocol §8, §10). Arrays are [items, heads].

    Heads stand in the order of a HeadEdit's columns. Sums are of |A * dL/dA|, L the target's surprisal in nats.

    Attributes:
        nouns, frames: the noun shown (and asked for) and the frame's id, for each item.
        length: [items] tokens of the prompt.
        span: [items, mixers] tokens counted as the ENV form (a short convolution's smear included).
        surprisal: [items] of the target's first token, as the probe's numeric path gives it (nats).
        edge: ENV form -> prediction position; `null_edge`: an equally long run of other tokens -> prediction
            position, NaN where the prompt has no room for one.
        row_sum, row_offdiagonal: the prediction position's whole row, and without its entry on itself.
        signed_edge, signed_row: the same without absolute value; minus `signed_row` is, to first order, what zeroing
            the head adds to the loss.
        total_sum, total_offdiagonal: the head's whole saliency, and without that of positions to themselves (None
            when only rows were measured).
        gathered, null_gathered: into the ENV form (or the null run) from tokens outside it.
        even_gathered, even_total: `gathered` and `total_sum` if the ENV form's tokens attended evenly to all that they
            may see (None in files from before it was kept).
        layer_edge, layer_row, layer_total, layer_gathered: [items, mixers], of the layer's matrix |sum over heads|.
        image_edge: all patches of the prompt's images -> prediction position; `image_span`: [items, mixers] tokens
            counted as patches. None for prompts without images.
        attention: the prediction position's weights on the ENV form (None unless asked for).
    """

    mixers: tuple[Mixer, ...]
    nouns: tuple[str, ...]
    frames: tuple[str, ...]
    length: Shorts
    span: Shorts
    surprisal: Floats32
    edge: Floats32
    null_edge: Floats32
    row_sum: Floats32
    row_offdiagonal: Floats32
    signed_edge: Floats32
    signed_row: Floats32
    layer_edge: Floats32
    layer_row: Floats32
    total_sum: Floats32 | None = None
    total_offdiagonal: Floats32 | None = None
    gathered: Floats32 | None = None
    null_gathered: Floats32 | None = None
    even_gathered: Floats32 | None = None
    even_total: Floats32 | None = None
    layer_total: Floats32 | None = None
    layer_gathered: Floats32 | None = None
    image_edge: Floats32 | None = None
    image_span: Shorts | None = None
    attention: Floats32 | None = None

    def __len__(self) -> int:
        return len(self.nouns)

    @property
    def denominators(self) -> tuple[Denominator, ...]:
        """The denominators that shares can be of."""
        return ("row",) if self.total_sum is None else ("row", "total")

    @property
    def head_layer(self) -> Shorts:
        """[heads] the layer (from 1) of each head."""
        return np.repeat([m.layer for m in self.mixers], self._n_heads).astype(np.int32)

    @property
    def head_number(self) -> Shorts:
        """[heads] the number (from 0) of each head in its layer; see `groundbench.api.adapter.Mixer.first`."""
        return np.concatenate([np.array(m.heads) for m in self.mixers]).astype(np.int32)

    @property
    def head_kind(self) -> tuple[MixerKind, ...]:
        """[heads] whether each is a head of attention or of a scan."""
        return tuple(m.kind for m in self.mixers for _ in m.heads)

    @property
    def expected_share(self) -> Floats32:
        """[items, heads] the ENV form's part of the prompt's tokens: what lift is measured against."""
        return np.repeat(self.span / self.length[:, None], self._n_heads, axis=1).astype(np.float32)

    @property
    def _n_heads(self) -> list[int]:
        return [m.n_heads for m in self.mixers]

    def select(self, items: Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> HeadSaliency:
        """Return the saliency of some items."""
        chosen = np.arange(len(self))[np.asarray(items)]
        changed: dict[str, Any] = {}
        for name, values in self._parts().items():
            changed[name] = tuple(values[i] for i in chosen) if name in ITEM_FIELDS else values[chosen]
        return replace(self, **changed)

    @classmethod
    def concat(cls, parts: Sequence[HeadSaliency]) -> HeadSaliency:
        """Return the items of several parts of one measurement, in order."""
        joined: dict[str, Any] = {}
        for name in parts[0]._parts():
            values = [getattr(p, name) for p in parts]
            joined[name] = tuple(x for v in values for x in v) if name in ITEM_FIELDS else np.concatenate(values)
        return replace(parts[0], **joined)

    def _parts(self) -> dict[str, Any]:
        """Return everything that has a value for each item."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "mixers"}
        return {n: v for n, v in named.items() if v is not None}

    def save(self, path: Path) -> None:
        """Write one .npz file, whole or not at all."""
        mixers = [[m.layer, m.kind, m.n_heads, m.d_head, m.first] for m in self.mixers]
        header = json.dumps({"mixers": mixers, "nouns": self.nouns, "frames": self.frames})
        arrays = {n: v for n, v in self._parts().items() if n not in ITEM_FIELDS}
        write_npz(path, header=np.array(header), **arrays)

    @classmethod
    def load(cls, path: Path) -> HeadSaliency:
        """Read a file that `save` wrote. Raises BadInputError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                arrays = {n: file[n] for n in file.files if n != "header"}
            mixers = tuple(Mixer(*m) for m in header["mixers"])
            return cls(mixers, tuple(header["nouns"]), tuple(header["frames"]), **arrays)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path}: not a saliency file: {error}") from error

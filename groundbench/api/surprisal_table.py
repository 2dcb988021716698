"""SurprisalTable: the one behavioural object; every behavioural number is a reduction of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundbench.api.testbed import FrameKind

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SurprisalTable:
    """Long rows (frame, env u, target v, surprisal s(v | c_frame(u)) in nats), as integer columns into the names.

    A failed item has a NaN surprisal and is counted, never scored as 0.
    For per-noun frames `frame_nouns[f]` is the index of the frame's own noun; -1 for shared frames.
    """

    form: str
    frame_kind: FrameKind
    nouns: tuple[str, ...]
    categories: tuple[str, ...]
    frames: tuple[str, ...]
    frame_nouns: Ints
    frame: Ints
    env: Ints
    target: Ints
    surprisal: Floats

    @property
    def n_failed(self) -> int:
        """Rows whose surprisal could not be measured."""
        return int(np.isnan(self.surprisal).sum())

    def dense(self) -> Floats:
        """Return S[n, u, v]: frames x nouns shown x targets; NaN where there is no row."""
        v = len(self.nouns)
        s = np.full((len(self.frames), v, v), np.nan)
        s[self.frame, self.env, self.target] = self.surprisal
        return s

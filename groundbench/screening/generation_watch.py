"""The risk of an answer while it is generated: a callback beside `generate` that reads tokens only (protocol §16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from groundbench.api.adapter import Readable
from groundbench.api.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor

    from groundbench.screening.screener import AnswerRisk


class GenerationWatch:
    """Judge the answer so far each time `every` tokens were added; `found` holds the risks, in order.

    It is called by `transformers` as a stopping criterion, after each new token of one row. What it measures are passes
    of its own: the cache and the logits of the generation are not touched.
    """

    def __init__(
        self, judged: Callable[[str], AnswerRisk], adapter: Readable, every: int, stop_above: float | None
    ) -> None:
        if every < 1:
            raise BadInputError(f"every is {every}, expected at least 1 token")
        self.found: list[AnswerRisk] = []
        self.tokens: list[int] = []
        self._judged, self._adapter, self._every, self._stop_above = judged, adapter, every, stop_above
        self._start: int | None = None

    def __call__(self, input_ids: Tensor, scores: object = None, **_: Any) -> Tensor:
        """Return [1] whether generation should stop.

        Raises:
            BadInputError: several rows are generated at once.
        """
        import torch

        if input_ids.shape[0] != 1:
            raise BadInputError(f"{input_ids.shape[0]} rows are generated at once; watch them one by one")
        if self._start is None:
            self._start = input_ids.shape[1] - 1
        new = input_ids[0, self._start :].tolist()
        stop = False
        if len(new) % self._every == 0:
            answer = "".join(self._adapter.token_texts(new)).strip()
            if answer:
                self.found.append(self._judged(answer))
                self.tokens.append(len(new))
                risk = self.found[-1].risk
                stop = self._stop_above is not None and risk is not None and risk > self._stop_above
        return torch.tensor([stop], device=input_ids.device)

"""Equal beginnings are run once, and every row continues from its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from helpers.tiny_models import tiny, word_tokenizer

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.engine.batching import prefill_once


class Counted(HFCausal):
    """An adapter that counts the rows of its prefixes."""

    prefilled = 0

    def prefill(self, rows: Sequence[Encoded], *more: Any, **options: Any) -> Any:
        self.prefilled += len(rows)
        return super().prefill(rows, *more, **options)


def test_equal_beginnings_are_run_once_and_each_row_goes_on_from_its_own() -> None:
    adapter = Counted(tiny("llama"), word_tokenizer(), name="tiny")
    first, second = (3, 4, 5, 6), (3, 4, 7, 6)
    rows = [Encoded((*begin, end)) for begin, end in ((first, 8), (second, 8), (first, 9), (first, 8))]
    adapter.prefilled = 0
    prefix = prefill_once(adapter, [r.upto(4) for r in rows])
    assert adapter.prefilled == 2
    found = adapter.forward([r.after(4) for r in rows], prefix=prefix).logits
    whole = adapter.forward(rows).logits
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))

"""Equal beginnings are run once, and every row continues from its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers.tiny_models import tiny, word_tokenizer

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.engine.batching import prefill_once


class Counted(HFCausal):
    """An adapter that counts the rows of its prefixes."""

    prefilled = 0
    tokens = 0

    def prefill(self, rows: Sequence[Encoded], *more: Any, **options: Any) -> Any:
        self.prefilled += len(rows)
        self.tokens += sum(len(r) - r.start for r in rows)
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


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_what_many_rows_begin_with_is_run_first_and_once(family: str) -> None:
    adapter = Counted(tiny(family), word_tokenizer(), name=family)
    frames = [tuple(range(f, f + 10)) for f in (3, 20)]
    rows = [Encoded((*frames[k % 2], 40 + k, k % 5, 7, 9)) for k in range(16)]
    adapter.tokens = 0
    prefix = prefill_once(adapter, [r.upto(13) for r in rows])
    assert adapter.tokens == 2 * 10 + 16 * 3
    found = adapter.forward([r.after(13) for r in rows], prefix=prefix).logits
    whole = adapter.forward(rows).logits
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
    adapter.tokens = 0
    prefill_once(adapter, [r.upto(13) for r in rows[:4]])
    assert adapter.tokens == 4 * 13  # too few to be worth a pass

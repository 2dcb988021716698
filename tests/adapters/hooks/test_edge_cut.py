"""Edges between tokens taken away in some heads: attention rows are normalised without them, scans lose their flow."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import VOCABULARY, tiny_adapter
from helpers.tolerances import assert_same

from groundbench.api.adapter import EdgeCut, Encoded, HeadEdit
from groundbench.api.errors import UnsupportedModelError

FAMILIES = ("gpt2", "llama", "gemma2", "mistral", "gpt_oss", "deepseek_v3", "mamba2", "bamba", "falcon_h1")
LENGTH = 12
KEYS = (3, 4)


def _cut(n_heads: int, heads: list[int], queries: list[int], rows: int = 1) -> HeadEdit:
    chosen = torch.zeros(rows, n_heads, dtype=torch.bool)
    chosen[-1, heads] = True
    q, k = torch.zeros(1, LENGTH, dtype=torch.bool), torch.zeros(1, LENGTH, dtype=torch.bool)
    q[0, queries], k[0, list(KEYS)] = True, True
    return HeadEdit(torch.ones(1, n_heads), cut=EdgeCut(chosen, q, k))


def _rows(n: int = 2) -> list[Encoded]:
    draw = torch.Generator().manual_seed(0)
    return [Encoded(tuple(torch.randint(2, VOCABULARY, (LENGTH,), generator=draw).tolist())) for _ in range(n)]


@pytest.mark.parametrize("queries", [[LENGTH - 1], [6, 7, 9]])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_row_is_mixed_without_the_cut_tokens(family: str, queries: list[int]) -> None:
    adapter = tiny_adapter(family)
    rows = _rows()
    plain = adapter.forward(rows, trace=True).traces
    start = 0
    for number, trace in enumerate(plain):
        first = start
        start += trace.mixer.n_heads
        cut = adapter.forward(rows, trace=True, edit=_cut(adapter.info.n_heads, [first + 1], queries)).traces[number]
        expected = trace.output.detach().clone()
        for q in queries:
            weights = trace.weights(slice(q, q + 1))[:, :, 0].float()
            edges = torch.zeros(LENGTH)
            edges[list(KEYS)] = 1
            for step in range(1, trace.smear + 1):
                edges[[k + step for k in KEYS if k + step not in queries]] = 1
            flow = torch.einsum("bhk,k,bhkd->bhd", weights, edges[-weights.shape[-1] :], trace.values.float())
            kept = 1 - (weights * edges[-weights.shape[-1] :]).sum(-1, keepdim=True)
            own = trace.output.detach()[:, :, q] - flow
            expected[:, 1, q] = (own if trace.mixer.kind == "ssd" else own / kept)[:, 1]
        gap = (cut.output.detach() - expected).abs().max() / expected.abs().max()
        assert gap < 1e-4, (family, number)


@pytest.mark.parametrize("family", ["llama", "mamba2"])
def test_each_row_of_a_batch_may_cut_in_other_heads(family: str) -> None:
    adapter = tiny_adapter(family)
    rows = _rows()
    both = adapter.forward(rows, edit=_cut(adapter.info.n_heads, [1, 2], [LENGTH - 1], rows=2)).logits
    untouched = adapter.forward(rows[:1]).logits
    alone = adapter.forward(rows[1:], edit=_cut(adapter.info.n_heads, [1, 2], [LENGTH - 1])).logits
    assert_same(both[:1], untouched, depth=64)
    assert_same(both[1:], alone, depth=64)
    assert not torch.allclose(both[1:], adapter.forward(rows[1:]).logits, atol=1e-4)


def test_going_on_from_a_cache_cuts_the_same() -> None:
    adapter = tiny_adapter("llama")
    rows = _rows()
    edit = _cut(adapter.info.n_heads, list(range(adapter.info.n_heads)), [LENGTH - 1])
    whole = adapter.forward(rows, edit=edit).logits
    prefix = adapter.prefill([r.upto(8) for r in rows])
    assert_same(adapter.forward([r.after(8) for r in rows], prefix=prefix, edit=edit).logits, whole, depth=64)


def test_attention_that_a_model_computes_by_itself_is_refused() -> None:
    adapter = tiny_adapter("bloom")
    with pytest.raises(UnsupportedModelError, match="no edge of it can be cut"):
        adapter.forward(_rows(), edit=_cut(adapter.info.n_heads, [1], [LENGTH - 1]))

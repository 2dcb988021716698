"""Passes whose logits nobody reads: hidden states, caches and traces are those of passes with logits."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import FAMILIES, random_items, tiny_adapter
from helpers.tolerances import DEPTH

from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.model_structure import can_skip_logits
from groundbench.api.adapter import HiddenReadable


def _same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    eps = torch.finfo(wanted.dtype).eps * DEPTH
    return torch.allclose(found, wanted, rtol=eps, atol=eps * float(wanted.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_those_of_a_pass_with_logits(family: str) -> None:
    adapter = tiny_adapter(family)
    if "hidden" not in adapter.info.capabilities:
        pytest.skip(adapter.info.why_not("hidden"))
    assert isinstance(adapter, HiddenReadable)
    layers = [1, adapter.info.n_layers]
    rows = [i.row for i in random_items(2)]
    with torch.no_grad():
        wanted = adapter.forward(rows, hidden=layers)
    found = adapter.hidden_states(rows, layers)
    assert all(_same(found[k], wanted.hidden[k]) for k in layers)
    if "prefix" in adapter.info.capabilities:
        prefix, states = adapter.prefill_with_hidden([r.upto(5) for r in rows], layers)
        assert all(_same(states[k], wanted.hidden[k][:, :5]) for k in layers)
        assert prefix.logits.shape == (2, 0 if can_skip_logits(adapter.model) else adapter.info.vocab_size)
        ended = adapter.forward([r.after(5) for r in rows], prefix=prefix.select([0, 1]))
        tolerance = adapter.tolerance * float(wanted.logits.abs().max())
        assert float((ended.logits - wanted.logits).abs().max()) <= tolerance


def test_a_traced_pass_without_logits_has_the_same_gradients() -> None:
    adapter = tiny_adapter("llama")
    rows, last = [i.row for i in random_items(2)], adapter.info.n_layers
    gradients = []
    for out in (adapter.forward_with_mlp(rows, [last], True)[0], adapter.forward(rows, hidden=[last], trace=True)):
        loss = adapter.unembed(out.hidden[last][:, -1], normed=False).log_softmax(-1)[:, 3].sum()
        gradients.append(torch.autograd.grad(loss, [t.site for t in out.traces]))
    assert all(_same(a, b) for a, b in zip(*gradients, strict=True))


def test_an_unembedding_of_its_own_kind_is_always_called() -> None:
    class Quantized(torch.nn.Linear):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            assert states.shape[1], "no rows"
            return super().forward(states)

    adapter = tiny_adapter("llama")
    assert can_skip_logits(adapter.model)
    head = Quantized(32, adapter.info.vocab_size, bias=False)
    head.weight = adapter.model.get_output_embeddings().weight
    adapter.model.set_output_embeddings(head)
    opened = HFCausal(adapter.model, adapter.tokenizer, name="quantized")
    assert not can_skip_logits(opened.model)
    assert opened.hidden_states([random_items(1)[0].row], [1])[1].shape[0] == 1

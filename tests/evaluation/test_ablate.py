"""`ablate`: what the hooks change, that they always go away, and that no cache mixes the two models."""

from __future__ import annotations

import pytest
import torch
from helpers.fake_models import FakeModel
from helpers.small_models import Home, letters_tokenizer, tiny_llama
from helpers.tiny_models import FAMILIES, tiny, word_tokenizer

import groundbench
from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded, HeadEdit
from groundbench.api.errors import BadInputError, StoreMismatchError, UnsupportedModelError
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions


@pytest.fixture
def adapter():
    return tiny_llama()


def hooks_on(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "mamba2", "gptj", "zamba2", "gpt_oss"])
def test_plain_calls_of_the_model_are_edited_as_an_edit_of_the_adapter(family) -> None:
    assert family in FAMILIES
    model = tiny(family)
    held = HFCausal(model, word_tokenizer(), name=family)
    ids = torch.arange(3, 11)[None]
    before, implementation, hooks = model(ids).logits, model.config._attn_implementation, hooks_on(model)
    chosen = [held.info.head_index[0], held.info.head_index[-1]]
    scale = torch.tensor([[0.0 if name in chosen else 1.0 for name in held.info.head_index]])
    row = Encoded(tuple(ids[0].tolist()))
    wanted = held.forward([row], edit=HeadEdit(scale)).logits
    with groundbench.ablate(held, chosen):
        plain = model(ids).logits[:, -1]
        inside = held.forward([row]).logits
        traced = held.forward([row], trace=True).logits.detach()
    largest = wanted.abs().max()
    for found in (plain, inside, traced):
        assert (found - wanted).abs().max() <= 1e-4 * largest
    assert (wanted - before[:, -1]).abs().max() > 1e-3 * largest
    assert torch.equal(model(ids).logits, before)
    assert (model.config._attn_implementation, hooks_on(model)) == (implementation, hooks)


def test_generation_is_edited(adapter) -> None:
    ids = torch.tensor([letters_tokenizer()("Look at the")["input_ids"]])

    def generated() -> torch.Tensor:
        return adapter.model.generate(
            ids, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
        ).logits[-1]

    whole = generated()
    with groundbench.ablate(adapter, adapter.info.head_index):
        none = generated()
    assert not torch.allclose(whole, none)
    assert torch.equal(generated(), whole)


def test_an_error_inside_leaves_the_model_whole(adapter) -> None:
    info, before = adapter.info, groundbench.surprisal(adapter, "Look at the", "cat")
    with pytest.raises(ZeroDivisionError), groundbench.ablate(adapter, [(1, 0)]):
        1 / 0  # noqa: B018
    assert adapter.info == info
    assert groundbench.surprisal(adapter, "Look at the", "cat") == before


def test_a_call_that_breaks_off_does_not_spoil_the_next(adapter) -> None:
    ids = torch.arange(3, 11)[None]
    with groundbench.ablate(adapter, [(2, 1)]):
        wanted = adapter.model(ids).logits
        second = adapter.model.model.layers[1]
        broken = second.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            adapter.model(ids)
        broken.remove()
        assert torch.equal(adapter.model(ids).logits, wanted)


def test_a_run_directory_does_not_take_the_edited_model_for_the_model(adapter, tmp_path) -> None:
    whole = evaluate(adapter, Home(), measures=("gain",), out=tmp_path)
    with groundbench.ablate(adapter, adapter.info.head_index) as cut:
        with pytest.raises(StoreMismatchError):
            evaluate(cut, Home(), measures=("gain",), out=tmp_path)
        other = evaluate(cut, Home(), measures=("gain",))
    assert whole.model.fingerprint != other.model.fingerprint
    assert "heads" in other.model.name
    assert whole.gain.matched != pytest.approx(other.gain.matched, rel=1e-3)


def test_a_model_without_heads_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="fake"), groundbench.ablate(FakeModel(lambda text: 0.0), [(1, 0)]):
        pass


def test_heads_and_ablation_are_measured_in_what_is_left(adapter) -> None:
    with groundbench.ablate(adapter, [(1, 2)]) as cut:
        found = groundbench.heads(cut, "the cat sees the dog", "cat", "cat")
        options = AblationOptions(draws=2, selections=("crossfit",))
        record = evaluate(cut, Home(), measures=("gain", "heads", "ablation"), ablation=options)
    assert found.edge[2] == 0
    assert found.edge.max() > 0
    assert record.heads


@pytest.mark.parametrize("heads", [[(3, 0)], [(0, 0)], [(1, 4)], [(1, -1)]])
def test_heads_that_do_not_exist_are_named(adapter, heads) -> None:
    with (
        pytest.raises(BadInputError, match=f"no head {heads[0][1]} in layer {heads[0][0]}"),
        groundbench.ablate(adapter, heads),
    ):
        pass


def test_blocks_add_up(adapter) -> None:
    def said() -> float:
        return groundbench.surprisal(adapter, "Look at the", "cat")["cat"]

    with groundbench.ablate(adapter, [(1, 0), (2, 1)]):
        both = said()
    with groundbench.ablate(adapter, [(1, 0)]), groundbench.ablate(adapter, [(2, 1)]):
        assert said() == pytest.approx(both, rel=1e-6)

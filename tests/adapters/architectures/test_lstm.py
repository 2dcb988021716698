"""Our LSTM language model: an ordinary transformers model, against torch's own LSTM and its own invariants."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

import groundbench.adapters.architectures  # noqa: F401  registers the architecture
from groundbench.adapters.architectures import LSTMConfig, LSTMForCausalLM


def model(**options: object) -> LSTMForCausalLM:
    torch.manual_seed(0)
    config = LSTMConfig(vocab_size=23, hidden_size=12, num_hidden_layers=3, **options)
    return AutoModelForCausalLM.from_config(config).eval()


IDS = torch.randint(0, 23, (4, 9), generator=torch.Generator().manual_seed(1))


def test_the_plain_model_is_torchs_stacked_lstm() -> None:
    ours = model()
    theirs = nn.LSTM(12, 12, 3, batch_first=True)
    state = {f"{name[:-1]}{i}": p for i, layer in enumerate(ours.model.layers) for name, p in layer.named_parameters()}
    theirs.load_state_dict(state)
    hidden = theirs(ours.model.embed_tokens(IDS))[0]
    torch.testing.assert_close(ours(IDS).logits, hidden @ ours.model.embed_tokens.weight.T)


def test_residual_layers_add_their_input() -> None:
    ours = model(residual=True)
    hidden = ours.model.embed_tokens(IDS)
    for layer in ours.model.layers:
        hidden = hidden + layer(hidden)[0]
    torch.testing.assert_close(ours(IDS).logits, ours.lm_head(hidden))
    assert not torch.allclose(ours(IDS).logits, model()(IDS).logits)


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"tie_word_embeddings": False, "dropout": 0.2}])
def test_a_saved_folder_gives_the_same_model(tmp_path: Path, options: dict[str, object]) -> None:
    ours = model(**options)
    ours.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(again, LSTMForCausalLM)
    assert {name: getattr(again.config, name) for name in options} == options
    assert torch.equal(again(IDS).logits, ours(IDS).logits)
    tied = again.lm_head.weight is again.model.embed_tokens.weight
    assert tied == options.get("tie_word_embeddings", True)


def test_pads_on_the_right_change_nothing_before_them() -> None:
    ours = model()
    mask = torch.ones_like(IDS)
    mask[1, 5:] = 0
    mask[2, 2:] = 0
    padded = torch.where(mask.bool(), IDS, 0)
    with_pads = ours(padded, attention_mask=mask).logits
    whole = ours(IDS).logits
    torch.testing.assert_close(with_pads[mask.bool()], whole[mask.bool()])


@pytest.mark.parametrize("row", [[0, 1, 1], [1, 0, 1]])
def test_pads_elsewhere_are_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="ones, then zeros"):
        model()(IDS[:1, :3], attention_mask=torch.tensor([row]))


def test_a_mask_of_another_shape_and_a_cache_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 5\), expected \(4, 9\)"):
        model()(IDS, attention_mask=torch.ones(4, 5))
    with pytest.raises(ValueError, match="no cache"):
        model()(IDS, use_cache=True)
    with pytest.raises(TypeError):
        model()(IDS, past_key_values=None)


def test_logits_to_keep() -> None:
    ours = model()
    whole = ours(IDS).logits
    assert torch.equal(ours(IDS, logits_to_keep=0).logits, whole)
    torch.testing.assert_close(ours(IDS, logits_to_keep=2).logits, whole[:, -2:])
    torch.testing.assert_close(ours(IDS, logits_to_keep=torch.tensor([0, 4])).logits, whole[:, [0, 4]])


def test_loss_is_the_mean_surprisal_of_the_labels() -> None:
    ours = model()
    labels = IDS.clone()
    labels[0, 4:] = -100
    out = ours(IDS, labels=labels)
    logp = torch.log_softmax(out.logits, -1)
    rows = [-logp[b, t - 1, IDS[b, t]] for b in range(4) for t in range(1, 9) if labels[b, t] != -100]
    torch.testing.assert_close(out.loss, torch.stack(rows).mean())
    with pytest.raises(ValueError, match="logits_to_keep=0"):
        ours(IDS, labels=labels, logits_to_keep=1)


def test_hidden_states_are_the_embeddings_and_every_layer() -> None:
    ours = model()
    assert ours(IDS).hidden_states is None
    states = ours(IDS, output_hidden_states=True).hidden_states
    assert len(states) == 4
    torch.testing.assert_close(states[0], ours.model.embed_tokens(IDS))
    torch.testing.assert_close(ours.lm_head(states[-1]), ours(IDS).logits)


def test_output_as_a_tuple() -> None:
    logits = model()(IDS, return_dict=False)
    assert isinstance(logits, tuple)
    assert torch.equal(logits[0], model()(IDS).logits)


@pytest.mark.parametrize(
    "options", [{"hidden_size": 0}, {"num_hidden_layers": -1}, {"vocab_size": 0}, {"dropout": 1.0}]
)
def test_impossible_shapes_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        AutoConfig.for_model("groundbench_lstm", **options)


def test_the_seed_decides_the_weights() -> None:
    first, second = model(), model()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.model.embed_tokens.weight.std().item() == pytest.approx(1.0, abs=0.15)
    assert model(initializer_range=0.02).model.embed_tokens.weight.std().item() == pytest.approx(0.02, abs=0.003)
    assert model(tie_word_embeddings=False).lm_head.weight.abs().max() <= 12**-0.5
    assert first.model.layers[0].weight_hh_l0.abs().max() <= 12**-0.5
    assert first.model.layers[0].weight_hh_l0.std() > 0.5 * (12 * 3) ** -0.5

"""Interchange and single-head scores against plain hooks and plain autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import transformer_lens_loops as lens_loops
from helpers.tiny_models import VOCABULARY, tiny, tiny_adapter, word_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded, HeadEdit
from groundbench.measures.causal.interchange import Interchange, interchange_heads, share_passes
from groundbench.measures.causal.scores import contrast_scores, exact_scores

FAMILIES = ("gpt2", "llama", "gemma2", "gpt_oss", "bloom", "mamba2", "bamba", "zamba2")
LENGTH, CHANGED = 14, 9


def _interchanges(n: int = 3, seed: int = 0) -> list[Interchange]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        ids = rng.integers(2, VOCABULARY, LENGTH)
        other = ids.copy()
        other[CHANGED] = (ids[CHANGED] + 1 - 2 + rng.integers(0, VOCABULARY - 3)) % (VOCABULARY - 2) + 2
        made.append(Interchange(Encoded(tuple(ids.tolist())), Encoded(tuple(other.tolist())), (5, 7)))
    return made


def _surprisal(logits: torch.Tensor, one: Interchange) -> np.ndarray:
    return -logits.log_softmax(-1)[0, list(one.targets)].double().numpy()


def _one_by_one(adapter: HFCausal, one: Interchange, chosen: np.ndarray) -> np.ndarray:
    """The donor's outputs stored from a traced pass, then replaced in one plain pass of the whole prompt."""
    sites = tuple(t.site.detach().transpose(1, 2) for t in adapter.forward([one.donor], trace=True).traces)
    edit = HeadEdit(torch.tensor(np.where(chosen, 0.0, 1.0), dtype=torch.float32)[None], sites)
    return _surprisal(adapter.forward([one.receiver], edit=edit).logits, one)


@pytest.fixture(scope="module", params=FAMILIES)
def adapter(request: pytest.FixtureRequest) -> HFCausal:
    return tiny_adapter(request.param)


def test_interchange_equals_stored_outputs_put_in_one_at_a_time(adapter: HFCausal) -> None:
    interchanges = _interchanges()
    sets = np.random.default_rng(1).random((5, adapter.info.n_heads)) < 0.3
    found = interchange_heads(adapter, interchanges, sets, batch_tokens=200)
    wanted = np.array([[_one_by_one(adapter, s, chosen) for chosen in sets] for s in interchanges])
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_both_directions_in_one_call_equal_each_alone(adapter: HFCausal) -> None:
    interchanges = _interchanges()
    sets = np.random.default_rng(4).random((9, adapter.info.n_heads)) < 0.5
    sets[:2], sets[2] = False, True
    sets[3], sets[4] = np.arange(adapter.info.n_heads) < 1, np.arange(adapter.info.n_heads) >= 1
    back = np.array([False, True, True, False, True, False, True, False, True])
    found = interchange_heads(adapter, interchanges, sets, back=back, batch_tokens=300)
    turned = [Interchange(s.donor, s.receiver, s.targets) for s in interchanges]
    wanted = np.array(
        [
            [_one_by_one(adapter, t if other else s, chosen) for chosen, other in zip(sets, back, strict=True)]
            for s, t in zip(interchanges, turned, strict=True)
        ]
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(1, 6), min_size=1, max_size=7),
    most=st.integers(1, 8),
)
def test_sets_share_passes_at_the_least_cost(starts: list[int], most: int) -> None:
    """Against every way to cut the sets, in order of their starts, into passes."""

    def cost(groups: list[list[int]]) -> int:
        return sum((6 - min(group) + 1) * (len(group) + 1) for group in groups)

    found = share_passes(starts, 6, most)
    assert sorted(i for group in found for i in group) == list(range(len(starts)))
    assert max(map(len, found)) <= most
    ordered = sorted(starts, reverse=True)
    ways = []
    for mask in range(1 << (len(starts) - 1)):
        ends = [i + 1 for i in range(len(starts) - 1) if mask >> i & 1]
        cut = [ordered[a:b] for a, b in zip([0, *ends], [*ends, len(starts)], strict=True)]
        if max(map(len, cut)) <= most:
            ways.append(cost(cut))
    assert cost([[starts[i] for i in group] for group in found]) == min(ways)


def test_all_heads_from_another_run_give_its_logits_where_the_last_token_is_shared(adapter: HFCausal) -> None:
    """Embeddings and MLPs of a position read that position alone, so nothing of the receiver's own noun is left."""
    interchanges = _interchanges()
    every = np.ones((1, adapter.info.n_heads), dtype=bool)
    found = interchange_heads(adapter, interchanges, every, batch_tokens=512)[:, 0]
    wanted = np.array([_surprisal(adapter.forward([s.donor]).logits, s) for s in interchanges])
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_what_the_prompt_ends_in_stays_the_receivers_own(adapter: HFCausal) -> None:
    one = _interchanges(1)[0]
    ids = (*one.donor.ids[:-1], one.donor.ids[-1] % (VOCABULARY - 3) + 2)
    every = np.ones((1, adapter.info.n_heads), dtype=bool)
    found = interchange_heads(adapter, [Interchange(one.receiver, Encoded(ids), one.targets)], every, batch_tokens=512)[
        0, 0
    ]
    assert np.abs(found - _surprisal(adapter.forward([Encoded(ids)]).logits, one)).max() > 1e-3


def test_equal_prompts_change_nothing(adapter: HFCausal) -> None:
    same = [Interchange(s.receiver, s.receiver, s.targets) for s in _interchanges()]
    sets = np.random.default_rng(2).random((6, adapter.info.n_heads)) < 0.5
    sets[0] = False
    found = interchange_heads(adapter, same, sets, batch_tokens=512)
    assert np.abs(found - found[:, :1]).max() <= 1e-6 * np.abs(found).max()


def test_the_batch_changes_no_number(adapter: HFCausal) -> None:
    interchanges, sets = _interchanges(5), np.random.default_rng(3).random((7, adapter.info.n_heads)) < 0.4
    big, small = (interchange_heads(adapter, interchanges, sets, batch_tokens=b) for b in (4096, 20))
    np.testing.assert_allclose(big, small, atol=1e-5 * np.abs(big).max())


def test_exact_is_one_head_at_a_time(adapter: HFCausal) -> None:
    interchanges = _interchanges(2)
    found = exact_scores(adapter, interchanges, batch_tokens=512)
    n = adapter.info.n_heads
    for s, row in zip(interchanges, found, strict=True):
        before = _one_by_one(adapter, s, np.zeros(n, dtype=bool))[0]
        wanted = np.array([before - _one_by_one(adapter, s, np.arange(n) == h)[0] for h in range(n)])
        np.testing.assert_allclose(row, wanted, atol=2e-4 * np.abs(before))


def _by_hand(adapter: HFCausal, one: Interchange) -> np.ndarray:
    """Finite differences along each head's own difference: the derivative of m at the corrupt run, times it."""
    clean = [t.site.detach().transpose(1, 2).double() for t in adapter.forward([one.donor], trace=True).traces]
    own = [t.site.detach().transpose(1, 2).double() for t in adapter.forward([one.receiver], trace=True).traces]
    n, step = adapter.info.n_heads, 0.03
    found = []
    for h in range(n):
        values = []
        for sign in (1, -1):
            moved = tuple((o + sign * step * (c - o)).float() for o, c in zip(own, clean, strict=True))
            scale = torch.ones(1, n)
            scale[0, h] = 0.0
            values.append(-_surprisal(adapter.forward([one.receiver], edit=HeadEdit(scale, moved)).logits, one)[0])
        found.append((values[0] - values[1]) / (2 * step))
    return np.array(found)


def test_contrast_is_the_slope_towards_the_clean_run(adapter: HFCausal) -> None:
    interchanges = _interchanges(2, seed=4)
    found = contrast_scores(adapter, interchanges, batch_tokens=512)
    wanted = np.array([_by_hand(adapter, s) for s in interchanges])
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


@pytest.mark.parametrize("points", [1, 5])
def test_contrast_ig_is_the_mean_slope_between_the_embeddings(points: int) -> None:
    """EAP-IG's definition by hand on GPT-2: plain autograd through hooks, from the clean embeddings to the corrupt."""
    adapter = tiny_adapter("gpt2")
    interchanges = _interchanges(2, seed=5)
    found = contrast_scores(adapter, interchanges, points=points, batch_tokens=512)
    wanted = np.array([_ig_by_hand(adapter, s, points) for s in interchanges])
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    if points == 1:  # its only point is the corrupt prompt itself
        plain = contrast_scores(adapter, interchanges, batch_tokens=512)
        np.testing.assert_allclose(found, plain, atol=1e-5 * np.abs(plain).max())


def _ig_by_hand(adapter: HFCausal, one: Interchange, points: int) -> np.ndarray:
    model = adapter.model
    blocks = model.transformer.h
    embed = [model.transformer.wte(torch.tensor([r.ids])) for r in (one.donor, one.receiver)]
    heads, width = blocks[0].attn.num_heads, blocks[0].attn.head_dim
    seen: list[torch.Tensor] = []

    def keep(_: object, args: tuple[torch.Tensor, ...]) -> None:
        args[0].retain_grad()
        seen.append(args[0])

    def run(inputs: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        seen.clear()
        logits = model(inputs_embeds=inputs.detach().requires_grad_()).logits[0, -1].float()
        return list(seen), logits.log_softmax(-1)[one.targets[0]]

    handles = [b.attn.c_proj.register_forward_pre_hook(keep) for b in blocks]
    try:
        clean, corrupt = (run(e)[0] for e in embed)
        total = [torch.zeros_like(c) for c in clean]
        for step in range(1, points + 1):
            states, metric = run(embed[0] + step / points * (embed[1] - embed[0]))
            metric.backward()
            total = [a + s.grad / points for a, s in zip(total, states, strict=True)]
    finally:
        for h in handles:
            h.remove()
    parts = [
        ((c - d) * g).detach().view(1, LENGTH, heads, width).sum((0, 1, 3))
        for c, d, g in zip(clean, corrupt, total, strict=True)
    ]
    return torch.cat(parts).double().numpy()


def test_a_row_without_its_donor_is_refused() -> None:
    edit = HeadEdit(torch.ones(3, 4), donors=torch.tensor([0, 0, 2]))
    assert edit.pick([0, 1]).donors.tolist() == [0, 0]
    assert edit.pick([2, 0]).donors.tolist() == [0, 1]
    with pytest.raises(ValueError, match="row 0 gives"):
        edit.pick([1, 2])


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_contrast_and_interchange_equal_transformer_lens(family: str) -> None:
    pytest.importorskip("transformer_lens.model_bridge", reason="transformer_lens is not installed")
    adapter, interchanges = tiny_adapter(family), _interchanges(3)
    theirs, layers = lens_loops.bridged(tiny(family), word_tokenizer(), family), adapter.info.n_layers
    ours, wanted = (
        contrast_scores(adapter, interchanges, batch_tokens=512),
        lens_loops.contrast(theirs, interchanges, layers),
    )
    np.testing.assert_allclose(ours, wanted, atol=1e-4 * np.abs(wanted).max())
    sets = np.random.default_rng(5).random((6, adapter.info.n_heads)) < 0.4
    found = interchange_heads(adapter, interchanges, sets, batch_tokens=512)[..., 0]
    expected = lens_loops.interchanged(theirs, interchanges, sets, layers)
    np.testing.assert_allclose(found, expected, rtol=1e-4)

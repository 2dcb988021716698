"""Every signal of given answers against a value computed by hand or by an independent way."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_adapter
from scipy.spatial.distance import jensenshannon

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import Encoded
from groundbench.screening.answer_pass import run_answer
from groundbench.screening.answer_reading import GivenAnswer, Reading, Wanted, mlp_layers, read_answer
from groundbench.screening.answer_signals import FUNCTIONS, Watched, aggregate, rauq, sink
from groundbench.screening.distributions import contrastive_decoding, divergence, embedding_distance
from groundbench.screening.fitted_signals import RidgeLogistic, lookback, lookback_features, redeep
from groundbench.screening.induction import induction_scores
from groundbench.screening.information_rate import Lens, LensSums
from groundbench.screening.signals import EVERY_SIGNAL, PUBLISHED
from groundbench.screening.splits import Splits

FAMILIES = ("gpt2", "llama", "gemma2", "gpt_neox")
TARGET = (5, 9, 3, 7)


def given(vocabulary: int = 30) -> GivenAnswer:
    ids = tuple(int(x) % vocabulary for x in np.random.default_rng(0).integers(1, vocabulary, 12))
    other = tuple(int(x) % vocabulary for x in np.random.default_rng(1).integers(1, vocabulary, 10))
    return GivenAnswer("here", Encoded(ids, ((3, 8),)), TARGET, Encoded(ids[:3] + ids[8:]), Encoded(other, ((3, 7),)))


def plain_log_p(adapter: HFCausal, row: Encoded) -> torch.Tensor:
    """[T, V] by transformers itself, without any hook of ours."""
    ids = torch.tensor([[*row.ids, *TARGET]])
    with torch.no_grad():
        return adapter.model(ids).logits[0, len(row) - 1 : -1].float().log_softmax(-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_surprisals_distances_and_entropies_are_transformers_own(family: str) -> None:
    adapter, own = tiny_adapter(family), given()
    found = read_answer(adapter, own)
    assert own.without is not None
    assert own.other is not None
    p, blank, lent = (plain_log_p(adapter, r) for r in (own.row, own.without, own.other))
    at = torch.arange(4), torch.tensor(TARGET)
    for values, expected in (
        (found.surprisal, -p[at]),
        (found.without, -blank[at]),
        (found.other, -lent[at]),
        (found.entropy, -(p.exp() * p).sum(-1)),
        (found.contrast, -(2 * p - blank).log_softmax(-1)[at]),
    ):
        assert values is not None
        np.testing.assert_allclose(values, expected.numpy(), rtol=1e-4, atol=1e-5)
    oracle = [jensenshannon(a.exp(), b.exp()) ** 2 for a, b in zip(p, lent, strict=True)]
    assert found.divergence is not None
    np.testing.assert_allclose(found.divergence, oracle, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_attention_and_saliency_are_those_of_eager_attention(family: str) -> None:
    adapter, own = tiny_adapter(family), given()
    found = read_answer(adapter, own)
    ids, n = torch.tensor([[*own.row.ids, *TARGET]]), len(own.row)
    eager = tiny_adapter(family)
    eager.model.set_attn_implementation("eager")
    with torch.no_grad():
        weights = torch.cat([w[0] for w in eager.model(ids, output_attentions=True).attentions])  # [H, T, T]
    rows = weights[:, n - 1 : -1]
    for values, expected in (
        (found.evidence, rows[:, :, 3:8].sum(-1)),
        (found.answer, rows[:, :, n:].sum(-1)),
        (found.first, rows[:, :, 0]),
        (found.previous, torch.stack([weights[:, n + i, n + i - 1] for i in range(4)], 1)),
    ):
        assert values is not None
        np.testing.assert_allclose(values, expected.T.numpy(), rtol=1e-3, atol=1e-5)
    assert found.edge is not None
    assert found.row_sum is not None
    assert found.support is not None
    assert (found.edge <= found.row_sum * 1.0001).all()
    assert (np.abs(found.support) <= found.edge * 1.0001 + 1e-9).all()


def test_the_lens_and_feed_forward_parts_are_the_residuals_own() -> None:
    adapter, own = tiny_adapter("llama"), given()
    found = read_answer(adapter, own)
    ids, n = torch.tensor([[*own.row.ids, *TARGET]]), len(own.row)
    with torch.no_grad():
        base = adapter.model.model
        states = adapter.model(ids, output_hidden_states=True).hidden_states
        head = adapter.model.lm_head
        oracle = []
        for layer in mlp_layers(adapter.info.n_layers):
            block = base.layers[layer - 1]
            position = base.rotary_emb(states[0], torch.arange(ids.shape[1])[None])
            attended = block.self_attn(block.input_layernorm(states[layer - 1]), position_embeddings=position,
                                       attention_mask=torch.full((16, 16), -1e9).triu(1)[None, None])[0]  # fmt: skip
            middle = states[layer - 1] + attended
            after = middle + block.mlp(block.post_attention_layernorm(middle))
            lenses = [head(base.norm(x))[0, n - 1 : -1].log_softmax(-1) for x in (middle, after)]
            oracle.append(divergence(*lenses))
    assert found.parametric is not None
    np.testing.assert_allclose(found.parametric, torch.stack(oracle, 1).numpy(), rtol=5e-3, atol=1e-5)


def test_the_processing_rate_is_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = torch.randn(3, 2, 7, generator=generator).log_softmax(-1)
    target, final = torch.tensor([1, 4]), layers[-1]
    sums = LensSums(final, target)
    for number, lens in enumerate(layers, 1):
        sums.add(number, Lens.of(lens * 1.0 + 3.0))
    for t in range(2):
        p = layers[:, t].exp().double().numpy()
        best = int(p[-1].argmax())
        above = sum(k * (1 - min(p[k - 1][best] / p[-1][best], 1)) for k in (1, 2, 3))
        below = sum(k / -(p[k - 1] * np.log(p[k - 1])).sum() for k in (1, 2, 3))
        expected = above / below * p[-1][int(target[t])] / p[-1][best]
        assert float(sums.rate()[t]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_behind_a_prefix_reads_what_a_whole_pass_reads(family: str) -> None:
    adapter, own = tiny_adapter(family), given()
    with torch.no_grad():  # as inside `generate`
        short = read_answer(adapter, own)
    whole = read_answer(_WithoutCache(adapter), own)  # type: ignore[arg-type]
    passed = run_answer(adapter, own.row, own.target, (adapter.info.n_layers,), trace=True, mlp=False)
    windowed = family == "gemma2"  # its tiny model's window is shorter than the row: the cache may not serve
    assert passed.skipped == (0 if windowed else len(own.row) - 1)
    assert windowed or all(t.output.shape[2] == 1 + len(TARGET) for t in passed.out.traces)
    for f in fields(short):
        found, expected = getattr(short, f.name), getattr(whole, f.name)
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5 * max(1e-2, np.abs(expected).max()))


class _WithoutCache:
    """The same adapter, which shows no prefix' states."""

    def __init__(self, adapter: HFCausal) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> object:
        if name == "prefill_with_hidden":
            raise AttributeError(name)
        return getattr(self._adapter, name)


def test_a_lens_has_the_entropies_and_distances_of_its_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.randn(3, 50, generator=generator) * 4 for _ in range(2))
    left, right = Lens.of(one), Lens.of(two)
    p = one.log_softmax(-1)
    torch.testing.assert_close(left.entropy, -(p.exp() * p).sum(-1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(left.log_p(torch.tensor([0, 7, 49])), p[torch.arange(3), torch.tensor([0, 7, 49])])
    torch.testing.assert_close(left.divergence(right), divergence(p, two.log_softmax(-1)), rtol=1e-4, atol=1e-6)
    assert float(left.divergence(left).max()) < 3 * torch.finfo(p.dtype).eps * float(p.abs().max())


def test_distances_of_equal_and_disjoint_distributions() -> None:
    one = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).clamp_min(1e-12).log()
    two = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).clamp_min(1e-12).log()
    assert float(divergence(one, one)) == pytest.approx(0, abs=1e-7)
    assert float(divergence(one, two)) == pytest.approx(np.log(2), rel=1e-5)
    vectors = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0], [1.0, 1.0]])
    assert float(embedding_distance(one, two, lambda ids: vectors[list(ids)])) == pytest.approx(2.0, rel=1e-4)
    three = torch.tensor([[0.0, 0.0, 1.0, 0.0]]).clamp_min(1e-12).log()  # another token in the same direction
    assert float(embedding_distance(one, three, lambda ids: vectors[list(ids)])) == pytest.approx(0.0, abs=1e-4)
    torch.testing.assert_close(contrastive_decoding(one, one), one, rtol=1e-4, atol=1e-4)


def test_the_distance_of_embeddings_is_the_kernels_own_sum_token_by_token() -> None:
    draw = torch.Generator().manual_seed(0)
    one, two = (3 * torch.randn((2, 5, 300), generator=draw)).log_softmax(-1)
    vectors = torch.randn((300, 16), generator=draw)
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    for found, p, q in zip(embedding_distance(one, two, lambda ids: vectors[list(ids)]), one, two, strict=True):
        difference = torch.zeros(300, dtype=torch.float64)
        for own, sign in ((p, 1.0), (q, -1.0)):
            top = own.double().topk(100)
            difference[top.indices] += sign * top.values.softmax(-1)
        kernel = (unit @ unit.T).double()
        assert float(found) == pytest.approx(float(difference @ kernel @ difference), rel=1e-4)


def reading(tokens: int = 3, heads: int = 4, **changes: object) -> Reading:
    made = Reading(np.array([10, 4, tokens]), np.full(tokens, np.log(2), np.float32), np.ones(tokens, np.float32))
    return replace(made, **changes)  # type: ignore[arg-type]


def watched(adapter: HFCausal | None = None, induction: tuple[int, ...] = ()) -> Watched:
    adapter = adapter or tiny_adapter("gpt2")
    mask = np.zeros(adapter.info.n_heads, dtype=bool)
    on = mask.copy()
    on[list(induction)] = True
    return Watched(adapter.info, mask, on)


def test_rauq_is_its_recursion() -> None:
    own = watched()
    layers = [layer for layer, _ in own.info.head_index]
    previous = np.zeros((3, own.info.n_heads), np.float32)
    previous[:, :] = 0.5
    found = rauq(reading(previous=previous), own)
    c = [0.5]
    for _ in range(2):
        c.append(0.2 * 0.5 + 0.8 * 0.5 * c[-1])
    assert found is not None
    assert layers
    assert float(found[0]) == pytest.approx(-np.log(c).mean())


def test_a_sink_gate_says_nothing_where_it_degenerates() -> None:
    first = np.full((3, watched().info.n_heads), 0.25, np.float32)
    found = sink(reading(first=first), watched(induction=(1,)))
    assert found is not None
    np.testing.assert_allclose(found, 0.25)
    assert sink(reading(first=first), watched()) is None
    assert sink(reading(first=first * 0.0), watched(induction=(1,))) is None


def test_lookback_ratios_are_means_and_undefined_for_the_first_token() -> None:
    evidence, answer = np.full((3, 2), 0.4, np.float32), np.array([[0, 0], [0.1, 0.2], [0.2, 0.4]], np.float32)
    found = lookback_features(reading(evidence=evidence, answer=answer))
    assert found is not None
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], [[0.5, 1 / 3]] * 2, rtol=1e-6)
    assert lookback_features(reading(1, evidence=evidence[:1], answer=answer[:1])) is None


def test_ridge_logistic_is_sklearns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5))
    y = rng.random(80) < 1 / (1 + np.exp(-x[:, 0] * 2))
    ours = RidgeLogistic.fit(x, y).scores(x)
    scaled = (x - x.mean(0)) / x.std(0)
    theirs = linear.LogisticRegression(C=1.0, max_iter=1000, tol=1e-8).fit(scaled, y).decision_function(scaled)
    np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)


def planted(n: int, seed: int, informative: bool) -> tuple[list[Reading | None], np.ndarray, np.ndarray, Splits]:
    """Answers whose wrong ones look less at the evidence (in head 0) and change more in feed-forward part 1."""
    rng = np.random.default_rng(seed)
    error = rng.random(n) < 0.5
    made: list[Reading | None] = []
    for wrong in error:
        shift = 0.3 * informative * wrong
        evidence = rng.uniform(0.3, 0.5, (3, 6)).astype(np.float32)
        evidence[:, 0] -= shift
        external = rng.uniform(0.3, 0.6, (3, 6)).astype(np.float32) - np.float32(shift)
        parametric = rng.uniform(0, 0.2, (3, 4)).astype(np.float32) + np.float32(shift)
        answer = np.full((3, 6), 0.2, np.float32)
        made.append(reading(evidence=evidence, answer=answer, external=external, parametric=parametric))
    order = rng.permutation(n)
    return made, error, np.arange(n), Splits(*np.split(order, [n // 5, 3 * n // 5]))


@pytest.mark.parametrize("fit", [lookback, redeep])
def test_fitted_signals_find_what_is_planted_and_never_score_what_they_were_fitted_on(fit: object) -> None:
    from groundbench.stats.error_ranking import auroc

    def value(informative: bool, seed: int) -> float:
        made, error, group, splits = planted(150, seed, informative)
        scores = fit(made, error, group, splits)  # type: ignore[operator]
        known = [i for i in splits.scored.tolist() if scores[i] is not None]
        assert all(scores[i] is None for i in splits.detect.tolist())
        found = auroc(np.array([np.nanmean(scores[i]) for i in known]), error[known])
        assert found is not None
        return found

    assert value(True, 0) > 0.9
    chance = [value(False, seed) for seed in range(20)]
    assert abs(np.mean(chance) - 0.5) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("fit", [lookback, redeep])
def test_fitted_signals_keep_their_level_under_chance(fit: object) -> None:
    """On `test`, of 200 runs in which labels are a coin, 2 to 8 % call a difference at 5 %."""
    from groundbench.stats.error_ranking import auroc_p

    found = []
    for seed in range(200):
        made, error, group, splits = planted(150, seed, False)
        scores = fit(made, error, group, splits)  # type: ignore[operator]
        known = np.array([i for i in splits.test.tolist() if scores[i] is not None], dtype=np.int64)
        if len(known):
            p = auroc_p(np.array([np.nanmean(scores[i]) for i in known.tolist()]), error[known], group[known])
            found.append(p is not None and p < 0.05)
    assert len(found) > 150
    assert 0.02 <= float(np.mean(found)) <= 0.08


def test_other_labels_of_a_group_do_not_change_its_own_score() -> None:
    """Flipping the label of one answer of `fit` leaves its own score as it was: it was never fitted on."""
    made, error, group, splits = planted(150, 3, True)
    flipped = error.copy()
    one = int(splits.fit[0])
    flipped[one] = ~flipped[one]
    before, after = lookback(made, error, group, splits)[one], lookback(made, flipped, group, splits)[one]
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before, after)


def test_a_mean_a_worst_token_and_a_worst_run() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 5, 0])
    assert aggregate(values) == pytest.approx((15 / 7, 5.0, 3.0))
    assert aggregate(np.array([np.nan, 2.0])) == pytest.approx((2.0, 2.0, 2.0))
    assert np.isnan(aggregate(np.array([np.nan]))).all()


def test_every_published_signal_says_where_it_comes_from_and_has_a_function() -> None:
    from groundbench.screening.fitted_signals import FITTED

    assert {s.name for s in EVERY_SIGNAL} == {*FUNCTIONS, *FITTED}
    for signal in PUBLISHED:
        assert signal.cost
        if signal.role == "signal":
            assert signal.source
            assert signal.formula


def test_induction_heads_of_random_weights_are_none() -> None:
    scores = induction_scores(tiny_adapter("gpt2"))
    assert scores.shape == (tiny_adapter("gpt2").info.n_heads,)
    assert (scores < 0.3).all()


def test_what_is_not_wanted_is_not_read_and_a_saved_reading_is_the_same(tmp_path: object) -> None:
    from pathlib import Path

    bare = read_answer(tiny_adapter("gpt2"), given(), Wanted(*(False,) * 6))
    assert [f.name for f in fields(bare) if getattr(bare, f.name) is not None] == ["size", "surprisal", "entropy"]
    whole = read_answer(tiny_adapter("gpt2"), given())
    path = Path(str(tmp_path)) / "x.npz"
    whole.save(path)
    again = Reading.load(path)
    for f in fields(whole):
        assert (getattr(whole, f.name) is None) == (getattr(again, f.name) is None)
        if getattr(whole, f.name) is not None:
            np.testing.assert_array_equal(getattr(whole, f.name), getattr(again, f.name))

"""The engine's numbers are those of a naive loop, whatever the batches, caches, masks and interruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_models import Home, tiny_gpt2, tiny_llama
from helpers.tolerances import assert_same

from groundbench.api.errors import BadInputError, GroundbenchError, NonFiniteLogitsError, StoreMismatchError
from groundbench.engine.contexts import build_contexts, of_pairs
from groundbench.engine.run_directory import RunStore
from groundbench.engine.scoring import score
from groundbench.measures.ablation.head_edits import EditStyle, constant_edit
from groundbench.measures.gain.measure import measure_gain

BED = Home()
WORD = BED.form("word")


@pytest.fixture(scope="module", params=[tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
def adapter(request):
    return request.param()


@pytest.fixture(scope="module")
def contexts(adapter):
    return build_contexts(adapter, BED, WORD)


@pytest.fixture(scope="module")
def table(adapter, contexts):
    return score(adapter, contexts)


def naive(adapter, prompt, word):
    """-log P(word | prompt) in nats: the whole text in one row, token by token, in double precision."""
    tokenizer, model = adapter.tokenizer, adapter.model
    context = tokenizer(prompt.text)["input_ids"]
    whole = tokenizer(f"{prompt.text} {word}")["input_ids"]
    with torch.no_grad():
        logp = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return -sum(float(logp[i - 1, whole[i]]) for i in range(len(context), len(whole)))


def test_targets_of_several_tokens_are_the_naive_sum(adapter, contexts, table):
    assert contexts[0].targets.longest >= 4
    words = [BED.target(n) for n in contexts.nouns]
    expected = [naive(adapter, c.prompt, words[v]) for c in contexts for v in range(len(words))]
    assert_same(table.surprisal, expected)


@pytest.mark.parametrize("budget", [1, 40, 300, 100_000])
def test_batch_size_changes_nothing(adapter, contexts, table, budget):
    assert_same(score(adapter, contexts, batch_tokens=budget).surprisal, table.surprisal)


@pytest.mark.parametrize("capabilities", [frozenset(), frozenset({"prefix"})])
def test_caches_and_tree_masks_change_nothing(adapter, contexts, table, monkeypatch, capabilities):
    monkeypatch.setattr(adapter, "info", replace(adapter.info, capabilities=capabilities))
    monkeypatch.setattr(adapter, "_tree_works", False)
    assert_same(score(adapter, contexts).surprisal, table.surprisal)


def test_an_env_blind_model_has_a_gain_of_exactly_zero(adapter):
    gain = measure_gain(score(adapter, build_contexts(adapter, BED, BED.form("blank"))))
    assert gain.mean == 0.0
    assert all(n.gain == 0.0 for n in gain.by_noun)


def test_equal_contexts_run_once(adapter, monkeypatch):
    blank = build_contexts(adapter, BED, BED.form("blank"))
    assert len(blank.distinct) == len(blank.frames) < len(blank.rows)


def test_a_sample_of_mismatches_is_part_of_the_whole(adapter, table):
    few = score(adapter, build_contexts(adapter, BED, WORD, mismatches=3, seed=7))
    assert len(few.surprisal) == len(BED.nouns) * 3 * 4
    whole = table.dense()
    assert_same(few.surprisal, whole[few.frame, few.env, few.target])
    again = build_contexts(adapter, BED, WORD, mismatches=3, seed=7)
    assert (again.keep == build_contexts(adapter, BED, WORD, mismatches=3, seed=7).keep).all()


def test_an_edit_for_each_row_equals_a_loop_over_rows(adapter, contexts):
    masks = np.random.default_rng(0).random((len(contexts), adapter.info.n_heads)) < 0.5
    targets = contexts.env
    pairs = of_pairs(contexts, np.arange(len(contexts)), targets)
    for positions in ("all", "last"):
        style = EditStyle(positions=positions)
        together = score(adapter, pairs, edit=constant_edit(masks, style)).surprisal
        for i in range(0, len(masks), 5):
            one = of_pairs(contexts, np.array([i]), targets[i : i + 1])
            alone = score(adapter, one, edit=constant_edit(masks[i], style)).surprisal
            assert_same(alone[0], together[i])


def test_an_edit_does_not_depend_on_the_shared_prefix(adapter, contexts, monkeypatch):
    mask = np.zeros(adapter.info.n_heads, bool)
    mask[[1, 6]] = True
    for positions in ("all", "last"):
        edit = constant_edit(mask, EditStyle(positions=positions))
        shared = score(adapter, contexts, edit=edit).surprisal
        with monkeypatch.context() as patch:
            patch.setattr(adapter, "info", replace(adapter.info, capabilities=adapter.info.capabilities - {"prefix"}))
            patch.setattr("groundbench.engine.batching.MIN_PREFIX", 10_000)
            whole = score(adapter, contexts, edit=edit).surprisal
        if positions == "all":
            assert_same(shared, whole)
        assert np.abs(shared - score(adapter, contexts).surprisal).max() > 1e-3


def test_memory_that_runs_out_halves_the_batch(adapter, contexts, table, tmp_path, monkeypatch):
    forward, prefill, calls = adapter.forward, adapter.prefill, []

    def greedy(run):
        def limited(rows, *args, **kwargs):
            calls.append(len(rows))
            if len(rows) > 2:
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
            return run(rows, *args, **kwargs)

        return limited

    monkeypatch.setattr(adapter, "forward", greedy(forward))
    monkeypatch.setattr(adapter, "prefill", greedy(prefill))
    store = RunStore(tmp_path, {"k": 1})
    got = score(adapter, contexts, store=store)
    assert_same(got.surprisal, table.surprisal)
    assert max(calls) > 2
    assert '"rows"' in (tmp_path / "manifest.json").read_text()


def test_a_context_that_never_fits_is_named(adapter, contexts, monkeypatch):
    def never(*_, **__):
        raise MemoryError

    monkeypatch.setattr(adapter, "forward", never)
    monkeypatch.setattr(adapter, "prefill", never)
    with pytest.raises(GroundbenchError, match=r"frame 'look'.*does not fit into memory"):
        score(adapter, contexts, batch_tokens=1)


def test_another_error_is_not_taken_for_a_lack_of_memory(adapter, contexts, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(adapter, "prefill", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        score(adapter, contexts)


def test_nan_logits_name_the_prompt_and_keep_what_was_done(contexts, tmp_path):
    adapter = tiny_llama()
    store = RunStore(tmp_path, {"k": 1})
    score(adapter, contexts_of(adapter), batch_tokens=200, store=store)
    done = sorted(tmp_path.rglob("*.npy"))
    done[-1].unlink()
    adapter.model.lm_head.weight.data[3] = float("nan")
    with pytest.raises(NonFiniteLogitsError, match=r"frame '\w+' with '\w+' shown as 'word'.*NaN"):
        score(adapter, contexts_of(adapter), batch_tokens=200, store=store)
    assert sorted(tmp_path.rglob("*.npy")) == done[:-1]


def contexts_of(adapter):
    return build_contexts(adapter, BED, WORD)


def test_a_resumed_run_reads_what_is_there_and_ends_with_the_same_numbers(adapter, contexts, tmp_path, monkeypatch):
    store = RunStore(tmp_path, {"k": 1})
    whole = score(adapter, contexts, batch_tokens=200, store=store)
    parts = sorted(tmp_path.rglob("*.npy"))
    assert len(parts) > 3
    parts[1].unlink()
    parts[2].write_bytes(b"half a part")
    ran = []
    prefill = adapter.prefill
    monkeypatch.setattr(adapter, "prefill", lambda rows, *a, **k: ran.append(len(rows)) or prefill(rows, *a, **k))
    again = score(adapter, contexts, batch_tokens=200, store=RunStore(tmp_path, {"k": 1}))
    assert (again.surprisal == whole.surprisal).all()
    assert 0 < len(ran) < len(parts)


def test_another_plan_drops_the_parts(adapter, contexts, tmp_path):
    score(adapter, contexts, batch_tokens=1, store=RunStore(tmp_path, {"k": 1}))
    many = len(list(tmp_path.rglob("*.npy")))
    score(adapter, contexts, batch_tokens=100_000, store=RunStore(tmp_path, {"k": 1}))
    assert 0 < len(list(tmp_path.rglob("*.npy"))) < many


def test_a_run_directory_never_serves_another_model(tmp_path):
    RunStore(tmp_path, {"weights": "aa", "testbed": "home"})
    with pytest.raises(StoreMismatchError, match=r"weights 'aa'.*'bb'.*--force"):
        RunStore(tmp_path, {"weights": "bb", "testbed": "home"})


def test_a_manifest_that_is_none_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(BadInputError, match=r"manifest\.json: not a manifest"):
        RunStore(tmp_path, {"k": 1})


def test_a_prompt_is_never_truncated():
    adapter = tiny_gpt2(positions=24)
    with pytest.raises(BadInputError, match="do not fit tiny-gpt2's context of 24"):
        build_contexts(adapter, BED, WORD)


def test_too_few_nouns(adapter):
    with pytest.raises(BadInputError, match="1 nouns are left, at least 2"):
        build_contexts(adapter, BED, WORD, nouns=["cat"])

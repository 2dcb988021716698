"""Models whose attention changes at some length: below it, at it and beyond it every number is that of a whole pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import EXPERTS, GQA, LLAMA_LIKE, SPECIAL, WINDOW, random_items, tiny, word_tokenizer
from torch import nn

from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.length_checks import find_lengths
from groundbench.api.adapter import Encoded, HeadEdit
from groundbench.api.testbed import Prompt, TextSegment
from groundbench.api.trials import Trial, run_each
from groundbench.engine.contexts import of_prompts
from groundbench.engine.scoring import surprisals
from groundbench.engine.trials import encode_untried, try_at_length
from groundbench.measures.heads.saliency import SaliencyOptions, measure_saliency

LIMIT = 12
MIXED = [WINDOW, "full_attention", WINDOW]
WIDE = dict(**GQA, **SPECIAL, head_dim=8)
CHANGING = {
    "mistral": dict(**GQA, sliding_window=LIMIT),
    "mixtral": dict(**GQA, sliding_window=LIMIT, num_local_experts=4, num_experts_per_tok=2),
    "starcoder2": dict(**GQA, **SPECIAL, sliding_window=LIMIT),
    "gemma2": dict(**WIDE, sliding_window=LIMIT),
    "gemma3_text": dict(**WIDE, sliding_window=LIMIT, layer_types=MIXED),
    "olmo3": dict(**GQA, **SPECIAL, sliding_window=LIMIT, layer_types=MIXED),
    "cohere2": dict(**WIDE, sliding_window=LIMIT, layer_types=MIXED),
    "ministral": dict(**WIDE, sliding_window=LIMIT, layer_types=MIXED),
    "exaone4": dict(**GQA, **SPECIAL, sliding_window=LIMIT, layer_types=MIXED),
    "phimoe": dict(**GQA, **SPECIAL, sliding_window=LIMIT, num_local_experts=4, num_experts_per_tok=2),
    "afmoe": dict(**WIDE, **EXPERTS, num_dense_layers=1, sliding_window=LIMIT, layer_types=MIXED),
    "modernbert-decoder": dict(**LLAMA_LIKE, **SPECIAL, local_attention=LIMIT, global_attn_every_n_layers=2),
    "gpt_oss": dict(
        **GQA, head_dim=8, sliding_window=LIMIT, num_local_experts=2, num_experts_per_tok=1, pad_token_id=0,
        eos_token_id=0,
    ),
    "gpt_neo": {
        "vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": LIMIT,
        "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64, "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama4_text": dict(
        **WIDE, attention_chunk_size=LIMIT, num_local_experts=2, num_experts_per_tok=1, intermediate_size_mlp=48,
        no_rope_layers=[1, 0, 1],
    ),
    "phi3": dict(
        **GQA, pad_token_id=0, original_max_position_embeddings=LIMIT, max_position_embeddings=128,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
            "factor": 8.0, "original_max_position_embeddings": LIMIT,
        },
    ),
    "doge": dict(**GQA, **SPECIAL, keep_window_size=LIMIT),
    "deepseek_v32": dict(
        **LLAMA_LIKE, **SPECIAL, num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8,
        qk_nope_head_dim=8, v_head_dim=12, n_routed_experts=2, num_experts_per_tok=1, n_group=1, topk_group=1,
        first_k_dense_replace=3, index_topk=LIMIT, index_n_heads=2, index_head_dim=16,
    ),
    "gemma3n_text": dict(
        **WIDE, sliding_window=LIMIT, layer_types=MIXED, hidden_size_per_layer_input=8, vocab_size_per_layer_input=64,
        num_kv_shared_layers=0, laurel_rank=8, altup_num_inputs=2, activation_sparsity_pattern=[0.0] * 3,
    ),
    "gemma4_text": dict(
        **WIDE, sliding_window=LIMIT, layer_types=MIXED, hidden_size_per_layer_input=8, vocab_size_per_layer_input=64,
        num_kv_shared_layers=0, global_head_dim=8,
    ),
    "recurrent_gemma": dict(**WIDE, lru_width=32, attention_window_size=LIMIT),
    "granitemoehybrid": dict(
        **GQA, **SPECIAL, layer_types=["mamba", "attention", "mamba"], mamba_n_heads=8, mamba_d_head=8,
        mamba_d_state=16, mamba_chunk_size=LIMIT, num_local_experts=2, num_experts_per_tok=1,
        shared_intermediate_size=16,
    ),
}  # fmt: skip
LENGTHS = (LIMIT - 4, LIMIT - 2, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT + 2)
TARGETS = ((5, 9, 14, 7), (5, 9, 8, 8), (20,))
QUICK = ("mistral", "gemma3_text", "doge", "recurrent_gemma")
"""One of each kind: one window, windows in some layers, a top-k, no cache that serves. The others are slow."""
ALL = [f if f in QUICK else pytest.param(f, marks=[pytest.mark.slow, pytest.mark.exhaustive]) for f in CHANGING]
RELATIVE = 2e-6
"""Of the largest surprisal: a few roundings of logits in fp32."""


@pytest.fixture(scope="module")
def opened() -> dict[str, HFCausal]:
    """Models opened so far, by family."""
    return {}


def adapter_of(family: str, opened: dict[str, HFCausal]) -> HFCausal:
    if family not in opened:
        opened[family] = HFCausal(tiny(family, config=CHANGING[family]), word_tokenizer(), name=family)
    return opened[family]


def row_of(length: int, start: int = 0) -> tuple[int, ...]:
    """A prompt with tokens that come again, as words do."""
    return tuple(3 + (5 * i + i * i // 3 + start) % 23 for i in range(length))


def engine(adapter: HFCausal, rows: list[tuple[int, ...]], edit: HeadEdit | None = None) -> np.ndarray:
    prompts = [Prompt("f", str(i), "word", (TextSegment("x"),)) for i in range(len(rows))]
    found = surprisals(
        adapter, of_prompts(prompts, [Encoded(r) for r in rows], [TARGETS] * len(rows), ["f"] * len(rows)), edit=edit
    )
    return np.stack([found[i] for i in range(len(rows))])


def whole_pass(model: nn.Module, row: tuple[int, ...]) -> list[float]:
    """-log P of each target (nats), from one uncached pass over prompt and target without its last token, in doubles.

    What comes later may change what was read before: a top-k is of all keys of a pass.
    """
    expected = []
    for target in TARGETS:
        ids = row + target[:-1]
        with torch.no_grad():
            logp = model(torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)
        expected.append(-sum(float(logp[len(row) - 1 + i, t]) for i, t in enumerate(target)))
    return expected


@pytest.mark.parametrize("family", ALL)
def test_targets_of_several_tokens_and_shared_prefixes(family, opened):
    adapter = adapter_of(family, opened)
    for length in LENGTHS:
        rows = [(*row_of(length - 2), i, 3) for i in (4, 30)]  # all but two tokens in common
        expected = np.array([whole_pass(adapter.model, row) for row in rows])
        gap = np.abs(engine(adapter, rows) - expected).max() / expected.max()
        assert gap < RELATIVE, f"a prompt of {length}: off by {gap:.1e} of the largest"


def test_the_lengths_that_a_config_names_are_found():
    for family, config in CHANGING.items():
        assert LIMIT in find_lengths(tiny(family, config=config)), family
    assert find_lengths(tiny("llama")) == ()
    assert 6 not in find_lengths(tiny("gemma3_text", config=CHANGING["gemma3_text"]))  # its pattern of layers


@pytest.mark.parametrize(
    "family",
    ["doge", *(pytest.param(f, marks=[pytest.mark.slow, pytest.mark.exhaustive]) for f in ("deepseek_v32", "phi3"))],
)
def test_a_cache_that_fails_beyond_a_length_is_used_below_it_only(family, opened):
    adapter = adapter_of(family, opened)
    assert adapter.info.cached_up_to == LIMIT - 1
    assert "going on from its cache" in adapter.info.cached_why
    prefix = adapter.prefill([Encoded(row_of(LIMIT + 3))])
    logits = adapter.forward([Encoded(row_of(LIMIT + 4), start=LIMIT + 3)], prefix=prefix.select([0])).logits
    with torch.no_grad():
        whole = adapter.model(torch.tensor([row_of(LIMIT + 4)]), use_cache=False).logits[:, -1]
    assert (logits - whole).abs().max() < RELATIVE * whole.abs().max() * 10


@pytest.mark.parametrize("family", ["mistral", "doge"])
def test_a_pass_from_given_embeddings_is_that_of_their_tokens(family, opened):
    adapter = adapter_of(family, opened)
    for length in (LIMIT - 4, 2 * LIMIT + 2):
        rows = [Encoded(row_of(length, n)) for n in (0, 3)]
        prefix = adapter.prefill([row.upto(length - 2) for row in rows])
        new = [row.after(length - 2) for row in rows]
        read = adapter.forward(new, prefix=prefix, hidden=[0], trace=True)
        found = adapter.forward_from(new, read.hidden[0].detach(), prefix=prefix)
        assert (found.logits - read.logits).abs().max() < RELATIVE * read.logits.abs().max()
        assert [t.site.shape for t in found.traces] == [t.site.shape for t in read.traces]


@pytest.mark.parametrize("family", ALL)
def test_rows_of_saliency_on_a_cache_are_those_of_the_whole(family, opened):
    adapter = adapter_of(family, opened)
    if "hooks" not in adapter.info.capabilities:
        pytest.skip(adapter.info.why_not("hooks"))
    for length in (LIMIT - 2, LIMIT + 2):
        items = [replace(i, row=Encoded(row_of(length, n), env=((2, 4),))) for n, i in enumerate(random_items(2))]
        row = measure_saliency(adapter, items, SaliencyOptions("row"))
        whole = measure_saliency(adapter, items, SaliencyOptions("total"))
        for name in ("row_sum", "edge", "signed_row", "layer_row"):
            found, wanted = getattr(row, name), getattr(whole, name)
            assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max(), (name, length)


@pytest.mark.parametrize("positions", ["all", "last"])
@pytest.mark.parametrize(
    "family",
    [
        "mistral",
        *(pytest.param(f, marks=[pytest.mark.slow, pytest.mark.exhaustive]) for f in ("gemma3_text", "doge", "phi3")),
    ],
)
def test_cut_heads_with_targets_of_several_tokens(family, positions, opened):
    adapter = adapter_of(family, opened)
    scale = torch.ones(1, adapter.info.n_heads)
    scale[0, ::3] = 0.0
    edit = HeadEdit(scale, None, positions)
    for length in (LIMIT - 3, LIMIT + 2):
        row = row_of(length)
        with cut_by_hand(adapter, scale[0], 0 if positions == "all" else length - 1):
            expected = np.array(whole_pass(adapter.model, row))
        assert np.abs(engine(adapter, [row], edit)[0] - expected).max() < 5 * RELATIVE * expected.max()


class cut_by_hand:
    """Heads set to 0 at the input of the output projections, from a position on, by hooks of this test's own."""

    def __init__(self, adapter: HFCausal, scale: torch.Tensor, first: int) -> None:
        self.scale, self.first = scale, first
        names = ("o_proj", "c_proj", "out_proj", "dense", "Wo")
        modules = [m for m in adapter.model.modules() if "Attention" in type(m).__name__]
        self.projections = [next(getattr(m, n) for n in names if hasattr(m, n)) for m in modules]

    def __enter__(self) -> None:
        per = len(self.scale) // len(self.projections)
        self.handles = [
            p.register_forward_pre_hook(self.hook(self.scale[i * per : (i + 1) * per]))
            for i, p in enumerate(self.projections)
        ]

    def hook(self, scale: torch.Tensor):
        def before(_, args):
            heads = args[0].unflatten(-1, (len(scale), -1)).clone()
            heads[:, self.first :] *= scale[:, None]
            return (heads.flatten(-2), *args[1:])

        return before

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def test_a_longer_prompt_than_any_before_is_tried_at_its_length(opened):
    adapter = HFCausal(tiny("llama"), word_tokenizer(), name="llama")
    assert adapter.reach.tried < 40
    adapter.encode([Prompt("f", "x", "word", (TextSegment(" ".join(["w3"] * 40)),))])
    assert adapter.reach.tried >= 40
    assert adapter.info.cached_up_to is None


def longer(adapter: HFCausal, failing: dict[str, str]) -> list[str]:
    """Try rows of 40 tokens where some trials fail; returns the abilities that were tried."""
    tried = []

    def each(trials: Sequence[Trial]) -> list[str | None]:
        tried.extend(t.ability for t in trials)
        return [failing.get(t.ability) for t in trials]

    adapter.try_at(40, each)
    return tried


def test_a_trial_says_nothing_where_what_it_relies_on_fails():
    adapter = HFCausal(tiny("llama"), word_tokenizer(), name="llama")
    held = adapter.reach.tried
    why = "differs"
    assert set(longer(adapter, dict.fromkeys(("prefix", "start_behind_cache", "trace"), why))) == {
        *("prefix", "hidden", "start_at_layer", "start_behind_cache", "hooks", "trace")
    }
    assert adapter.info.cached_up_to == held
    assert adapter.info.cached_why == why
    assert {"hidden", "hooks", "start_at_layer"} <= adapter.info.capabilities


@pytest.mark.parametrize("ability", ["hidden", "hooks", "start_at_layer", "start_behind_cache"])
def test_a_capability_that_fails_at_a_length_is_lost_with_the_reason(ability):
    adapter = HFCausal(tiny("llama"), word_tokenizer(), name="llama")
    lost = "start_at_layer" if ability == "start_behind_cache" else ability
    before = adapter.trial_findings()
    longer(adapter, {ability: "differs"})
    assert lost not in adapter.info.capabilities
    assert adapter.info.why_not(lost).endswith("tokens differs")
    assert adapter.info.cached_up_to is None
    assert adapter.trial_findings() != before


def test_the_prediction_row_is_read_whole_beyond_a_length_at_which_its_trial_fails():
    adapter = HFCausal(tiny("llama"), word_tokenizer(), name="llama")
    held = adapter.reach.tried
    longer(adapter, {"trace": "differs"})
    assert adapter.reach.traced == held < adapter.reach.cached
    assert "hooks" in adapter.info.capabilities


def test_what_relies_on_a_failed_trial_is_not_run():
    ran = []

    def trial(name: str, why: str | None, *on: str) -> Trial:
        return Trial(name, lambda: (ran.append(name), why)[1], 1, frozenset(on))

    trials = [trial("prefix", "differs"), trial("hooks", None), trial("trace", "fails", "prefix", "hooks")]
    assert run_each(trials) == ["differs", None, None]
    assert ran == ["prefix", "hooks"]


def test_trials_are_held_inside_a_block_and_the_encoding_is_that_of_the_adapter():
    class Doubled(HFCausal):
        def encode(self, prompts):
            return [replace(row, ids=row.ids * 2) for row in super().encode(prompts)]

    adapter = Doubled(tiny("llama"), word_tokenizer(), name="llama")
    held = adapter.reach.tried
    prompts = [Prompt("f", "x", "word", (TextSegment(" ".join(["w3"] * 40)),))]
    (row,) = encode_untried(adapter, prompts)
    assert len(row) == 80
    assert adapter.reach.tried == held
    try_at_length(adapter, len(row))
    assert adapter.reach.tried >= 80
    before = adapter.reach.tried
    adapter.encode([replace(prompts[0], segments=prompts[0].segments * 3)])
    assert adapter.reach.tried > before

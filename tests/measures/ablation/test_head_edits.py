"""Head edits: against a loop, against zeroed weights, against TransformerLens; positions, replacements, prefixes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import BY_ITSELF, INTERFACE, SSD, random_items, tiny, tiny_adapter, word_tokenizer
from helpers.tolerances import assert_same

from groundbench.adapters.model_structure import layer_list
from groundbench.api.adapter import HeadEdit

EVERY = INTERFACE + BY_ITSELF + SSD
# Where one head's slice of the projection back into the residual stream is, and whether it is stored transposed.
PROJECTIONS = {
    "gpt2": "attn.c_proj",
    "llama": "self_attn.o_proj",
    "gemma2": "self_attn.o_proj",
    "mamba2": "mixer.out_proj",
}


def rows_of(n, length=9):
    return [item.row for item in random_items(n, length)]


@pytest.mark.parametrize("family", EVERY)
def test_another_head_in_each_row_equals_a_loop(family):
    adapter = tiny_adapter(family)
    heads = adapter.info.n_heads
    rows = rows_of(1) * heads
    scale = 1 - torch.eye(heads)
    together = adapter.forward(rows, edit=HeadEdit(scale)).logits
    one_by_one = torch.cat([adapter.forward(rows[:1], edit=HeadEdit(scale[h : h + 1])).logits for h in range(heads)])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=2e-6 * float(one_by_one.abs().max()))
    untouched = adapter.forward(rows[:1]).logits
    assert ((together - untouched).abs().amax(1) > 0).sum() > heads / 2  # the edits do something


@pytest.mark.parametrize("family", PROJECTIONS)
def test_zeroing_a_head_equals_zeroing_its_slice_of_the_projection(family):
    adapter, other = tiny_adapter(family), tiny_adapter(family)
    rows = rows_of(3)
    for column, (layer, head) in enumerate(adapter.info.head_index):
        scale = torch.ones(1, adapter.info.n_heads)
        scale[0, column] = 0.0
        ablated = adapter.forward(rows, edit=HeadEdit(scale)).logits
        weight = layer_list(other.model)[layer - 1].get_submodule(PROJECTIONS[family]).weight.data
        width = other.info.mixers[layer - 1].d_head
        own = (weight if family == "gpt2" else weight.T)[head * width : (head + 1) * width]
        kept = own.clone()
        own.zero_()
        assert (other.forward(rows).logits - ablated).abs().max() <= 1e-6 * ablated.abs().max()
        own.copy_(kept)


@pytest.mark.parametrize("family", EVERY)
def test_an_edit_that_changes_nothing_changes_nothing(family):
    adapter = tiny_adapter(family)
    rows = rows_of(2)
    same = adapter.forward(rows, edit=HeadEdit(torch.ones(2, adapter.info.n_heads))).logits
    assert_same(same, adapter.forward(rows).logits, depth=64)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba2", "falcon_h1", "bloom"])
def test_replacing_every_head_by_its_own_output_changes_nothing(family):
    adapter = tiny_adapter(family)
    rows = rows_of(2)
    traced = adapter.forward(rows, trace=True)
    own = tuple(t.site.transpose(1, 2) for t in traced.traces)
    edit = HeadEdit(torch.zeros(1, adapter.info.n_heads), own)
    assert_same(adapter.forward(rows, edit=edit).logits, traced.logits.detach(), depth=64)


@pytest.mark.parametrize("family", ["gpt2", "mamba2"])
def test_replacing_every_head_at_the_end_by_another_prompts_gives_a_mixture(family):
    adapter = tiny_adapter(family)
    one, other = rows_of(2)
    sites = tuple(t.site.transpose(1, 2) for t in adapter.forward([other], trace=True).traces)
    scale = torch.zeros(1, adapter.info.n_heads)
    whole = adapter.forward([one], edit=HeadEdit(scale, sites, "last")).logits
    at_end = adapter.forward([one], edit=HeadEdit(scale, tuple(s[:, -1:] for s in sites), "last")).logits
    torch.testing.assert_close(whole, at_end)
    # The last token's own embedding stays, everything mixed in comes from the other prompt.
    hybrid = replace(other, ids=(*other.ids[:-1], one.ids[-1]))
    assert (whole - adapter.forward([one]).logits).abs().max() > 1e-3
    assert (whole - adapter.forward([hybrid]).logits).abs().max() > 0


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "mamba2"])
def test_last_position_edits_leave_the_other_positions_alone(family):
    adapter = tiny_adapter(family)
    rows = rows_of(2)
    layers = range(adapter.info.n_layers)
    edit = HeadEdit(torch.zeros(1, adapter.info.n_heads), positions="last")
    edited, plain = (adapter.forward(rows, edit=e, hidden=layers).hidden for e in (edit, None))
    for layer in layers:
        assert_same(edited[layer][:, :-1], plain[layer][:, :-1])
    assert (edited[layers[-1]][:, -1] - plain[layers[-1]][:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_oss", "mamba2", "falcon_h1", "bloom"])
def test_edits_go_on_from_a_prefix_made_under_them(family):
    adapter = tiny_adapter(family)
    if "prefix" not in adapter.info.capabilities:
        pytest.skip(f"{family} has no cache to go on from")
    rows = rows_of(3)
    scale = torch.rand(3, adapter.info.n_heads, generator=torch.Generator().manual_seed(1))
    for cut in (5, 8):
        short = [replace(r, ids=r.ids[:cut]) for r in rows]
        prefix = adapter.prefill(short, HeadEdit(scale))
        again = adapter.forward([r.after(cut) for r in rows], prefix=prefix, edit=HeadEdit(scale)).logits
        whole = adapter.forward(rows, edit=HeadEdit(scale)).logits
        torch.testing.assert_close(again, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
        # At the last position only, the prefix of the untouched model serves.
        last = HeadEdit(scale, positions="last")
        again = adapter.forward([r.after(cut) for r in rows], prefix=adapter.prefill(short), edit=last).logits
        whole = adapter.forward(rows, edit=last).logits
        torch.testing.assert_close(again, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("family", ["llama", "mistral", "mamba2", "falcon_h1"])
def test_replacements_by_position_and_by_role_count_the_prefix(family):
    adapter = tiny_adapter(family)
    rows = rows_of(2)
    sites = [t.site.transpose(1, 2) for t in adapter.forward(rows, trace=True).traces]
    shuffled = tuple(s.roll(3, 1).flip(0) for s in sites)
    scale = torch.rand(1, adapter.info.n_heads, generator=torch.Generator().manual_seed(1))
    roles = torch.arange(9)[None].expand(2, -1)  # position p takes replacement p: the same edit, said by roles
    whole = adapter.forward(rows, edit=HeadEdit(scale, shuffled)).logits
    by_role = HeadEdit(scale, shuffled, roles=roles)
    torch.testing.assert_close(adapter.forward(rows, edit=by_role).logits, whole)
    for cut in (5, 8):
        prefix = adapter.prefill([replace(r, ids=r.ids[:cut]) for r in rows], by_role)
        again = adapter.forward([r.after(cut) for r in rows], prefix=prefix, edit=by_role).logits
        torch.testing.assert_close(again, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_the_rows_of_an_edit_follow_a_halved_batch():
    adapter = tiny_adapter("llama")
    rows = rows_of(4)
    sites = tuple(t.site.transpose(1, 2) for t in adapter.forward(rows, trace=True).traces)
    edit = HeadEdit(torch.rand(4, adapter.info.n_heads), tuple(s.flip(0) for s in sites))
    whole = adapter.forward(rows, edit=edit).logits
    halves = [adapter.forward(rows[s], edit=edit.rows(s)).logits for s in (slice(0, 2), slice(2, 4))]
    assert_same(whole, torch.cat(halves), depth=64)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (HeadEdit(torch.ones(1, 5)), r"shape \(1, 5\), expected \[rows, 12\]"),
        (HeadEdit(torch.zeros(2, 12)), "2 rows, expected 1 or the batch's 3"),
        (HeadEdit(torch.zeros(1, 12), (torch.zeros(1, 1, 4, 8),)), "replaces 1 mixers, expected 3"),
        (HeadEdit(torch.zeros(1, 12), (torch.zeros(1, 4, 4, 8),) * 3), "covers 4 positions, expected 1 or 9"),
    ],
)
def test_an_edit_of_another_shape_is_refused(edit, message):
    with pytest.raises(ValueError, match=message):
        tiny_adapter("gpt2").forward(rows_of(3), edit=edit)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_zero_ablation_equals_transformer_lens(family):
    bridge = pytest.importorskip("transformer_lens.model_bridge", reason="transformer_lens is not installed")
    adapter, model = tiny_adapter(family), tiny(family)
    model.config.architectures = [type(model).__name__]
    theirs = bridge.TransformerBridge.boot_transformers(family, hf_model=model, tokenizer=word_tokenizer())
    rows = rows_of(2)
    ids = torch.tensor([r.ids for r in rows])
    for column, (layer, head) in enumerate(adapter.info.head_index):
        scale = torch.ones(1, adapter.info.n_heads)
        scale[0, column] = 0.0

        def zero(z, hook, head=head):
            z = z.clone()
            z[:, :, head] = 0.0
            return z

        with torch.no_grad():
            expected = theirs.run_with_hooks(ids, fwd_hooks=[(f"blocks.{layer - 1}.attn.hook_z", zero)])[:, -1]
        ours = adapter.forward(rows, edit=HeadEdit(scale)).logits
        assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (ours - adapter.forward(rows).logits).abs().max() > 1e-3

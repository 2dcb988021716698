"""The room that a context and all tokens of a target need, whether or not the model would crash beyond it."""

from __future__ import annotations

import pytest
from helpers.small_models import Home, tiny_gpt2, tiny_llama

from groundbench.adapters.huggingface import HFCausal
from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score

BED = Home()
FORM = BED.form("word")


def with_room(adapter: HFCausal, positions: int) -> HFCausal:
    """The same weights in a model whose config gives it so many positions."""
    adapter.model.config.max_position_embeddings = positions
    return HFCausal(adapter.model, adapter.tokenizer, name=adapter.info.name)


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_all_tokens_of_a_target_must_fit(make):
    whole = build_contexts(make(), BED, FORM)
    needed = max(len(c.row) + c.targets.longest for c in whole)
    one_token = max(map(len, whole.rows)) + 1
    assert needed > one_token
    table = score(with_room(make(), needed), build_contexts(with_room(make(), needed), BED, FORM))
    assert (table.surprisal == score(make(), whole).surprisal).all()
    for positions in range(one_token, needed):
        tight = with_room(make(), positions)
        with pytest.raises(BadInputError, match=f"of the longest target do not fit .* context of {positions}"):
            build_contexts(tight, BED, FORM)
        with pytest.raises(BadInputError, match="of the longest target do not fit"):
            score(tight, whole)

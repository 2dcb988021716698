"""Items scored again are the items of the table, whatever their order; other weights give other numbers."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_models import Home, tiny_llama
from helpers.tolerances import nats

from groundbench.api.errors import BadInputError
from groundbench.engine.contexts import build_contexts
from groundbench.engine.rescore import score_items
from groundbench.engine.scoring import score

BED = Home()


def test_a_sample_scored_again_is_the_table():
    adapter = tiny_llama()
    table = score(adapter, build_contexts(adapter, BED, BED.form("word")))
    picked = np.random.default_rng(0).permutation(len(table.surprisal))[:25]
    items = [(table.frames[table.frame[i]], table.nouns[table.env[i]], table.nouns[table.target[i]]) for i in picked]
    again = score_items(adapter, BED, "word", items)
    assert again == nats(table.surprisal[picked].tolist())
    other = score_items(tiny_llama(seed=1), BED, "word", items)
    assert max(abs(a - b) for a, b in zip(again, other, strict=True)) > 0.01
    assert score_items(adapter, BED, "word", []) == []


@pytest.mark.parametrize("item", [("nowhere", "cat", "dog"), ("look", "unicorn", "dog"), ("look", "cat", "unicorn")])
def test_an_item_the_testbed_does_not_have_is_refused(item):
    with pytest.raises(BadInputError, match="has no item"):
        score_items(tiny_llama(), BED, "word", [item])

"""Our surprisals are lm-evaluation-harness' log-likelihoods (oracle)."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from helpers.small_models import Home, tiny_gpt2, tiny_llama
from helpers.tolerances import assert_same

from groundbench.engine.contexts import build_contexts
from groundbench.engine.scoring import score

BED = Home()


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_hflm_gives_the_same_numbers(make):
    huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval is not installed")
    from lm_eval.api.instance import Instance

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    adapter = make()
    contexts = build_contexts(adapter, BED, BED.form("word"))
    lm = huggingface.HFLM(pretrained=adapter.model, tokenizer=adapter.tokenizer, batch_size=8, device="cpu")
    words = [BED.target(n) for n in contexts.nouns]
    prompts = [c.prompt for c in contexts]
    requests = [Instance("loglikelihood", {}, (p.text, p.join + w), 0) for p in prompts for w in words]
    theirs = np.array([-a for a, _ in lm.loglikelihood(requests, disable_tqdm=True)])
    assert_same(score(adapter, contexts).surprisal, theirs, depth=64)

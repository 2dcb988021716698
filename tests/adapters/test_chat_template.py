"""Prompts in a chat template: what stands before them changes, prompts, ENV spans and targets do not."""

from __future__ import annotations

from datetime import datetime

import pytest
import torch
from helpers.small_models import Home, letters_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import chat_template_utils

from groundbench.adapters.chat_template import REQUEST
from groundbench.adapters.huggingface import HFCausal
from groundbench.adapters.tokenization import PromptEncoder
from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.evaluation.evaluate import evaluate, run_key
from groundbench.evaluation.options import Options

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
WITH_BOS = "{{ bos_token }}" + TEMPLATE
OPENING = f"[user] {REQUEST}\n[assistant] "
BED = Home()
FORM = BED.form("word")
PROMPTS = [BED.prompt(f, n, FORM) for f in BED.frames(FORM) for n in BED.nouns]


def tokenizer(template=TEMPLATE):
    found = letters_tokenizer()
    found.chat_template = template
    return found


def model(chat):
    config = GPT2Config(
        vocab_size=len(letters_tokenizer()), n_layer=2, n_head=4, n_embd=32, n_positions=256, initializer_range=0.3
    )
    torch.manual_seed(0)
    return HFCausal(GPT2LMHeadModel(config), tokenizer(), name="tiny-chat", chat=chat)


def test_the_assistants_turn_is_the_prompt_and_the_span_is_still_the_env_form():
    encoder = PromptEncoder(tokenizer(), 4096, "letters", chat=True)
    assert encoder.opening == OPENING
    for prompt, row in zip(PROMPTS, encoder.encode(PROMPTS), strict=True):
        assert encoder.tokenizer.decode(row.ids) == OPENING + prompt.text
        (span,) = row.env
        assert encoder.tokenizer.decode(row.ids[slice(*span)]).strip() == prompt.env


def test_targets_go_on_from_the_turn():
    plain, chat = (PromptEncoder(tokenizer(), 4096, "letters", chat=c) for c in (False, True))
    words = [n.word for n in BED.nouns]
    assert chat.targets(words, PROMPTS[0]) == plain.targets(words, PROMPTS[0])
    (row,) = chat.encode(PROMPTS[:1])
    for word, target in zip(words, chat.targets(words, PROMPTS[0]), strict=True):
        whole = chat.tokenizer(OPENING + PROMPTS[0].text + " " + word, add_special_tokens=False)["input_ids"]
        assert row.ids + target == tuple(whole)


@pytest.mark.parametrize(
    ("template", "bos", "n_bos"),
    [(TEMPLATE, "auto", 0), (WITH_BOS, "auto", 1), (WITH_BOS, "yes", 1), (WITH_BOS, "no", 0), (TEMPLATE, "yes", 1)],
)
def test_bos_comes_once_whoever_puts_it_there(template, bos, n_bos):
    encoder = PromptEncoder(tokenizer(template), 4096, "letters", bos=bos, chat=True)
    (row,) = encoder.encode(PROMPTS[:1])
    assert row.ids.count(encoder.tokenizer.bos_token_id) == n_bos
    assert encoder.begins_with_bos == bool(n_bos)
    assert row.ids[:n_bos] == (encoder.tokenizer.bos_token_id,) * n_bos
    (span,) = row.env
    assert encoder.tokenizer.decode(row.ids[slice(*span)]).strip() == PROMPTS[0].env


def test_a_chat_run_says_so_and_is_never_taken_for_a_plain_one(tmp_path):
    plain, chat = model(False), model(True)
    assert (plain.info.chat, chat.info.chat) == (None, OPENING)
    assert run_key(plain, BED, Options())["chat"] is None
    one = evaluate(plain, BED, measures=["gain"], out=tmp_path)
    with pytest.raises(StoreMismatchError, match="chat"):
        evaluate(chat, BED, measures=["gain"], out=tmp_path)
    two = evaluate(chat, BED, measures=["gain", "heads"])
    assert "chat" not in one.protocol
    assert two.protocol["chat"] == OPENING
    assert two.gain.mean != one.gain.mean
    assert two.heads[0].n_items == 24
    assert chat.untrained(1).info.chat == OPENING


def test_without_a_template_chat_is_refused():
    with pytest.raises(BadInputError, match="letters: --chat was asked for, but its tokenizer has no chat template"):
        PromptEncoder(letters_tokenizer(), 4096, "letters", chat=True)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{ raise_exception('no such role') }}{{ messages[0].content }}",
            "its chat template cannot be used: no such role",
        ),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "its chat template"),
        ("{% for m in messages %}{{ m.content | length }} {{ m.content }}{% endfor %}", "depends on the turn"),
    ],
)
def test_a_template_that_does_not_keep_the_turn_is_refused(template, message):
    with pytest.raises(BadInputError, match=message):
        PromptEncoder(tokenizer(template), 4096, "letters", chat=True)


DATED = (
    "{{ strftime_now('%d %b %Y %H:%M:%S') }}" + TEMPLATE,
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}"
    + TEMPLATE,
    "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}" + TEMPLATE,
)


@pytest.mark.parametrize("template", DATED)
def test_no_prompt_depends_on_the_day_of_the_run(template, monkeypatch):
    made = []
    for year in (2024, 2031):
        clock = type(
            "Clock", (datetime,), {"now": classmethod(lambda cls, tz=None, y=year: datetime(y, 5, 6, 7, 8, 9))}
        )
        monkeypatch.setattr(chat_template_utils, "datetime", clock)
        encoder = PromptEncoder(tokenizer(template), 4096, "letters", chat=True)
        made.append((encoder.opening, encoder.chat_date))
    assert made[0] == made[1]
    assert made[0][0].startswith("26 Jul 2024")
    assert made[0][1] == "2024-07-26"


def test_a_date_is_recorded_where_the_template_asks_for_it(tmp_path):
    dated = HFCausal(model(False).model, tokenizer(DATED[0]), name="dated", chat=True)
    assert evaluate(dated, BED, measures=["gain"], out=tmp_path).protocol["chat_date"] == "2024-07-26"
    assert "chat_date" not in evaluate(model(True), BED, measures=["gain"]).protocol
    assert model(True).info.chat_date is None


def test_a_template_that_draws_at_random_is_refused():
    dice = "{{ range(99999) | random }}{{ range(99999) | random }}" + TEMPLATE
    with pytest.raises(BadInputError, match="renders the same turns otherwise each time"):
        PromptEncoder(tokenizer(dice), 4096, "letters", chat=True)

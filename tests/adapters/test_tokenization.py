"""ENV spans and the join of context and target, on real byte-level BPE."""

from __future__ import annotations

import pytest
from helpers.small_models import letters_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from groundbench.adapters import tokenization
from groundbench.adapters.tokenization import PromptEncoder
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, Frame, Noun, Prompt, TextSegment, text_prompt

TOKENIZER = letters_tokenizer()
ENCODER = PromptEncoder(TOKENIZER, 4096, "letters")
CAT = Noun("cat", "animals")


def prompt(template, shown):
    return text_prompt(Frame("f", template), CAT, "word", shown)


@given(st.text(alphabet="abc \n😀é.", max_size=12), st.text(alphabet="dog🐕ñ", min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_the_span_decodes_to_the_env_form(before, shown):
    (row,) = ENCODER.encode([prompt(before + " {env} said", shown)])
    (span,) = row.env
    assert TOKENIZER.decode(row.ids[slice(*span)]).strip() == shown


def test_bos_moves_the_span_and_is_recorded():
    encoder = PromptEncoder(TOKENIZER, 4096, "letters", bos="yes")
    (plain,) = ENCODER.encode([prompt("a {env} b", "cat")])
    (with_bos,) = encoder.encode([prompt("a {env} b", "cat")])
    assert encoder.adds_bos
    assert not ENCODER.adds_bos
    assert with_bos.ids == (TOKENIZER.bos_token_id, *plain.ids)
    assert with_bos.env[0][0] == plain.env[0][0] + 1


def test_bos_without_a_bos_token_is_refused():
    tokenizer = letters_tokenizer()
    tokenizer.bos_token = None
    with pytest.raises(BadInputError, match="no BOS token"):
        PromptEncoder(tokenizer, 64, "letters", bos="yes")


def test_an_unknown_word_is_known_where_the_tokenizer_gives_one():
    assert ENCODER.unknown is None
    named = letters_tokenizer()
    named.unk_token = "<s>"  # as GPT-2's names its end of text; bytes write every word
    assert PromptEncoder(named, 64, "letters").unknown is None
    words = Tokenizer(WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    whole = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    encoder = PromptEncoder(whole, 64, "words")
    (row,) = encoder.encode([prompt("a c {env} d", "b")])
    assert encoder.unknown == 0
    assert row.ids.count(0) == 2


def test_env_merged_with_its_surroundings_is_refused():
    glued = Prompt("f", "cat", "word", (TextSegment("t"), EnvSegment("he"), TextSegment(" end")))
    assert len(TOKENIZER("the")["input_ids"]) < 3  # the tokenizer does merge here
    with pytest.raises(BadInputError, match="merges ENV with its surroundings"):
        ENCODER.encode([glued])


def test_a_target_merged_across_the_join_is_refused():
    with pytest.raises(BadInputError, match=r"merges the context's end .* with the target 'e'"):
        ENCODER.targets(["e"], Prompt("f", "cat", "word", (TextSegment("a cat th"),), join=""))


def test_targets_do_not_depend_on_what_was_asked_before():
    one = prompt("see the {env} and the", "dog")
    alone = PromptEncoder(TOKENIZER, 4096, "letters").targets(["duck", "cat"], one)
    ENCODER.targets(["cat", "book"], one)
    assert ENCODER.targets(["duck", "cat"], one) == alone


def expected_of(word, after):
    (target,) = PromptEncoder(TOKENIZER, 4096, "letters").targets([word], after)
    return target


def test_few_joins_are_remembered_and_targets_are_the_same_without(monkeypatch):
    ends = [prompt(f"see the {{env}} and {end}", "dog") for end in ("the", "a", "one", "the")]
    expected = [PromptEncoder(TOKENIZER, 4096, "letters").targets(["duck", "cat"], p) for p in ends]
    monkeypatch.setattr(tokenization, "MOST_JOINS", 4)
    encoder = PromptEncoder(TOKENIZER, 4096, "letters")
    assert [encoder.targets(["duck", "cat"], p) for p in ends] == expected
    assert sum(map(len, encoder._joins.values())) <= 4
    words = ["duck", "cat", "book", "dog", "cup", "ball"]
    for word in words:  # one end, and always another word, as answers after one question
        assert encoder.targets([word], ends[0]) == [expected_of(word, ends[0])]
        assert sum(map(len, encoder._joins.values())) <= 4
    assert encoder.targets(words, ends[0]) == [expected_of(word, ends[0]) for word in words]


def beginning_with(*first: str) -> PreTrainedTokenizerFast:
    """A tokenizer that puts these tokens before every text."""
    tokenizer = letters_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    tokens = [(t, tokenizer.convert_tokens_to_ids(t)) for t in dict.fromkeys(first)]
    template = TemplateProcessing(single=" ".join([*first, "$A"]), special_tokens=tokens) if first else None
    if template is not None:
        tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


@pytest.mark.parametrize("first", [(), ("<s>",), ("</s>",), ("<s>", "</s>"), ("</s>", "<s>"), ("</s>", "</s>", "<s>")])
@pytest.mark.parametrize("bos", ["auto", "yes", "no"])
def test_what_a_tokenizer_puts_first_is_kept_whole(first, bos):
    tokenizer = beginning_with(*first)
    encoder = PromptEncoder(tokenizer, 4096, "letters", bos=bos)
    (plain,), (row,) = (e.encode([prompt("a {env} b", "cat")]) for e in (ENCODER, encoder))
    own = tuple(tokenizer.convert_tokens_to_ids(list(first)))
    begins = {"no": (), "auto": own, "yes": own if first[:1] == ("<s>",) else (tokenizer.bos_token_id,)}[bos]
    assert row.ids == (*begins, *plain.ids)
    assert row.env == tuple((a + len(begins), b + len(begins)) for a, b in plain.env)
    if bos == "auto":
        assert row.ids == tuple(tokenizer("a cat b")["input_ids"])
    said = {(): "none", (tokenizer.bos_token_id,): "added"}
    assert encoder.begins_with == said.get(begins, "".join(first))


def test_tokens_beyond_the_embeddings_are_refused():
    tokenizer = beginning_with()
    size = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    assert PromptEncoder(tokenizer, 4096, "letters", embeddings=size + 1).encode([prompt("<|turn|> {env}", "cat")])
    encoder = PromptEncoder(tokenizer, 4096, "letters", embeddings=size)
    assert encoder.encode([prompt("a {env}", "cat")])
    for ask in (
        lambda: encoder.encode([prompt("<|turn|> {env}", "cat")]),
        lambda: encoder.targets(["<|turn|>"], prompt("a {env} b", "cat")),
    ):
        with pytest.raises(BadInputError, match=rf"<\|turn\|>.* \(token {size}\), but the model has embeddings for"):
            ask()
    tokenizer.chat_template = "{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}"
    with pytest.raises(BadInputError, match="what begins every prompt holds"):
        PromptEncoder(tokenizer, 4096, "letters", chat=True, embeddings=size)
    with pytest.raises(BadInputError, match="expected a tokenizer that belongs to the model"):
        PromptEncoder(tokenizer, 4096, "letters", embeddings=100)

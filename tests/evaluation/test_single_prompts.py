"""surprisal, heads and lens of one prompt: against the model's own logits and against planted heads."""

from __future__ import annotations

import pytest
import torch
from helpers.fake_models import FakeModel
from helpers.planted import NOUNS, PlantedTestbed, single_head, state_space
from helpers.small_models import Home, tiny_llama

import groundbench
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.engine.contexts import build_contexts
from groundbench.measures.heads.saliency import SaliencyOptions, matched_items, measure_saliency
from groundbench.measures.lens.tuned_lens import TunedLens
from groundbench.screening.screen import ScreenOptions


@pytest.fixture(scope="module")
def tiny():
    return tiny_llama()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return single_head(tmp_path_factory.mktemp("planted"))


def by_hand(adapter, context: str, word: str) -> float:
    """The surprisal of a word of several tokens from plain passes over context and word."""
    ids = adapter.tokenizer(context)["input_ids"]
    total = 0.0
    for token in adapter.tokenizer(" " + word)["input_ids"]:
        total -= adapter.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)[token].item()
        ids = [*ids, token]
    return total


def test_surprisal_is_that_of_the_models_own_logits(tiny) -> None:
    words = ["cat", "elephant", "the"]
    found = groundbench.surprisal(tiny, "Mother: Look at the", words)
    assert list(found) == words
    for word in words:
        assert found[word] == pytest.approx(by_hand(tiny, "Mother: Look at the", word), rel=1e-5)


def test_one_word_may_be_a_string(tiny) -> None:
    assert groundbench.surprisal(tiny, "Look at the", "cat") == groundbench.surprisal(tiny, "Look at the", ["cat"])


def test_a_model_of_transformers_gives_what_its_folder_gives(tiny, tmp_path) -> None:
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    wanted = groundbench.surprisal(tiny, "Look at the", "cat")
    loaded = type(tiny.model).from_pretrained(tmp_path)
    for model in (str(tmp_path), tmp_path, (tiny.model, tiny.tokenizer), loaded):
        assert groundbench.surprisal(model, "Look at the", "cat") == pytest.approx(wanted)


def test_a_testbed_takes_models_of_transformers_too(tiny) -> None:
    pair = (tiny.model, tiny.tokenizer)
    found = groundbench.evaluate(pair, Home(), measures=("gain",))
    assert found.gain == groundbench.evaluate(tiny, Home(), measures=("gain",)).gain
    card = groundbench.screen(pair, ["text-scenes"], ScreenOptions(signals=("probability",), limit=20))
    assert card.errors[0].n_groups > 0


@pytest.mark.parametrize("model", [3, None, (1, 2), object()])
def test_what_is_no_model_is_refused_in_a_sentence(model) -> None:
    with pytest.raises(BadInputError, match="expected"):
        groundbench.surprisal(model, "Look at the", "cat")


def test_a_model_without_a_tokenizer_is_refused(tiny) -> None:
    with pytest.raises(BadInputError, match="tokenizer"):
        groundbench.surprisal(type(tiny.model)(tiny.model.config), "Look at the", "cat")


@pytest.mark.parametrize(
    ("context", "words", "said"),
    [("", "cat", "empty"), ("  ", "cat", "empty"), ("Look at ", "cat", "ends in a space"), ("Look at", [], "words")],
)
def test_contexts_that_no_word_can_follow(tiny, context, words, said) -> None:
    with pytest.raises(BadInputError, match=said):
        groundbench.surprisal(tiny, context, words)


def test_heads_finds_the_planted_head_as_the_measure_does(planted) -> None:
    adapter, bed = groundbench.open_model(planted.folder), PlantedTestbed()
    frame, noun = bed.frames(bed.forms[0])[0], bed.nouns[0]
    prompt = bed.prompt(frame, noun, bed.forms[0])
    found = groundbench.heads(adapter, prompt.text, f"{noun.word}:<ENV>", f"{noun.word}:<LAN>")
    assert set(found.top(1)) == planted.aggregate
    assert planted.aggregate <= set(found.aggregate)
    items = matched_items(build_contexts(adapter, bed, bed.forms[0]))
    measured = measure_saliency(adapter, items[:1], SaliencyOptions())
    assert found.edge == pytest.approx(measured.edge[0], rel=1e-4, abs=1e-5 * float(measured.edge.max()))
    assert found.surprisal == pytest.approx(float(measured.surprisal[0]), rel=1e-5)


@pytest.mark.parametrize(("shown", "times"), [("zebra", 0), ("the", 2), ("", 0)])
def test_shown_words_must_occur_once(tiny, shown, times) -> None:
    with pytest.raises(BadInputError, match=f"found {times} times"):
        groundbench.heads(tiny, "the cat sees the dog", shown, "cat")


def test_shown_words_are_whole_words_first(tiny) -> None:
    """`at` is inside `cat` too; only the word itself is shown."""
    found = groundbench.heads(tiny, "cat look at the", "at", "cat")
    other = groundbench.heads(tiny, "cat look at the", " at", "cat")
    assert found.surprisal == other.surprisal


def test_a_model_without_heads_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="heads"):
        groundbench.heads(FakeModel(lambda text: 0.0), "a b", "a", "b")


def test_the_last_layer_of_the_lens_is_the_model(tiny) -> None:
    text = "Look at the cat"
    read = groundbench.lens(tiny, text)
    logits = tiny.model(torch.tensor([tiny.tokenizer(text)["input_ids"]])).logits[0].log_softmax(-1)
    ids = tiny.tokenizer(text)["input_ids"]
    wanted = [-logits[t, ids[t + 1]].item() for t in range(len(ids) - 1)]
    assert read.surprisal[-1] == pytest.approx(wanted, rel=1e-4)
    assert read.entropy[-1] == pytest.approx((-(logits.exp() * logits).sum(-1)).tolist(), rel=1e-4)
    assert read.top[-1] == tuple(tiny.tokenizer.decode([i]) for i in logits.argmax(-1).tolist())


def test_the_untrained_tuned_lens_is_the_logit_lens_and_another_models_is_refused(tiny) -> None:
    untrained = TunedLens.identity(tiny.info, (1,))
    plain, tuned = groundbench.lens(tiny, "Look at"), groundbench.lens(tiny, "Look at", tuned=untrained)
    assert tuned.surprisal == pytest.approx(plain.surprisal, rel=1e-5)
    assert tuned.tuned
    assert not plain.tuned
    with pytest.raises(BadInputError, match="trained for weights"):
        groundbench.lens(tiny_llama(seed=1), "Look at", tuned=untrained)


@pytest.mark.parametrize("make", [single_head, state_space])
def test_without_the_planted_head_the_noun_is_lost_and_comes_back(make, tmp_path) -> None:
    planted = make(tmp_path)
    adapter, bed = groundbench.open_model(planted.folder), PlantedTestbed()
    prompt = bed.prompt(bed.frames(bed.forms[0])[1], bed.nouns[0], bed.forms[0])
    target, others = f"{NOUNS[0]}:<LAN>", [(1, h) for h in range(1, 4) if (1, h) not in planted.aggregate]

    def said() -> float:
        return groundbench.surprisal(adapter, prompt.text, target)[target]

    whole = said()
    with groundbench.ablate(adapter, planted.aggregate):
        cut = said()
    with groundbench.ablate(adapter, others[:1]):
        control = said()
    assert cut > whole + 1
    assert control == pytest.approx(whole, abs=1e-2)
    assert said() == whole

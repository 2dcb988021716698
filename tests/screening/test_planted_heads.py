"""Heads in a screening: found where they were planted, silent where the model guesses, stronger when strengthened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tolerances import assert_same

from groundbench import Screener, screen
from groundbench.adapters.huggingface import HFCausal
from groundbench.api.adapter import HeadEdit, Mixer
from groundbench.api.errors import BadInputError
from groundbench.api.question import Question
from groundbench.measures.heads.head_saliency import HeadSaliency
from groundbench.report.pages import render_card, render_card_markdown
from groundbench.report.sections.risk_card import FOUND_BY
from groundbench.results.risk_card import RiskCard
from groundbench.screening.answering import ask, read_questions
from groundbench.screening.heads import detect, mask_of
from groundbench.screening.screen import ScreenOptions
from groundbench.screening.strengthening import StrengthenOptions, random_sets, scale_heads

Questions = tuple[Question, ...]


@pytest.fixture(scope="module")
def folder(planted: HFCausal, naming: Questions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card")
    screen(planted, naming, ScreenOptions(strengthen=StrengthenOptions((1.5,), draws=3)), out=out)
    return out


@pytest.fixture(scope="module")
def card(folder: Path) -> RiskCard:
    return RiskCard.load(folder)


def test_the_planted_head_and_no_other_is_detected(card: RiskCard) -> None:
    assert card.heads is not None
    assert card.heads.heads == ((2, 1),)


def test_it_errs_only_where_nothing_that_was_asked_for_was_shown(card: RiskCard) -> None:
    by_kind = {e.kind: e.error.value for e in card.errors}
    assert by_kind["seen"] == 0.0
    assert 0.2 < by_kind["unseen"] < 0.8  # type: ignore[operator]
    assert card.gains[0].against == "mismatched"


def test_what_the_head_adds_to_the_answer_tells_guesses_from_knowledge(card: RiskCard) -> None:
    support = card.signal("heads-support")
    assert support is not None
    assert support.auroc.low > 0.6  # type: ignore[union-attr, operator]
    assert "heads-support" in card.predictors.above_chance
    assert card.signal("gain").missing.startswith("no question of the splits")  # type: ignore[union-attr]


def test_permuted_labels_leave_every_signal_at_chance(planted: HFCausal, naming: Questions) -> None:
    """The same answers, but which of them count as right is dealt out anew: nothing may predict that."""
    coin = np.random.default_rng(3).integers(0, 2, len(naming))
    dealt = [replace(q, target=int(c)) for q, c in zip(naming, coin, strict=True)]
    found = screen(planted, dealt, ScreenOptions(heads=((2, 1),)))
    assert found.predictors.above_chance == ()
    for signal in found.signals:
        if signal.auroc is not None:
            assert signal.auroc.low <= 0.5 <= signal.auroc.high  # type: ignore[operator]


def test_strengthening_is_reported_on_the_other_split_beside_random_heads(card: RiskCard) -> None:
    s = card.strengthen
    assert s is not None
    assert (s.factor, s.n_heads, len(s.random)) == (1.5, 1, 3)
    assert s.before.n == card.questions.splits["test"]
    assert s.after.value <= s.before.value  # type: ignore[operator]
    assert s.perplexity_before is None
    assert "does not know" in s.note  # type: ignore[operator]


def test_heads_that_raise_wrong_answers_are_found_in_one_split_and_weakened_in_another(
    planted: HFCausal, naming: Questions
) -> None:
    """Right is here what was never shown: the head that says what was shown is wrong each time."""
    against = [replace(q, target=1) for q in naming]
    options = ScreenOptions(signals=("probability",), weaken=StrengthenOptions((0.5, 1e-6), draws=3))
    card = screen(planted, against, options)
    s = card.weaken
    assert s is not None
    assert card.strengthen is None
    assert (s.factor, s.n_heads, len(s.random)) == (1e-6, 1, 3)
    assert s.before.n == card.questions.splits["test"]
    assert s.change.high < 0  # type: ignore[operator]
    assert min(s.random) > s.after.value  # type: ignore[operator]
    page = render_card(card)
    assert "Weakening heads that raise wrong answers" in page
    right = [replace(q, target=0) for q in naming if q.kind == "seen"]
    nothing = screen(planted, right, options)
    assert nothing.weaken is None
    assert [f.where for f in nothing.failures] == ["weaken"]


@pytest.mark.parametrize("selection", ["magnitude", "size", "share", "given"])
def test_the_page_names_the_heads_and_how_they_were_found(card: RiskCard, selection: str) -> None:
    assert card.heads is not None
    shown = card.model_copy(update={"heads": card.heads.model_copy(update={"selection": selection})})
    for page in (render_card(shown), render_card_markdown(shown)):
        assert f"2.1; 1 of {card.heads.total} heads, {FOUND_BY[selection]}" in page
        assert "random heads 3" in page
        assert "Multiplying the head by 1.50" in page


def test_a_strength_of_one_changes_nothing_and_of_nearly_none_takes_the_answers_away(
    planted: HFCausal, naming: Questions
) -> None:
    asked = read_questions(planted, naming, others=False)
    chosen = mask_of(planted.info, [(2, 1)])
    plain = ask(planted, asked)
    same = ask(planted, asked, edit=scale_heads(chosen, 1.0))
    assert_same(same.shown, plain.shown)
    seen = np.array([q.kind == "seen" for q in naming])
    gone = ask(planted, asked, edit=HeadEdit(scale_heads(chosen, 1e-6).scale))
    assert plain.errors[seen].mean() == 0.0
    assert gone.errors[seen].mean() > 0.3


def test_a_run_directory_never_gives_one_heads_numbers_for_anothers(
    planted: HFCausal, naming: Questions, tmp_path: Path
) -> None:
    def of(head: tuple[int, int], out: Path | None, factor: float = 1e-6) -> RiskCard:
        strong = StrengthenOptions((factor,), draws=2)
        options = ScreenOptions(signals=("probability",), heads=(head,), strengthen=strong)
        return screen(planted, naming, options, out=out)

    of((2, 1), tmp_path)
    of((2, 1), tmp_path, factor=1.0)
    for head in ((2, 0), (2, 1)):
        assert of(head, tmp_path).strengthen == of(head, None).strengthen
    assert of((2, 0), None).strengthen != of((2, 1), None).strengthen


def test_random_sets_are_of_the_same_layer_and_never_the_detected_head(planted: HFCausal) -> None:
    chosen = mask_of(planted.info, [(2, 1)])
    sets = random_sets(planted, chosen, 9, 0)
    assert {planted.info.head_index[int(np.flatnonzero(s)[0])] for s in sets} == {(2, 0), (2, 2), (2, 3)}


def test_a_live_answer_has_the_risk_that_the_card_gives_it(
    planted: HFCausal, naming: Questions, folder: Path, card: RiskCard
) -> None:
    screener = Screener.load(folder, planted)
    assert screener.heads == ((2, 1),)
    known, guessed = (
        screener.risk(q.prompt, q.choices[0], signals=("heads-support",), candidates=q.choices)
        for q in (naming[1], naming[0])
    )
    assert known.signal == "heads-support"
    assert known.risk is not None
    assert guessed.risk is not None
    assert known.risk < guessed.risk
    assert known.signals[0].cost == "1 forward + 1 backward through the last position"


def test_live_evidence_is_found_in_the_prompt(planted: HFCausal, folder: Path) -> None:
    screener = Screener.load(folder, planted)
    text = "<CHI> sees:<ENV> the:<ENV> dog:<ENV> <MOT> is:<LAN> that:<LAN> your:<LAN>"
    by_text = screener.risk(text, "dog:<LAN>", evidence="dog:<ENV>")
    start = text.index("dog:<ENV>")
    by_span = screener.risk(text, "dog:<LAN>", evidence=(start, start + len("dog:<ENV>")))
    assert by_text == by_span
    for evidence, why in ((None, "evidence is missing"), ("cat", "stands 0 times"), ((5, 5), "span is")):
        with pytest.raises(BadInputError, match=why):
            screener.risk(text, "dog:<LAN>", evidence=evidence)
    with pytest.raises(BadInputError, match="needs without="):
        screener.risk(text, "dog:<LAN>", evidence="dog:<ENV>", signals=("gain",))
    with pytest.raises(BadInputError, match="needs candidates="):
        screener.risk(text, "dog:<LAN>", evidence="dog:<ENV>", signals=("probability",))


def test_a_screener_without_heads_says_so_and_another_models_card_is_refused(planted: HFCausal, folder: Path) -> None:
    with pytest.raises(BadInputError, match="give heads="):
        Screener(planted).risk("dog:<ENV> your:<LAN>", "dog:<LAN>", evidence="dog:<ENV>")
    with pytest.raises(BadInputError, match="layer 9, head 0"):
        Screener(planted, heads=[(9, 0)])
    with pytest.raises(BadInputError, match="screen it first"):
        Screener.load(folder, planted.untrained(0))


def saliency_of(edges: list[list[float]], span: int) -> HeadSaliency:
    """Items of ten tokens, `span` of them evidence; each head's whole row is 1, of which `edges` come from evidence."""
    edge = np.array(edges, np.float32)
    n, heads = edge.shape
    zeros, ones = np.zeros_like(edge), np.ones_like(edge)
    layer = np.zeros((n, 1), np.float32)
    return HeadSaliency(
        mixers=(Mixer(1, "attention", heads, 4),),
        nouns=("x",) * n,
        frames=("f",) * n,
        length=np.full(n, 10, np.int32),
        span=np.full((n, 1), span, np.int32),
        surprisal=np.zeros(n, np.float32),
        edge=edge,
        null_edge=zeros,
        row_sum=ones,
        row_offdiagonal=ones,
        signed_edge=zeros,
        signed_row=zeros,
        layer_edge=layer,
        layer_row=layer,
    )


def test_heads_are_detected_in_each_kind_of_question_alone() -> None:
    """Head 0 serves one kind, head 1 the other; neither is detected in half of all items, and head 2 in a third."""
    kinds = ["colour"] * 10 + ["count"] * 12
    edges = [[0.9, 0.0, 0.9 * (i % 3 == 0)] if k == "colour" else [0.0, 0.9, 0.1] for i, k in enumerate(kinds)]
    found = detect(saliency_of(edges, 2), kinds)
    assert (found.heads, found.selection) == (((1, 0), (1, 1)), "magnitude")
    one_kind = detect(saliency_of(edges, 2), ["any"] * 22)
    assert one_kind.heads == ((1, 1),)


def test_long_evidence_asks_for_no_lift_and_the_record_says_so() -> None:
    edges = [[0.9, 0.1, 0.0]] * 10
    assert detect(saliency_of(edges, 4), ["k"] * 10).selection == "magnitude"
    assert detect(saliency_of(edges, 6), ["k"] * 10).selection == "size"  # 0.9 is no lift of 2 over 0.6
    nothing = detect(saliency_of([[0.1, 0.1, 0.1]] * 10, 4), ["k"] * 10)
    assert (nothing.heads, nothing.selection) == ((), "share")

"""Screening of models whose answers are known: who passes, who fails, and for which reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.cards import checks
from helpers.fake_models import FakeModel, always_yes, blind, noise, oracle, scene_questions, sees, unsure
from helpers.tolerances import assert_same, nats

from groundbench import screen
from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.api.question import Question
from groundbench.report.pages import render_card, render_card_markdown
from groundbench.results.risk_card import RiskCard
from groundbench.results.text.card_sentences import headline, verdict_sentence
from groundbench.screening.answering import ask, read_questions
from groundbench.screening.policy import Policy, WantedPoint
from groundbench.screening.screen import ScreenOptions
from groundbench.screening.splits import split

QUESTIONS = scene_questions()
STRICT = Policy(
    max_risk=0.0,
    max_risk_by_kind={"present": 0.0, "absent": 0.0},
    max_yes_bias=0.0,
    min_gain=1.0,
    min_auroc=0.9,
    max_ece=0.05,
    operating_point=WantedPoint(max_risk=0.0, min_coverage=1.0),
    min_questions=120,
)
BEHAVIOUR = ("gain", "probability", "entropy", "contrast")


def card_of(model: FakeModel, policy: Policy | None = STRICT, **options: object) -> RiskCard:
    return screen(model, QUESTIONS, ScreenOptions(policy=policy, **options))  # type: ignore[arg-type]


def test_a_perfect_model_passes_everything_that_can_be_met() -> None:
    card = card_of(oracle())
    assert [c.reason for c in card.verdict.checks if not c.passed] == []
    assert card.verdict.passed is True
    assert [e.error.value for e in card.errors] == [0.0] * 3
    assert card.errors[0].chance == 0.5
    assert {g.against for g in card.gains} == {"without", "mismatched"}


def test_a_model_that_always_says_yes_fails_and_is_told_why() -> None:
    card = card_of(always_yes())
    assert card.verdict.passed is False
    failed = {n: c for n, c in checks(card).items() if not c.passed}
    assert "the answer is always yes" in failed["max_risk"].reason
    assert failed["max_risk_by_kind.absent"].found == "1.000"
    assert "max_risk_by_kind.present" not in failed
    assert failed["max_yes_bias"].found == f"{1 - card.errors[0].yes_true:.3f}"  # type: ignore[operator]
    assert "the model does not see the evidence" in failed["min_gain.without"].reason


def test_a_model_that_cannot_see_the_evidence_has_a_gain_of_exactly_nothing() -> None:
    card = card_of(blind())
    assert [g.gain.value for g in card.gains] == [0.0, 0.0]
    failed = {n: c for n, c in checks(card).items() if not c.passed}
    assert "the model does not see the evidence" in failed["min_gain.without"].reason
    assert "the model does not see the evidence" in failed["min_gain.mismatched"].reason
    assert card.signal("gain").auroc.value == 0.5  # type: ignore[union-attr]


def test_signals_of_an_unsure_model_predict_its_errors_and_the_card_says_which_best() -> None:
    card = card_of(unsure(), None, signals=BEHAVIOUR)
    assert 0.1 < card.errors[0].error.value < 0.4  # type: ignore[operator]
    assert "probability" in card.predictors.above_chance
    assert card.signal(card.predictors.best).auroc.low > 0.5  # type: ignore[arg-type, union-attr, operator]
    for record in card.signals:
        assert (record.curve[-1].coverage, record.n) == (
            1.0,
            card.questions.splits["fit"] + card.questions.splits["test"],
        )
        assert [c.method for c in record.calibration] == ["logistic", "isotonic"]
    assert card.verdict.passed is None


def test_no_signal_is_better_than_chance_where_errors_are_chance() -> None:
    """Right or wrong by a coin that no signal sees: the answer's strength has nothing to do with its truth."""
    coin = FakeModel(lambda text: (1 if noise(text + "coin") > 0 else -1) * (2 + noise(text)), "coin")
    card = card_of(coin, None, signals=("probability", "entropy"))
    assert card.predictors.above_chance == ()
    for name in ("probability", "entropy"):
        found = card.signal(name).auroc  # type: ignore[union-attr]
        assert found.low < 0.5 < found.high  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("policy", "options", "why"),
    [
        (Policy(max_risk_by_kind={"colour": 0.5}), {}, "no question is of this kind"),
        (Policy(min_auroc=0.1, sure=True), {}, "no wrong answer"),
        (Policy(min_auroc=0.0), {"signals": ("heads",)}, "the model has no heads"),
        (Policy(max_usual=1.0), {}, "no question's evidence contradicts the usual"),
        (Policy(max_ece=1.0), {"signals": ("heads",)}, "the model has no heads"),
        (Policy(min_auroc=0.0), {"signals": ("lens",)}, "no hidden states"),
        (
            Policy(operating_point=WantedPoint(max_risk=1.0, min_coverage=0.0, signal="gain")),
            {"signals": ("probability",)},
            "was not asked for",
        ),
    ],
)
def test_what_was_not_measured_fails(policy: Policy, options: dict[str, object], why: str) -> None:
    """Every one of these would be met by any number whatever."""
    card = card_of(oracle(), policy, **options)
    (check,) = card.verdict.checks
    assert (check.measured, check.passed, card.verdict.passed) == (False, False, False)
    assert why in check.reason


def test_a_model_whose_errors_no_split_can_tell_apart_has_no_auroc() -> None:
    """Nothing to predict is not the same as nothing predicted."""
    contrary = FakeModel(lambda text: -6.0 if sees(text) else 6.0, "contrary")
    (check,) = card_of(contrary, Policy(min_auroc=0.0)).verdict.checks
    assert (check.measured, check.passed) == (False, False)

    where_heads_are_found = QUESTIONS[int(split(QUESTIONS, 0).detect[0])].prompt.text
    slips = FakeModel(
        lambda text: 6.0 * (1 if sees(text) else -1) * (-1 if text == where_heads_are_found else 1), "slips"
    )
    card = card_of(slips, Policy(min_auroc=0.0))
    assert card.errors[0].error.value > 0  # type: ignore[operator]
    assert card.verdict.passed is False


@pytest.mark.parametrize("dropped", ["without", "mismatched"])
def test_a_comparison_that_no_question_has_is_not_met(dropped: str) -> None:
    """The other comparison passes; what is missing does not."""
    asked = [replace(q, **{dropped: None if dropped == "without" else ()}) for q in QUESTIONS]
    card = screen(oracle(), asked, ScreenOptions(policy=Policy(min_gain=1.0), signals=("probability",)))
    missing = checks(card).pop(f"min_gain.{dropped}")
    assert (missing.measured, missing.passed, card.verdict.passed) == (False, False, False)
    assert missing.reason.startswith("not measured: no question was asked ")
    assert [c.passed for c in card.verdict.checks if c != missing] == [True]


def test_a_comparison_that_few_questions_have_is_not_met() -> None:
    asked = [q if i < 12 else replace(q, without=None) for i, q in enumerate(QUESTIONS)]
    card = screen(oracle(), asked, ScreenOptions(policy=Policy(min_gain=1.0), signals=("probability",)))
    check = checks(card)["min_gain.without"]
    assert (check.measured, check.passed) == (False, False)
    assert "108 of 120 questions were not asked without their evidence" in check.reason
    lenient = Policy(min_gain=1.0, max_unasked=0.9)
    assert screen(oracle(), asked, ScreenOptions(policy=lenient, signals=("probability",))).verdict.passed is True


EVERYTHING = Policy(
    max_risk=1.0,
    max_risk_by_kind={"present": 1.0, "absent": 1.0},
    max_usual=1.0,
    max_yes_bias=1.0,
    min_gain=-99.0,
    min_auroc=0.0,
    max_ece=1.0,
    operating_point=WantedPoint(max_risk=1.0, min_coverage=0.0),
    min_questions=1,
)
"""Met by every model that was measured."""


def unreadable(question: Question) -> Question:
    """The same question with a candidate that the fake models' tokenizer cannot read."""
    return replace(question, choices=("Yes", "no"))


@pytest.mark.parametrize(("lost", "passes"), [(0, True), (6, True), (7, False), (113, False)])
def test_too_many_questions_that_cannot_be_asked_fail_every_rate(lost: int, passes: bool) -> None:
    """6 of 120 are 5 %. What is left is answered as before: only its number tells that most of the set is missing."""
    dropped = set(np.random.default_rng(0).permutation(120)[:lost].tolist())
    asked = [unreadable(q) if i in dropped else q for i, q in enumerate(QUESTIONS)]
    policy = EVERYTHING.model_copy(update={"max_risk_by_kind": {}, "max_usual": None, "min_auroc": None})
    card = screen(oracle(), asked, ScreenOptions(policy=policy, signals=BEHAVIOUR))
    assert (card.questions.n, card.questions.unasked.n, len(card.failures)) == (120 - lost, lost, lost)
    assert card.verdict.passed is passes
    if passes:
        return
    assert [c.name for c in card.verdict.checks if c.passed] == ["min_questions"]
    assert [c.name for c in card.verdict.checks if c.measured] == ["min_questions"]
    for check in card.verdict.checks[1:]:
        assert f"{lost} of 120 questions could not be asked" in check.reason
    assert f"{lost} of 120 questions" in headline(card)
    assert f"{lost} of 120 questions" in verdict_sentence(card)
    assert checks(card)["max_risk"].reason == (
        f"not measured: {lost} of 120 questions could not be asked, more than the share of 0.05 that max_unasked allows"
    )


def test_a_kind_that_cannot_be_asked_fails_though_it_is_a_small_part_of_all() -> None:
    """20 of 120 questions contradict the usual; 3 of those are lost, which is 2.5 % of all and 15 % of them."""
    asked = [replace(q, kind="odd", prior_answer=1 - q.target) if i % 6 == 0 else q for i, q in enumerate(QUESTIONS)]
    policy = EVERYTHING.model_copy(update={"max_risk_by_kind": {"odd": 1.0, "absent": 1.0}})
    some = [unreadable(q) if i in (0, 6, 12) else q for i, q in enumerate(asked)]
    found = checks(screen(unsure(), some, ScreenOptions(policy=policy, signals=BEHAVIOUR)))
    assert [n for n, c in found.items() if not c.passed] == ["max_risk_by_kind.odd", "max_usual"]
    assert "3 of 20 questions of the kind odd could not be asked" in found["max_risk_by_kind.odd"].reason
    assert "3 of 20 questions whose evidence contradicts the usual" in found["max_usual"].reason

    none = [unreadable(q) if q.kind == "odd" else q for q in asked]
    only = Policy(max_risk_by_kind={"odd": 1.0}, max_unasked=1.0)
    (check,) = screen(oracle(), none, ScreenOptions(policy=only, signals=("probability",))).verdict.checks
    assert (check.measured, check.passed) == (False, False)
    assert "none of its 20 questions could be asked" in check.reason


def test_a_requirement_that_was_not_met_anyway_says_both() -> None:
    asked = [unreadable(q) if i < 20 else q for i, q in enumerate(QUESTIONS)]
    policy = Policy(max_risk=0.1)
    (check,) = screen(always_yes(), asked, ScreenOptions(policy=policy, signals=("probability",))).verdict.checks
    assert (check.measured, check.passed) == (True, False)
    assert "were answered wrongly" in check.reason
    assert "20 of 120 questions could not be asked" in check.reason


def test_gain_is_measured_where_the_policy_asks_for_it_whatever_the_signals() -> None:
    card = card_of(oracle(), Policy(min_gain=1.0), signals=("probability",))
    assert card.verdict.passed is True


def test_sure_compares_the_worse_end_of_the_interval() -> None:
    lenient = card_of(unsure(), Policy(max_risk=0.35), signals=("probability",))
    error = lenient.errors[0].error
    assert lenient.verdict.passed is (error.value <= 0.35)  # type: ignore[operator]
    most = (error.value + error.high) / 2  # type: ignore[operator]
    assert card_of(unsure(), Policy(max_risk=most), signals=("probability",)).verdict.passed is True
    assert card_of(unsure(), Policy(max_risk=most, sure=True), signals=("probability",)).verdict.passed is False


def test_sure_compares_the_upper_end_of_the_calibration_error() -> None:
    card = card_of(unsure(), Policy(max_ece=1.0), signals=("probability",))
    first = card.signals[0].calibration[0]
    assert first.ece < first.ece_high  # type: ignore[operator]
    most = (first.ece + first.ece_high) / 2  # type: ignore[operator]
    assert card_of(unsure(), Policy(max_ece=most), signals=("probability",)).verdict.passed is True
    assert card_of(unsure(), Policy(max_ece=most, sure=True), signals=("probability",)).verdict.passed is False


def test_the_same_seed_gives_the_same_card(tmp_path: Path) -> None:
    def text(out: Path, seed: int = 0) -> str:
        screen(unsure(), QUESTIONS, ScreenOptions(seed=seed, generate=True), out=out)
        card = json.loads((out / "card.json").read_text())
        card["environment"].pop("seconds")
        return json.dumps(card)

    assert text(tmp_path / "a") == text(tmp_path / "b")
    assert text(tmp_path / "a") != text(tmp_path / "c", seed=1)


def test_an_interrupted_screening_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    model = unsure()
    screen(model, QUESTIONS, ScreenOptions(signals=BEHAVIOUR), out=tmp_path)
    calls = model.calls
    screen(model, QUESTIONS, ScreenOptions(signals=BEHAVIOUR), out=tmp_path)
    assert model.calls == calls  # everything was read from the run directory
    with pytest.raises(StoreMismatchError, match="model 'unsure'"):
        screen(oracle(), QUESTIONS, out=tmp_path)
    screen(oracle(), QUESTIONS, out=tmp_path, force=True)
    assert RiskCard.load(tmp_path).errors[0].error.value == 0.0


def test_answers_are_written_one_row_for_each_question(tmp_path: Path) -> None:
    card = screen(unsure(), QUESTIONS, ScreenOptions(signals=("gain", "heads")), out=tmp_path)
    rows = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert len(rows) == card.questions.n == 120
    assert np.mean([r["error"] for r in rows]) == pytest.approx(card.errors[0].error.value)
    assert all(r["risk_heads-share"] is None for r in rows)
    assert all(r["also"] == [] and r["candidates"] == ["yes", "no"] for r in rows)
    for r in rows:
        said = dict(zip(r["candidates"], r["surprisals"], strict=True))
        assert min(said, key=said.__getitem__) == r["given"]
        assert said[r["given"]] == r["surprisal"]
    split = {g: {r["split"] for r in rows if r["group"] == g} for g in {r["group"] for r in rows}}
    assert all(len(s) == 1 for s in split.values())


def test_generation_counts_what_cannot_be_read_apart() -> None:
    card = card_of(oracle(), None, signals=("probability",), generate=True)
    assert card.generation is not None
    assert (card.generation.unparseable.value, card.generation.error.value) == (0.0, 0.0)
    assert card.generation.agreement.value == 1.0

    model = FakeModel(lambda text: 6.0 if sees(text) else -6.0, "mumbles", mumbles=lambda text: "a dog ?" in text)
    found = card_of(model, None, signals=("probability",), generate=True).generation
    assert found is not None
    assert found.unparseable.value == pytest.approx(np.mean(["a dog ?" in q.prompt.text for q in QUESTIONS]))
    assert found.error.value == found.unparseable.value  # what cannot be read is wrong, and nothing else is
    assert found.examples[0].startswith(" hm")


def test_a_limit_takes_whole_scenes_and_the_same_ones_for_a_seed() -> None:
    card = card_of(oracle(), None, limit=50)
    assert (card.questions.n, card.questions.n_groups, card.questions.limit) == (50, 25, 50)
    turned = screen(oracle(), QUESTIONS[::-1], ScreenOptions(limit=50))
    assert turned.errors == card.errors


def test_a_card_of_a_sample_says_so() -> None:
    card = card_of(oracle(), Policy(max_risk=0.5), limit=50, signals=("probability",))
    said = "This is a card of a sample: 50 of 120 questions were drawn."
    assert card.questions.drawn_from == 120
    for page in (headline(card), verdict_sentence(card), render_card(card), render_card_markdown(card)):
        assert said in page
    whole = card_of(oracle(), None, limit=120, signals=("probability",))
    assert whole.questions.drawn_from is None
    assert "sample" not in headline(whole)


def test_questions_with_one_id_are_refused() -> None:
    with pytest.raises(BadInputError, match="'scene-0-0' comes twice"):
        screen(oracle(), [*QUESTIONS, QUESTIONS[0]])


def test_unknown_signals_and_sets_are_refused() -> None:
    with pytest.raises(BadInputError, match="unknown signal 'tea'"):
        card_of(oracle(), None, signals=("tea",))
    with pytest.raises(BadInputError, match="unknown question set 'tea'"):
        screen(oracle(), ["tea"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sure: true\nmax_risk: 1.5", "line 2: field max_risk"),
        ("max_risk: 0.5\nmax_unasked: 2", "max_unasked"),
        ("max_unasked: 0.1", "requires nothing"),
        ("max_rsk: 0.5", "unknown field 'max_rsk'; did you mean 'max_risk'"),
        ("- 1", "expected requirements"),
        ("max_risk: [", "not valid YAML"),
        ("version: 1", "requires nothing"),
        ("version: 2\nmax_risk: 0.1", "version"),
    ],
)
def test_a_policy_with_a_fault_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=why):
        Policy.load(path)


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nmax_risk: 0.15\noperating_point: {max_risk: 0.05, min_coverage: 0.5}\n")
    policy = Policy.load(path)
    assert policy.operating_point == WantedPoint(max_risk=0.05, min_coverage=0.5)
    assert policy.max_unasked == 0.05
    assert not policy.empty


def test_candidates_of_several_tokens_are_scored_alike_in_any_company() -> None:
    """Questions of a kind share what is read after their prompts; each gets its own candidates, in its own order."""
    from helpers.small_models import tiny_gpt2

    model = tiny_gpt2()
    asked = [
        replace(q, choices=("elephant", "ball") if i % 2 else ("blanket", "elephant", "cat"), target=i % 2)
        for i, q in enumerate(QUESTIONS[:12])
    ]
    together = ask(model, read_questions(model, asked))
    for i, question in enumerate(asked):
        alone = ask(model, read_questions(model, [question]))
        n = len(question.choices)
        assert_same(together.shown[i, :n], alone.shown[0], depth=64)
        assert np.isnan(together.shown[i, n:]).all()
        k = len(question.mismatched)
        assert_same(together.mismatched[i, :k, :n], alone.mismatched[0], depth=64)
        (row,), targets = model.encode([question.prompt]), model.encode_targets(question.choices, question.prompt)
        for own, target in zip(together.shown[i], targets, strict=False):
            total, ids = 0.0, row.ids
            for token in target:
                total -= float(model.forward([replace(row, ids=ids)]).logits.log_softmax(-1)[0, token])
                ids = (*ids, token)
            assert own == nats(total, depth=64)

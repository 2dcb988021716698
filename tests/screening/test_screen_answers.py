"""Given answers screened end to end by oracles: who must have a gain, who must not, and what a cheat shows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.word_model import WordModel, copier, prior_only

from groundbench import screen
from groundbench.api.errors import BadInputError, StoreMismatchError
from groundbench.report.pages import render_card, render_card_markdown
from groundbench.results.risk_card import RiskCard
from groundbench.screening.measure import RecordOptions
from groundbench.screening.policy import Policy
from groundbench.screening.screen import ScreenOptions

COLOURS = ("red", "blue", "green", "white", "black", "pink", "grey", "gold")


def rows(n: int = 120, *, seed: int = 0) -> list[dict[str, object]]:
    """Passages that tell a colour; half of the answers name another one."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        told, other = rng.sample(COLOURS, 2)
        wrong = i % 2 == 1
        answer = f"it is {other if wrong else told} ."
        start = len("it is ")
        found.append(
            {
                "id": f"r{i}",
                "user_input": f"what colour is thing {i % 9} ?",
                "retrieved_contexts": [f"thing {i % 9} is {told} , says note {i} ."],
                "response": answer,
                "label": "unsupported" if wrong else "supported",
                "spans": [[start, start + len(other)]] if wrong else [],
                "kind": "even" if i % 4 < 2 else "odd",
            }
        )
    return found


def written(folder: Path, found: list[dict[str, object]], *, drop: tuple[str, ...] = ()) -> str:
    path = folder / "my.jsonl"
    path.write_text("".join(json.dumps({k: v for k, v in r.items() if k not in drop}) + "\n" for r in found))
    return str(path)


def test_a_copier_gains_from_its_evidence_and_its_gain_finds_every_error(tmp_path: Path) -> None:
    card = screen(copier(), [written(tmp_path, rows())], out=tmp_path / "out")
    assert card.records is not None
    assert (card.records.mode, card.records.read, card.records.refused) == ("B", 120, 0)
    assert card.errors[0].error.value == 0.5
    assert card.errors[0].chance is None
    assert {g.against: g.gain.value > 1 for g in card.gains} == {"without": True, "mismatched": True}  # type: ignore[operator]
    gain = card.signal("gain")
    assert gain is not None
    assert gain.auroc is not None
    assert gain.auroc.value == 1.0
    assert gain.prr is not None
    assert gain.prr.value == pytest.approx(1.0)
    assert gain.auprc is not None
    assert gain.auprc.value == pytest.approx(1.0)
    assert gain.tokens is not None
    assert gain.tokens.auroc.low > 0.5  # type: ignore[operator]  # words that any answer has gain as little
    assert {a.how for a in gain.aggregates} == {"worst", "window"}
    for name in ("heads-share", "lookback", "rauq", "ipr"):
        record = card.signal(name)
        assert record is not None
        assert record.missing
    assert card.thresholds
    assert len(card.worst) > 10
    assert all(w.wrong for w in card.worst[:10])
    for page in (render_card(card), render_card_markdown(card)):
        assert "what colour is thing" in page


def test_a_prior_only_model_has_gains_and_shifts_of_exactly_nothing(tmp_path: Path) -> None:
    card = screen(prior_only(), [written(tmp_path, rows())])
    assert [g.gain.value for g in card.gains] == [0.0, 0.0]
    for name in ("gain", "gain-mismatched", "context-shift"):
        record = card.signal(name)
        assert record is not None
        assert record.auroc is not None
        assert record.auroc.value == 0.5, name


def test_own_evidence_in_place_of_other_evidence_leaves_a_mismatched_gain_of_nothing(tmp_path: Path) -> None:
    """All records rest on copies of one passage under different groups: the other evidence says the same."""
    same = [{**r, "retrieved_contexts": ["thing is red ."], "group": f"g{i}"} for i, r in enumerate(rows())]
    card = screen(copier(), [written(tmp_path, same)])
    by = {g.against: g.gain.value for g in card.gains}
    assert "mismatched" not in by
    assert card.records is not None
    assert card.records.without_other == 120


def test_length_alone_is_exposed_by_the_length_baseline(tmp_path: Path) -> None:
    """Wrong answers are longer: whatever sums over tokens finds them, and so does counting them."""
    cheat = []
    for r in rows():
        wrong = r["label"] == "unsupported"
        filler = " la la la la" if wrong else ""
        cheat.append({**r, "response": f"it is so{filler}", "spans": [[0, 2]] if wrong else []})
    card = screen(prior_only(), [written(tmp_path, cheat)])
    length = card.signal("length")
    assert length is not None
    assert length.auroc is not None
    assert length.auroc.value == 1.0
    assert card.predictors.best_baseline in ("length", "probability", "entropy", "perplexity", "ln-entropy", "contrast")
    for comparison in card.predictors.comparisons:
        assert comparison.gap.low is None or comparison.gap.low <= 0


def test_answers_without_labels_are_ranked_and_have_no_error_rate(tmp_path: Path) -> None:
    fitted = tmp_path / "fitted"
    labelled = screen(copier(), [written(tmp_path, rows())], out=fitted)
    alone = written(tmp_path, rows(seed=1), drop=("label", "spans"))
    card = screen(copier(), [alone], out=tmp_path / "alone")
    assert card.records is not None
    assert card.records.mode == "C"
    assert card.errors[0].error.value is None
    assert card.signals == ()
    assert card.predictors.best is None
    assert [w.probability for w in card.worst] == [None] * len(card.worst)
    options = ScreenOptions(records=RecordOptions(calibrate=fitted))
    with_fit = screen(copier(), [alone], options)
    assert labelled.predictors.best is not None
    assert all(w.probability is not None and 0 < w.probability < 1 for w in with_fit.worst)
    assert "ranking" in render_card(card)
    with pytest.raises(BadInputError, match="not of prior"):
        screen(prior_only(), [alone], options)


def test_a_policy_of_answers_without_labels_fails_closed(tmp_path: Path) -> None:
    alone = written(tmp_path, rows(), drop=("label", "spans"))
    card = screen(copier(), [alone], ScreenOptions(policy=Policy(max_risk=1.0)))
    assert card.verdict.passed is False
    (check,) = card.verdict.checks
    assert not check.measured


def test_candidates_are_answered_by_likelihood_with_every_signal(tmp_path: Path) -> None:
    found = [
        {
            "question": f"what colour is thing {i} ?",
            "evidence": f"thing {i} is {COLOURS[i % 8]} , says note {i} .",
            "candidates": [COLOURS[i % 8], COLOURS[(i + 3) % 8]],
            "truth": COLOURS[i % 8],
        }
        for i in range(60)
    ]
    card = screen(copier(), [written(tmp_path, found)], out=tmp_path / "out")
    assert card.errors[0].error.value == 0.0
    assert card.records is not None
    assert card.records.mode == "A"
    assert {s.name for s in card.signals} >= {"gain", "perplexity", "length", "context-shift", "lookback"}
    lines = [json.loads(x) for x in (tmp_path / "out" / "flagged.jsonl").read_text().splitlines()]
    assert lines == [] or {x["id"] for x in lines} == {str(i) for i in range(1, 61)}
    wrong = screen(prior_only(), [written(tmp_path, found)], out=tmp_path / "wrong")
    lines = [json.loads(x) for x in (tmp_path / "wrong" / "flagged.jsonl").read_text().splitlines()]
    risks = [x["risk"] for x in lines if x["risk"] is not None]
    assert len(lines) == 60
    assert risks == sorted(risks, reverse=True)
    assert 0.2 < wrong.errors[0].error.value < 0.8  # type: ignore[operator]
    assert wrong.predictors.best is not None
    test = [x for x in lines if x["split"] == "test" and x["risk"] is not None]
    assert [(w.id, w.answer, w.wrong) for w in wrong.worst] == [(x["id"], x["answer"], x["wrong"]) for x in test][:50]
    assert [w.risk for w in wrong.worst] == pytest.approx([x["risk"] for x in test][:50])
    assert "Worst answers" in render_card(wrong)


def test_files_beside_the_card_hold_every_answer_riskiest_first(tmp_path: Path) -> None:
    screen(copier(), [written(tmp_path, rows())], out=tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "answers.parquet").to_pydict()
    assert len(table["id"]) == 120
    assert set(table["split"]) == {"detect", "fit", "test"}
    lines = [json.loads(x) for x in (tmp_path / "out" / "flagged.jsonl").read_text().splitlines()]
    risks = [x["risk"] for x in lines]
    assert risks == sorted(risks, reverse=True)
    assert {x["id"] for x in lines} == set(table["id"])
    assert RiskCard.load(tmp_path / "out").records is not None


def test_the_same_seed_gives_the_same_card_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    name = written(tmp_path, rows(60))
    first, again = (screen(copier(), [name], out=tmp_path / "out") for _ in range(2))
    fresh = screen(copier(), [name])
    plain = [c.model_copy(update={"environment": first.environment}).model_dump_json() for c in (first, again, fresh)]
    assert plain[0] == plain[1] == plain[2]
    other = written(tmp_path, rows(60, seed=3))
    with pytest.raises(StoreMismatchError, match="questions"):
        screen(copier(), [other], out=tmp_path / "out")


def test_records_that_do_not_fit_are_refused_one_by_one_and_counted(tmp_path: Path) -> None:
    found = rows(40)
    found[3]["retrieved_contexts"] = ["word " * 400]
    found[4]["retrieved_contexts"] = ["x" * 20_000_000]
    card = screen(copier(), [written(tmp_path, found)])
    assert card.records is not None
    assert card.records.refused == 2
    assert card.questions.n == 38
    assert [f.where.rpartition(" ")[2] for f in card.failures] == ["4", "5"]
    assert "--max-evidence" in card.failures[1].reason


def test_permuted_labels_leave_no_signal_above_chance(tmp_path: Path) -> None:
    """Under 200 permutations of the labels the gain is called above chance about as often as its level says."""
    from groundbench.stats.error_ranking import auroc_p

    screen(copier(), [written(tmp_path, rows(160))], out=tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "answers.parquet").to_pydict()
    risk, wrong = np.array(table["risk_gain"]), np.array(table["wrong"])
    group = np.unique(table["group"], return_inverse=True)[1]
    p = [auroc_p(risk, np.random.default_rng(seed).permutation(wrong), group) for seed in range(200)]
    assert 0.02 <= float(np.mean([x is not None and x < 0.05 for x in p])) <= 0.08


def test_a_model_that_says_nothing_finite_is_named(tmp_path: Path) -> None:
    from groundbench.api.errors import NonFiniteLogitsError

    broken = WordModel(lambda words: {"it": float("nan")}, "broken")
    with pytest.raises(NonFiniteLogitsError, match=r"my\.jsonl, line"):
        screen(broken, [written(tmp_path, rows(20))])

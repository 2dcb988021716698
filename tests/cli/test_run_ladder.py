"""`groundbench run` on a ladder: the whole of it by default, its table, its null controls, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.ladder_bed import GLUED, LADDER
from helpers.small_models import Home, tiny_llama

from groundbench.evaluation.evaluate import evaluate
from groundbench.registry import load_testbed

MODEL = "helpers.small_models:tiny_llama"
Say = Callable[..., tuple[int, str, str]]


def test_the_whole_ladder_by_default_as_evaluate_does(say: Say, bed: str, tmp_path: Path) -> None:
    quick = ("--draws", "1", "--denominator", "row", "--selection", "crossfit")
    code, out, err = say("run", MODEL, "--testbed", bed, *quick, "--out", str(tmp_path / "run"))
    assert code == 0, err
    assert "The ladder: heads per item" in out
    assert "copy-corrected gain G(gloss)/G(word)" in out
    shown = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [f["env_form"] for f in shown["forms"]] == ["word", "gloss", "name"]
    assert all(f["gain"] and f["heads"] and not f["ablations"] for f in shown["forms"])
    gains = evaluate(tiny_llama(), load_testbed(bed), measures=["gain"]).forms
    assert [f["gain"]["mean"] for f in shown["forms"]] == pytest.approx([f.gain.mean for f in gains if f.gain])


def test_the_defaults_of_the_command_are_those_of_the_function(say: Say, bed: str) -> None:
    one = json.loads(say("run", MODEL, "--testbed", bed, "--env-form", "name", "--draws", "1", "--json")[1])
    assert one["protocol"]["measures"] == ["gain", "heads", "causal"]
    assert len(one["forms"]) == 1
    flat = bed.replace("rungs", "flat")
    Path(flat).write_text(LADDER.replace("ladder: true\n", ""))
    other = json.loads(say("run", MODEL, "--testbed", flat, "--json")[1])
    python = evaluate(tiny_llama(), load_testbed(flat))
    assert other["protocol"] == python.protocol
    (form,) = other["forms"]
    assert form["ablations"] == []
    assert form["gain"]["mean"] == pytest.approx(python.gain.mean if python.gain else None)
    assert evaluate(tiny_llama(), Home()).protocol["measures"] == python.protocol["measures"]


def test_the_default_form_of_a_ladder_is_quoted_first(say: Say, bed: str) -> None:
    Path(bed).write_text(LADDER.replace("ladder: true\n", "ladder: true\ndefault_form: gloss\n"))
    result = evaluate(tiny_llama(), load_testbed(bed), measures=["gain"])
    assert [f.env_form for f in result.forms] == ["gloss", "word", "name"]
    out, err = say("run", MODEL, "--testbed", bed, "--env-form", "word,gloss", "--limit", "5", "--measure", "gain")[1:]
    assert f"run {MODEL} --testbed {bed} --env-form word,gloss --limit 5 --shuffle-forms" in err
    assert "copy-corrected gain G(gloss)/G(word): " in " ".join(out.split())
    assert "nats within categories" in " ".join(out.split())


def test_dry_run_is_of_the_whole_ladder(say: Say, bed: str) -> None:
    code, out, _ = say("run", MODEL, "--testbed", bed, "--dry-run", "--json")
    assert code == 0
    assert [p["form"] for p in json.loads(out)] == ["word", "gloss", "name"]


def test_the_null_controls_have_names_of_their_own(say: Say, bed: str) -> None:
    words = ("run", MODEL, "--testbed", bed, "--measure", "gain", "--json")
    plain, shuffled, random = (
        json.loads(say(*words, *more)[1]) for more in ((), ("--shuffle-forms",), ("--random-weights", "--seed", "7"))
    )
    assert [r["testbed"]["name"] for r in (plain, shuffled, random)] == ["rungs", "rungs-shuffled", "rungs"]
    assert [r["model"]["name"] for r in (plain, shuffled, random)] == ["tiny-llama"] * 2 + ["tiny-llama (untrained)"]
    assert len({r["testbed"]["hash"] for r in (plain, shuffled)}) == 2
    assert len({r["model"]["fingerprint"] for r in (plain, random)}) == 2


def test_what_is_left_out_is_counted_in_its_row(say: Say, bed: str) -> None:
    Path(bed).write_text(GLUED)
    code, out, _ = say("run", MODEL, "--testbed", bed, "--measure", "gain")
    assert code == 0
    rows = [[c.strip() for c in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert [row[:3] for row in rows] == [["▸\xa0word", "8", "0"], ["gloss", "7", "1"], ["name", "6", "2"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ablation-nouns", "few"), "--ablation-nouns 'few': expected a whole number or all"),
        (("--ablation-nouns", "3"), "ablation_nouns is 3; expected at least 4 or all"),
        (("--chat",), "--chat was asked for"),
        (("--env-form", "smell"), "has no ENV form 'smell'"),
    ],
)
def test_bad_input_is_one_sentence(say: Say, bed: str, words: tuple[str, ...], message: str) -> None:
    code, out, err = say("run", MODEL, "--testbed", bed, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1

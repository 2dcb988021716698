"""`groundbench run` with --edit, --factor and --positions; a merged target; a folder that holds another model's run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.ladder_bed import LADDER
from helpers.small_models import tiny_gpt2  # noqa: F401  named below as a model
from helpers.tolerances import nats

MODEL, OTHER = "helpers.small_models:tiny_llama", "helpers.small_models:tiny_gpt2"
Say = Callable[..., tuple[int, str, str]]


def ablations(say: Say, bed: str, *words: str) -> list[dict[str, Any]]:
    quick = ("--env-form", "word", "--measure", "ablation", "--draws", "1", "--selection", "crossfit", "--limit", "6")
    code, out, err = say("run", MODEL, "--testbed", bed, *quick, "--denominator", "row", "--json", *words)
    assert code == 0, err
    return json.loads(out)["forms"][0]["ablations"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("words", "mode", "positions", "factor"),
    [
        ((), "zero", "all", None),
        (("--edit", "mean", "--positions", "last"), "mean", "last", None),
        (("--edit", "resample", "--positions", "last"), "resample", "last", None),
        (("--edit", "scale", "--factor", "2"), "scale", "all", 2.0),
    ],
)
def test_the_record_says_what_was_done(
    say: Say, bed: str, words: tuple[str, ...], mode: str, positions: str, factor: float | None
) -> None:
    found = ablations(say, bed, *words)
    assert {(a["mode"], a["positions"], a["selection"]) for a in found} == {(mode, positions, "crossfit")}
    assert {a["factor"] for a in found} == {factor}


def test_a_factor_of_one_changes_nothing_and_zero_is_the_default_edit(say: Say, bed: str) -> None:
    cut, zero, same = (
        ablations(say, bed, *words)
        for words in ((), ("--edit", "scale", "--factor", "0"), ("--edit", "scale", "--factor", "1"))
    )
    assert [a["n_heads"] for a in cut] == [a["n_heads"] for a in same]
    assert any(a["gain_ablated"] is not None for a in cut)
    for c, z, s in zip(cut, zero, same, strict=True):
        for found, wanted in ((z["gain_ablated"], c["gain_ablated"]), (s["gain_ablated"], s["gain_original"])):
            assert found is None or found == nats(wanted, s["original"])
        assert (z["gain_ablated"] is None) == (c["gain_ablated"] is None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--edit", "resample"), "resample needs positions 'last'"),
        (("--edit", "mean", "--selection", "instance"), "cannot mean heads"),
        (("--edit", "cut"), "'cut' is not one of 'zero', 'mean', 'resample', 'scale'"),
    ],
)
def test_an_edit_that_cannot_be_made_is_one_sentence(say: Say, bed: str, words: tuple[str, ...], said: str) -> None:
    code, out, err = say("run", MODEL, "--testbed", bed, "--env-form", "word", "--measure", "ablation", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_target_that_the_tokenizer_merges_is_one_sentence(say: Say, bed: str) -> None:
    """The frames are cut in the middle of a word that is one token."""
    glued = LADDER.replace("natural_language: true", "natural_language: false")
    glued = glued.replace("Look at that", "Look at th").replace("Do you want the", "Do you want th")
    Path(bed).write_text(f'{glued}join: ""\ntarget: "e {{noun}}"\n')
    code, out, err = say("run", MODEL, "--testbed", bed, "--env-form", "word", "--measure", "gain")
    assert (code, out) == (2, "")
    assert "the tokenizer merges the context's end" in err
    assert "(tokens [" in err
    assert "a target must begin a token of its own" in err
    assert len(err.strip().splitlines()) == 1


def test_a_folder_of_another_models_run_is_refused(say: Say, bed: str, tmp_path: Path) -> None:
    words = ("--testbed", bed, "--measure", "gain", "--out", str(tmp_path / "run"))
    assert say("run", MODEL, *words)[0] == 0
    before = (tmp_path / "run" / "result.json").read_bytes()
    code, out, err = say("run", OTHER, *words)
    assert (code, out) == (2, "")
    assert "holds a run with model 'tiny-llama', but this run has 'tiny-gpt2'; choose another --out" in err
    assert len(err.strip().splitlines()) == 1
    assert (tmp_path / "run" / "result.json").read_bytes() == before
    assert say("run", OTHER, *words, "--force")[0] == 0


def test_the_controls_and_the_loss_are_the_users_choice(say: Say, bed: str) -> None:
    found = ablations(say, bed, "--control", "uniform,layer")
    assert [a["control"] for a in found if a["denominator"] == "row"] == ["uniform", "layer"]
    ask = ("run", MODEL, "--testbed", bed, "--env-form", "word", "--measure", "heads", "--json")
    results = [json.loads(say(*ask, "--loss", loss)[1]) for loss in ("first", "all")]
    assert [r["protocol"]["loss"] for r in results] == ["first", "all"]
    shares = [[c["share"] for c in r["forms"][0]["heads"][0]["by_head"]] for r in results]
    assert shares[0] != shares[1]
    code, _, err = say(*ask, "--control", "strongest")
    assert code == 2
    assert "unknown control 'strongest': expected some of layer, uniform, saliency" in err


def test_force_clears_a_run_that_never_began_and_one_with_a_lens(say: Say, bed: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("--testbed", bed, "--env-form", "word", "--measure", "gain", "--out", str(out))
    assert say("run", OTHER, *words)[0] == 0
    shutil.rmtree(out / "parts")  # as if it had been stopped before its first part
    (out / "lens").mkdir()
    (out / "lens" / "word.safetensors").write_bytes(b"another model's")
    (out / "notes.txt").write_text("mine")
    assert say("run", MODEL, *words)[0] == 2
    assert say("run", MODEL, *words, "--force")[0] == 0
    assert not (out / "lens").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_force_leaves_a_folder_that_holds_no_run(say: Say, bed: str, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thesis.txt").write_text("mine")
    say("run", MODEL, "--testbed", bed, "--env-form", "word", "--measure", "gain", "--out", str(tmp_path), "--force")
    assert (tmp_path / "parts" / "thesis.txt").read_text() == "mine"

"""The board's own entries: each valid, each from a recipe of scripts/generate/leaderboard, which changes no number."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import numpy as np
import pytest
from helpers import tiny_backends as tiny
from helpers.cards import made_up_card
from helpers.fake_ladder import write_ladder
from helpers.fake_results import fake_result, fake_trajectory, write_run
from helpers.submissions import references

from groundbench.leaderboard import Submission, build_site, open_board
from groundbench.leaderboard.submission.files import check_name
from groundbench.leaderboard.submission.reference import installed_references
from groundbench.results.items import item_forms, read_items
from groundbench.results.risk_card import OpenedRecord
from groundbench.results.run import Failure, Result
from groundbench.results.trajectory import Trajectory


@pytest.fixture
def script(root, monkeypatch):
    loader = SourceFileLoader("own_entries", str(root / "scripts" / "generate" / "leaderboard"))
    module = module_from_spec(spec_from_loader("own_entries", loader))
    monkeypatch.setitem(__import__("sys").modules, "own_entries", module)  # dataclasses look their module up
    loader.exec_module(module)
    monkeypatch.setattr(module, "installed_references", references)
    return module


def test_every_committed_entry_is_valid_and_has_a_recipe(root, script, tmp_path):
    board = open_board(root / "leaderboard", installed_references)
    found = list(board.read())
    assert [str(e) for e in found if not isinstance(e, Submission)] == []
    assert {"gpt2-mini", "gpt2-mini-shuffled", "lstm-4l-mini"} <= set(board.slugs) <= set(script.RECIPES)
    for entry in found:
        recipes = {r.run: r for name, r in script.RECIPES.items() if (r.entry or name) == entry.slug}
        for run in entry.runs:
            recipe = recipes[run.name]
            assert entry.card.model == recipe.model
            measured = run.last.protocol["measures"] if run.results else []
            if "ablation" in measured and run.bed.ladder:
                continue  # measured before ladders had a score and causes
            assert [m for m in recipe.measures if m in measured] == measured
            assert f"groundbench {recipe.as_run(measured)}" in entry.card.notes.split("Measured with: ")[1].split("; ")
            assert (entry.slug in board.about.references) == recipe.reference
    assert build_site(board, tmp_path / "site") == []


def measured(result: Result, measures=("gain", "heads", "ablation", "lens")) -> Result:
    return result.model_copy(update={"protocol": {**result.protocol, "measures": list(measures)}})


def finished_demo(run):
    """A trajectory folder such as the demo leaves, with the items of its last checkpoint."""
    curve = fake_trajectory(1)
    last = measured(write_run(run / "step-002000", 5, n_nouns=40, step=2000))
    points = (*curve.points[:-1], curve.points[-1].model_copy(update={"result": last}))
    curve.model_copy(update={"points": points}).save(run / "trajectory.json")
    return Trajectory.load(run)


def test_a_finished_run_becomes_an_entry_without_loss(script, tmp_path):
    run, board = tmp_path / "gpt2-mini", tmp_path / "board"
    expected = finished_demo(run)
    options = ["--entry", "gpt2-mini", "--run", str(run), "--board", str(board)]
    for _ in range(2):  # the second takes the place of the first
        assert script.main(options) == 0
    kept = board / "entries" / "gpt2-mini" / "childworld"
    assert Trajectory.load(kept) == expected
    again, before = (read_items(f / "items.parquet") for f in (kept, run / "step-002000"))
    assert np.array_equal(again.dense(), before.dense())
    assert (again.nouns, again.frames, again.form) == (before.nouns, before.frames, before.form)
    assert sorted(p.name for p in board.iterdir()) == ["entries"]
    (entry,) = open_board(board, references).read()
    assert entry.card.commit == expected.last.environment.git


@pytest.mark.parametrize(
    ("name", "run", "message"),
    [
        ("smollm2", {"measures": ["gain", "lens"]}, "smollm2 has ['gain', 'heads', 'causal']"),
        ("smollm2", {"forms": 1}, "smollm2 has the whole ladder"),
    ],
)
def test_a_run_of_another_command_is_refused(script, tmp_path, capsys, name, run, message):
    result = measured(fake_result(1), run.get("measures", ["gain", "heads", "causal"]))
    result.model_copy(update={"forms": result.forms[: run.get("forms")]}).save(tmp_path / "run" / "result.json")
    options = ["--entry", name, "--run", str(tmp_path / "run"), "--board", str(tmp_path / "board")]
    assert script.main(options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "board" / "entries").exists()


def test_weights_that_come_in_no_package_are_asked_for(script, tmp_path, capsys):
    assert script.main(["--entry", "stories260k", "--runs", str(tmp_path), "--board", str(tmp_path / "b")]) == 2
    assert "name them with --model" in capsys.readouterr().err


def test_every_recipe_is_a_command_of_ours(script, capsys):
    from groundbench.cli.lazy import load

    assert script.main(["--list"]) == 0
    said = capsys.readouterr().out
    for name, recipe in script.RECIPES.items():
        assert f"{name}\n    groundbench {recipe.command}\n" in said
        verb, *words = recipe.command.split()
        options = {o for p in load(verb).params for o in p.opts}
        assert {w for w in words if w.startswith("--")} <= options


def test_every_hub_recipe_is_a_command_of_ours(script, capsys):
    from groundbench.cli.lazy import load

    recipes = script.hub_recipes()
    assert len(recipes) >= 25
    assert len({r.weights for r in recipes.values()}) == len(recipes)
    known = {o for p in load("run").params for o in p.opts}
    for name, recipe in recipes.items():
        check_name(name, "hub_models.yaml")
        verb, _, *words = recipe.command.split()
        assert verb == "run"
        assert {w for w in words if w.startswith("--")} <= known
        assert "--testbed ladder --env-form all" in recipe.command
    assert script.main(["--hub", "--list", "--entry", "qwen3-0-6b"]) == 0
    assert "groundbench run Qwen/Qwen3-0.6B-Base" in capsys.readouterr().out


def test_the_hubs_commands_run_dry_on_a_model_at_hand(script, say, tmp_path):
    """Every command with its model and batch size replaced: what differs between them beyond that is tried."""
    pytest.importorskip("accelerate")
    folder = str(tiny.save_gpt2(tmp_path / "tiny"))
    commands = set()
    for recipe in script.hub_recipes().values():
        words = recipe.command.split()
        words[1], words[-1] = folder, str(tmp_path / "out")
        words[words.index("--batch-tokens") + 1] = "2048"
        commands.add((*words, "--dry-run"))
    assert len(commands) <= 6
    for words in sorted(commands):
        code, out, _ = say(*words)
        assert code == 0, words
        assert "gain" in out
    assert not (tmp_path / "out").exists()


def test_a_hub_model_is_not_written_without_its_licence(script, tmp_path, capsys):
    folder = write_ladder(tmp_path, "mine", {"word": 8.0, "gloss": 5.0}, 1) / "ladder"
    measured(Result.load(folder), ["gain", "heads"]).save(folder / "result.json")
    options = ["--hub", "--entry", "qwen3-0-6b", "--run", str(folder), "--board", str(tmp_path / "board")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "installed_references", installed_references)
        assert script.main(options) == 2
        assert "name its licence with --licence" in capsys.readouterr().err
        assert script.main([*options, "--licence", "MIT", "--released", "2025-04"]) == 0
    (entry,) = open_board(tmp_path / "board", installed_references).read()
    assert (entry.card.licence, entry.card.released) == ("MIT", "2025-04")


def test_an_unknown_entry_is_named(script, capsys):
    with pytest.raises(SystemExit) as ended:
        script.main(["--entry", "gpt5"])
    assert ended.value.code == 2
    assert "no entry 'gpt5'" in capsys.readouterr().err


def test_a_ladder_keeps_the_items_of_all_its_forms(script, tmp_path):
    folder = write_ladder(tmp_path, "mine", {"word": 8.0, "gloss": 5.0}, 1)
    script.pack(folder / "ladder", tmp_path / "packed")
    assert set(item_forms(tmp_path / "packed" / "items.parquet")) == {"word", "gloss"}


def test_a_new_entry_of_ours_is_named_on_the_board(script, tmp_path):
    (tmp_path / "board.yaml").write_text("# kept\nsubmitter: groundbench\nown: [b]\n")
    script.own_up(tmp_path / "board.yaml", "a", "groundbench")
    script.own_up(tmp_path / "board.yaml", "c", "somebody else")
    assert (tmp_path / "board.yaml").read_text() == "# kept\nsubmitter: groundbench\nown: [a, b]\n"
    script.own_up(tmp_path / "board.yaml", "d", "groundbench", reference=True)
    assert (tmp_path / "board.yaml").read_text().endswith("own: [a, b, d]\nreferences: [d]\n")


def test_a_run_of_some_measures_names_them_and_a_screening_stands_beside_it(script, tmp_path):
    folder = write_ladder(tmp_path, "mine", {"word": 8.0, "gloss": 5.0}, 1) / "ladder"
    document = Result.load(folder)
    measured(document, ["gain"]).save(folder / "result.json")
    board = tmp_path / "board"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "installed_references", installed_references)
        for _ in range(2):
            assert script.main(["--entry", "smollm2", "--run", str(folder), "--board", str(board)]) == 0
        screened = made_up_card(fingerprint=document.model.fingerprint)
        opened = OpenedRecord(model=str(tmp_path / "model.gguf"))
        faulty = Failure(where=f"{tmp_path}/my.jsonl, line 3", reason=f"{tmp_path}/my.jsonl: not JSON")
        screened.model_copy(update={"opened": opened, "failures": (faulty,)}).save(tmp_path / "screened" / "card.json")
        for _ in range(2):
            for name in ("smollm2-rag", "smollm2-memotrap"):
                assert script.main(["--entry", name, "--run", str(tmp_path / "screened"), "--board", str(board)]) == 0
    (entry,) = open_board(board, installed_references).read()
    assert [r.name for r in entry.runs] == ["ladder", "memotrap", "rag"]
    packed = (board / "entries" / "smollm2" / "rag" / "card.json").read_text()
    assert str(tmp_path) not in packed
    assert '"my.jsonl, line 3"' in packed
    assert entry.card.notes.split("Measured with: ")[1] == (
        "groundbench run MODEL --testbed ladder --measure gain --out OUT; "
        "groundbench screen MODEL --questions docs/examples/rag.jsonl "
        "--carriers leaderboard/entries/smollm2/ladder --out OUT; "
        "groundbench screen MODEL --questions memotrap-1-proverb-ending.csv --limit 200 "
        "--carriers leaderboard/entries/smollm2/ladder --max-risk 0.15 --out OUT"
    )

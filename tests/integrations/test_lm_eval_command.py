"""Both ways of calling lm-eval, from the command line to its result files, and those files as results of ours."""

from __future__ import annotations

import json
import logging
import sys

import pytest

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval's hf backend is not installed")

from helpers import tiny_backends as tiny  # noqa: E402
from helpers.tolerances import nats  # noqa: E402
from lm_eval.tasks import manager  # noqa: E402

import groundbench  # noqa: E402
from groundbench.api.errors import BadInputError  # noqa: E402
from groundbench.cli import main  # noqa: E402
from groundbench.export import to_lm_eval  # noqa: E402
from groundbench.integrations.lm_eval import include_path  # noqa: E402
from groundbench.integrations.lm_eval.convert import from_lm_eval, read_lm_eval  # noqa: E402
from groundbench.results.run import Result  # noqa: E402

SMALL = ["--metadata", "limit_nouns=5", "--device", "cpu", "--log_samples"]


@pytest.fixture(autouse=True)
def _quiet_and_few(monkeypatch):
    """lm-eval reads its own ten thousand task files at every start, for 14 seconds: here it sees ours only."""
    original = manager.TaskManager.__init__
    monkeypatch.setattr(
        manager.TaskManager,
        "__init__",
        lambda self, *args, **more: original(self, *args, **{**more, "include_defaults": False}),
    )
    level = logging.getLogger("lm_eval").level
    yield
    logging.getLogger("lm_eval").setLevel(level)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_gpt2(tmp_path_factory.mktemp("gpt2"))


def written(out):
    """The results file and how many samples files lie beside it."""
    (path,) = out.rglob("results_*.json")
    return path, len(list(path.parent.glob("samples_*.jsonl")))


def test_lm_evals_own_command_runs_the_group(folder, tmp_path, monkeypatch, capsys):
    from lm_eval.__main__ import cli_evaluate

    args = ["run", "--model", "hf", "--model_args", f"pretrained={folder}", "--tasks", "groundbench"]
    args += ["--include_path", str(include_path()), *SMALL, "--batch_size", "32", "--output_path", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["lm-eval", *args])
    cli_evaluate()
    assert "groundbench_word" in capsys.readouterr().out
    path, n_samples = written(tmp_path)
    ladder = groundbench.evaluate(tiny.adapter(), "ladder", forms=["all"], limit=5, measures=["gain"])
    assert n_samples == len(ladder.forms)
    found = read_lm_eval(path)
    assert [f.env_form for f in found.forms] == [f.env_form for f in ladder.forms]
    for theirs, ours in zip(found.forms, ladder.forms, strict=True):
        assert theirs.n_nouns == ours.n_nouns
        for name in ("mean", "ci_low", "ci_high", "matched", "mismatched", "p_cluster", "p_signflip", "same_category"):
            a, b = getattr(theirs.gain, name), getattr(ours.gain, name)
            assert a == pytest.approx(b, abs=1e-4) if b is not None else a is None, (theirs.env_form, name)
    assert found.testbed == ladder.testbed.model_copy(update={"excluded": ()})
    assert (found.heads, found.ablations, found.lens) == ((), (), ())


def test_ours_runs_on_our_engine_and_its_results_convert(folder, tmp_path, capsys):
    args = ["lm-eval", "--model", "groundbench", "--model_args", f"pretrained={folder}", *SMALL]
    code = main([*args, "--tasks", "groundbench_word,groundbench_full_word", "--output_path", str(tmp_path / "out")])
    assert code == 0
    assert "aggregate_heads" in capsys.readouterr().out
    path, n_samples = written(tmp_path / "out")
    assert n_samples == 2
    assert main(["lm-eval", "--convert", str(path), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'result.json'}\n"
    found = Result.load(tmp_path)
    direct = groundbench.evaluate(tiny.adapter(), "ladder", forms=["word"], limit=5, measures=["gain"])
    assert found.gain.mean == nats(direct.gain.mean, direct.gain.mismatched)
    assert found.gain.p_cluster == pytest.approx(direct.gain.p_cluster, abs=1e-4)
    assert found.model.parameters == direct.model.parameters
    assert found.model.family == "gpt2"
    assert found.protocol["backend"] == "groundbench"


def test_an_lstm_of_ours_runs_under_lm_evals_hf(tmp_path, capsys):
    """It has neither BOS nor EOS, and a type that transformers knows only once groundbench is imported."""
    lstm = tiny.save_lstm(tmp_path / "lstm")
    args = ["lm-eval", "run", "--model", "hf", "--model_args", f"pretrained={lstm}", *SMALL]
    code = main([*args, "--tasks", "groundbench_childworld_token", "--output_path", str(tmp_path / "out")])
    assert code == 0, capsys.readouterr().err
    found = read_lm_eval(written(tmp_path / "out")[0])
    direct = groundbench.evaluate(str(lstm), "childworld", limit=5, measures=["gain"])
    assert found.gain.mean == nats(direct.gain.mean, direct.gain.mismatched, depth=64)
    assert found.testbed.name == "childworld"


def test_the_full_tasks_on_another_model_are_refused(folder, capsys):
    args = ["lm-eval", "--model", "hf", "--model_args", f"pretrained={folder}", "--metadata", "limit_nouns=4"]
    assert main([*args, "--device", "cpu", "--tasks", "groundbench_full_word"]) == 2
    assert "the groundbench_full tasks need --model groundbench" in capsys.readouterr().err.splitlines()[-1]


def test_a_users_own_task_folder_stays(folder, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(
        f"include: {include_path()}/_portable_yaml\ntask: own\nmetadata: {{testbed: ladder, env_form: word}}\n"
    )
    args = ["lm-eval", "--model", "groundbench", "--model_args", f"pretrained={folder}", "--metadata", "limit_nouns=4"]
    assert main([*args, "--include_path", str(tmp_path), "--tasks", "own,groundbench_word"]) == 0
    shown = capsys.readouterr().out
    assert "own" in shown
    assert "groundbench_word" in shown


def test_unknown_tasks_are_one_sentence(capsys):
    assert main(["lm-eval", "--model", "groundbench", "--tasks", "groundbench_smell"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "groundbench: lm-eval: Tasks not found: groundbench_smell (`groundbench lm-eval ls tasks` lists them)"
    )


def test_the_command_says_where_the_task_files_are(capsys):
    assert main(["lm-eval", "--print-include-path"]) == 0
    assert capsys.readouterr().out == f"{include_path()}\n"


def test_lm_evals_own_help_is_reached(capsys):
    assert main(["lm-eval", "run", "--help"]) == 0
    assert "--include_path" in capsys.readouterr().out


def test_a_wrong_option_is_lm_evals_own_error(capsys):
    assert main(["lm-eval", "ls", "nothing"]) == 2
    assert "invalid choice" in capsys.readouterr().err


def test_without_lm_eval_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert main(["lm-eval", "--tasks", "groundbench"]) == 2
    assert capsys.readouterr().err == (
        "groundbench: groundbench lm-eval needs lm-evaluation-harness: pip install 'groundbench[lm-eval]'\n"
    )


def test_our_results_go_to_lm_evals_json_and_back():
    ours = groundbench.evaluate(tiny.adapter(), "ladder", forms=["word", "gloss"], limit=5, measures=["gain"])
    again = from_lm_eval(json.loads(json.dumps(to_lm_eval(ours, date=0.0))))
    assert again.testbed == ours.testbed.model_copy(update={"excluded": ()})
    for name in ("name", "family", "architecture", "parameters", "dtype", "fingerprint"):
        assert getattr(again.model, name) == getattr(ours.model, name)
    for a, b in zip(again.forms, ours.forms, strict=True):
        assert (a.env_form, a.n_nouns) == (b.env_form, b.n_nouns)
        for name in ("mean", "ci_low", "ci_high", "matched", "mismatched", "same_category", "same_category_ci_low"):
            assert getattr(a.gain, name) == getattr(b.gain, name), name
        assert (a.gain.p_cluster, a.gain.per_frame_sd, a.gain.by_noun) == (None, None, ())


def test_results_without_samples_give_means_and_no_interval():
    run = lm_eval.simple_evaluate(
        model=groundbench.integrations.lm_eval.model.GroundbenchLM(tiny.adapter()),
        tasks=["groundbench_word"],
        task_manager=tiny.our_tasks(limit_nouns=5),
        log_samples=False,
    )
    found = from_lm_eval(run)
    assert found.gain.mean == run["results"]["groundbench_word"]["grounding_gain,none"]
    assert (found.gain.ci_low, found.gain.p_cluster, found.gain.by_noun) == (None, None, ())
    assert (found.testbed.n_nouns, found.testbed.n_items) == (5, 50)
    run["config"].pop("model_num_parameters")
    with pytest.raises(BadInputError, match="model_num_parameters is None; expected the model's size"):
        from_lm_eval(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "cannot be read as JSON"),
        ("[]", "not results of lm-eval"),
        ('{"results": {"arc": {}}, "configs": {"arc": {}}, "n-samples": {}}', "none of groundbench's tasks among arc"),
    ],
)
def test_files_that_are_no_results_of_ours_are_refused(tmp_path, text, message, capsys):
    path = tmp_path / "results_1.json"
    if text is not None:
        path.write_text(text)
    assert main(["lm-eval", "--convert", str(path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err

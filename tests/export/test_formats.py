"""Exports: what they carry, that other tools' own readers take them, that a name cannot break out of a table."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
import yaml
from helpers.fake_results import fake_result, fake_trajectory

from groundbench.cli import main
from groundbench.export import (
    to_csv,
    to_every_eval_ever,
    to_hub,
    to_latex,
    to_lm_eval,
    to_markdown,
    to_model_card,
)
from groundbench.export.metrics import metrics
from groundbench.results.run import GainRecord, Result
from groundbench.results.trajectory import Trajectory

SCHEMA = Path(__file__).parent / "every_eval_ever-0.3.0.schema.json"
RESULT = fake_result(1)
HEADLESS = fake_result(2, gain=0.0, layers=0)


def renamed(name: str):
    return RESULT.model_copy(update={"model": RESULT.model.model_copy(update={"name": name})})


def unmeasured():
    bare = {"gain": GainRecord(mean=None), "heads": (), "ablations": ()}
    form = RESULT.headline.model_copy(update=bare)
    return RESULT.model_copy(update={"forms": (form,), "copy_corrected": None})


def record(result=RESULT):
    return to_every_eval_ever(result, retrieved=1_700_000_000, organization="us", relationship="third_party")


def of_the_board() -> list:
    """The results of the repository's own entries: measured ones."""
    entries = Path(__file__).resolve().parents[2] / "leaderboard" / "entries"
    runs = [Trajectory.load(p).last for p in sorted(entries.glob("*/*/trajectory.json"))]
    return runs + [Result.load(p) for p in sorted(entries.glob("*/*/result.json"))]


MEASURED = of_the_board()


@pytest.mark.parametrize("result", MEASURED, ids=lambda r: r.model.name)
def test_measured_results_export_to_every_format(result):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the test extra")
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    assert not list(validator.iter_errors(record(result)))
    assert record(result)["evaluation_results"]
    json.dumps(to_lm_eval(result, date=0.0), allow_nan=False)
    (first, *_) = yaml.safe_load(to_hub(result, dataset="org/name"))
    assert first["value"] == pytest.approx(result.gain.mean, abs=1e-4)
    (row, *_) = csv.DictReader(io.StringIO(to_csv([result])))
    assert float(row["grounding_gain"]) == result.gain.mean
    shown = f"{result.gain.mean:.2f}"
    assert all(shown in text for text in (to_markdown([result]), to_latex([result]), to_model_card(result)))


@pytest.mark.parametrize("result", [RESULT, HEADLESS, unmeasured()], ids=["full", "headless", "unmeasured"])
def test_every_eval_ever_records_fit_the_published_schema(result):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the test extra")
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert not list(validator.iter_errors(record(result)))
    broken = record(result) | {"schema_version": 3}
    assert list(validator.iter_errors(broken))  # the schema does refuse


def test_every_eval_ever_carries_the_gain_with_its_interval():
    first = record()["evaluation_results"][0]
    assert first["metric_config"]["metric_id"] == "groundbench.grounding_gain"
    assert first["score_details"]["score"] == RESULT.gain.mean
    interval = first["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == (RESULT.gain.ci_low, RESULT.gain.ci_high)
    assert first["metric_config"]["lower_is_better"] is False
    ids = [r["evaluation_result_id"] for r in record()["evaluation_results"]]
    assert len(ids) == len(set(ids))


def test_the_hubs_own_parser_reads_our_yaml():
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub does not know .eval_results")
    text = to_hub(RESULT, dataset="org/name", date="2026-01-01T00:00:00Z", source="https://example.org/run")
    entries = hub.parse_eval_result_entries(yaml.safe_load(text))
    assert entries[0].dataset_id == "org/name"
    assert entries[0].task_id == "token"
    assert entries[0].value == pytest.approx(RESULT.gain.mean, abs=1e-4)
    assert hub.eval_result_entries_to_yaml(entries) == yaml.safe_load(text)


def test_lm_evals_own_table_reads_our_json():
    utils = pytest.importorskip("lm_eval.utils")
    document = json.loads(json.dumps(to_lm_eval(RESULT, date=0.0), allow_nan=False))
    task = "groundbench_childworld_token"
    assert document["results"][task]["grounding_gain,none"] == RESULT.gain.mean
    assert document["n-samples"][task] == {"original": 1000, "effective": 1000}
    table = utils.make_table(document)
    assert f"{RESULT.gain.mean:.4f}" in table
    assert "groundbench_childworld_gloss" in table


def test_what_was_not_measured_is_absent_never_zero():
    assert not metrics(unmeasured())
    ids = {m.id for m in metrics(HEADLESS)}
    assert not ids & {"aggregate_heads", "gain_removed", "copy_corrected_gain"}
    row = next(csv.DictReader(io.StringIO(to_csv([HEADLESS]))))
    assert row["aggregate_heads"] == ""
    assert row["step"] == ""


def test_csv_keeps_full_precision():
    rows = list(csv.DictReader(io.StringIO(to_csv([RESULT]))))
    assert [r["env_form"] for r in rows] == ["token", "word", "gloss", "translation", "emoji"]
    assert float(rows[0]["grounding_gain"]) == RESULT.gain.mean
    assert math.isclose(float(rows[0]["mismatched_surprisal"]) - float(rows[0]["matched_surprisal"]), RESULT.gain.mean)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x"])
def test_a_name_is_no_formula_in_a_spreadsheet(start):
    row = next(csv.DictReader(io.StringIO(to_csv([renamed(start)]))))
    assert row["model"] == f"'{start}"


def test_latex_escapes_and_keeps_its_columns():
    text = to_latex([renamed(r"a_b & 50% \input{x} $y$ #1 ~^")])
    assert r"a\_b \& 50\% \textbackslash{}input\{x\} \$y\$ \#1 \textasciitilde{}\textasciicircum{}" in text
    columns = len(text.splitlines()[0].removeprefix(r"\begin{tabular}{").removesuffix("}"))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {row.replace(r"\&", "").count("&") + 1 for row in rows} == {columns}
    assert "\\begin{tabular}" in text
    assert "\\bottomrule" in text


def test_markdown_rows_have_the_columns_of_the_head():
    text = to_markdown([renamed("a|b <script>*x*\n| c")])
    assert "<script" not in text
    lines = text.splitlines()
    assert len(lines) == 2 + 5
    assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}


def test_a_model_card_names_testbed_and_weights():
    card = to_model_card(RESULT)
    assert RESULT.testbed.hash in card
    assert "sha256:00000001" in card
    assert f"{RESULT.gain.mean:.2f}" in card


@pytest.mark.parametrize("to", ["csv", "markdown", "latex", "model-card", "lm-eval", "every-eval-ever", "hub"])
def test_the_command_writes_every_format(to, tmp_path, capsys):
    RESULT.save(tmp_path / "result.json")
    out = tmp_path / "out.txt"
    assert main(["export", str(tmp_path), "--to", to, "--dataset", "org/name"]) == 0
    printed = capsys.readouterr().out
    assert main(["export", str(tmp_path), "--to", to, "--dataset", "org/name", "--out", str(out)]) == 0
    assert out.read_text().splitlines()[0] == printed.splitlines()[0]


def test_a_trajectory_exports_every_checkpoint(tmp_path, capsys):
    fake_trajectory(1).save(tmp_path / "trajectory.json")
    assert main(["export", str(tmp_path)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {int(r["step"]) for r in rows} == {0, 100, 200, 400, 600, 800, 1000, 1300, 1600, 2000}


def test_the_hub_format_needs_a_dataset(tmp_path, capsys):
    RESULT.save(tmp_path / "result.json")
    assert main(["export", str(tmp_path), "--to", "hub"]) == 2
    assert "ORG/NAME" in capsys.readouterr().err

"""Results in the terminal: every measured number is there, and what was not measured is never a 0."""

from __future__ import annotations

import re

import pytest
from fake_results import fake_result, fake_trajectory

from groundbench.cli.results import show_result, show_trajectories
from groundbench.result import GainRecord, Result


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.mark.usefixtures("wide")
def test_everything_measured_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = fake_result()
    show_result(result)
    text = shown(capsys)
    gain = result.gain
    assert gain is not None
    for value in (gain.mean, gain.ci_low, gain.ci_high, gain.matched, gain.mismatched):
        assert value is not None
        assert f"{value:.3f}" in text
    for heads in result.heads:
        assert heads.kind in text
        assert f"{heads.mean_count:.2f}" in text
    for cut in result.ablations:
        assert f"{cut.gain_ablated:.2f}" in text
        assert cut.control in text
    assert all(f"{lens.kind.capitalize()} lens" in text for lens in result.lens)


@pytest.mark.usefixtures("wide")
def test_what_was_not_measured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    full = fake_result()
    bare = Result(model=full.model, testbed=full.testbed, gain=GainRecord(mean=None), environment=full.environment)
    show_result(bare)
    row = next(line for line in shown(capsys).splitlines() if re.match(rf"│ {full.testbed.env_form} ", line))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[2:] == ["0", "not measured", "", *["not measured"] * 3, "not testable", "not measured", "0"]
    show_result(bare.model_copy(update={"gain": None}))
    assert "not measured" in shown(capsys)


@pytest.mark.usefixtures("wide")
def test_a_trajectory_has_a_row_for_every_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    run = fake_trajectory()
    show_trajectories([run])
    rows = [line for line in shown(capsys).splitlines() if re.match(r"│ +\d+ │", line)]
    assert [int(row.split("│")[1]) for row in rows] == [p.step for p in run.points]
    for row, point in zip(rows, run.points, strict=True):
        cut = row.split("│")[9].strip()
        ablations = point.result.ablations
        assert cut == (f"{ablations[0].gain_ablated:.2f}" if ablations else "-")

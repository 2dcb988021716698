"""The ladder score in every export: beside the forms' own numbers, absent where there is none."""

from __future__ import annotations

import json

import pytest
from helpers.fake_ladder import ladder, ladder_result, ladder_table

from groundbench.export.lm_eval_json import to_lm_eval
from groundbench.export.metrics import metrics


@pytest.fixture(scope="module", params=[True, False], ids=["ladder", "word alone"])
def result(request):
    bed = ladder()
    gains = {"word": 8.0, "gloss": 4.0} if request.param else {"word": 8.0}
    return ladder_result(bed, [ladder_table(bed, f, g, 1) for f, g in gains.items()], "m", 1, 10**8, "llama")


def test_the_metric_has_its_interval_and_names_its_forms(result):
    found = [m for m in metrics(result) if m.id == "ladder_score"]
    if result.ladder_score is None:
        assert found == []
        return
    (m,) = found
    assert (m.value, m.low, m.high) == (result.ladder_score.score, *_ends(result))
    assert (m.form, m.unit, m.better) == ("gloss", "ratio", "higher")


def test_lm_evals_json_has_it_as_a_task(result):
    document = json.loads(json.dumps(to_lm_eval(result, date=0.0)))
    if result.ladder_score is None:
        assert "groundbench_ladder" not in document["results"]
        return
    low, high = _ends(result)
    assert document["results"]["groundbench_ladder"] == {
        "alias": "groundbench_ladder",
        "forms": "gloss",
        "ladder_score,none": result.ladder_score.score,
        "ladder_score_ci_low,none": low,
        "ladder_score_ci_high,none": high,
    }
    assert document["higher_is_better"]["groundbench_ladder"] == {"ladder_score": True}
    assert set(document["results"]) == set(document["configs"]) == set(document["versions"])


def _ends(result) -> tuple[float, float]:
    return result.ladder_score.ci_low, result.ladder_score.ci_high

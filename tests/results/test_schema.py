"""result.json as a contract: what is saved comes back the same, and satisfies the schema that users can get."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_results import fake_result, fake_trajectory
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.results.image import ImageRecord, PatchReading
from groundbench.results.run import (
    AblationRecord,
    EnvironmentRecord,
    Excluded,
    Failure,
    FormRecord,
    GainRecord,
    HeadCount,
    HeadForms,
    HeadsRecord,
    LensLayer,
    LensRecord,
    ModelRecord,
    NounGain,
    Regression,
    Result,
    json_schema,
)
from groundbench.results.run import TestbedRecord as BedRecord
from groundbench.results.trajectory import Trajectory

RICH = {
    "transformer": fake_result(1),
    "without heads": fake_result(2, gain=0.0, layers=0),
    "ladder": fake_result(3).model_copy(
        update={
            "head_forms": (HeadForms(layer=2, head=0, forms=("word", "gloss")),),
            "failures": (Failure(where="frame 'f1'", reason='NaN "logits" – ünïcode'),),
            "forms": (
                *fake_result(3).forms,
                FormRecord(
                    env_form="image",
                    n_nouns=0,
                    n_items=None,
                    image=ImageRecord(
                        env_form="image", hash="h", rows=16, columns=16, reading=(PatchReading(heads="all", n_items=3),)
                    ),
                ),
            ),
        }
    ),
    "bare": Result(
        model=ModelRecord(name="m", family="f", architecture="A", parameters=0, dtype="float32", fingerprint="x"),
        testbed=BedRecord(name="t", version="1", hash="h", frames="shared", env_form="word", n_nouns=0, n_items=0),
        forms=(FormRecord(env_form="word", n_nouns=0, n_items=0),),
        environment=EnvironmentRecord(versions={}, device="cpu"),
    ),
}


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the test extra")
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", RICH)
def test_a_result_comes_back_from_its_file_and_satisfies_the_schema(name: str, tmp_path: Path, validator: Any) -> None:
    RICH[name].save(tmp_path / "result.json")
    assert Result.load(tmp_path) == RICH[name]
    assert Result.load(tmp_path / "result.json").model_dump_json() == RICH[name].model_dump_json()
    validator.validate(json.loads((tmp_path / "result.json").read_text()))
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_trajectory_comes_back_and_each_of_its_results_satisfies_the_schema(tmp_path: Path, validator: Any) -> None:
    run = fake_trajectory(4)
    run.save(tmp_path / "trajectory.json")
    assert Trajectory.load(tmp_path) == run
    for point in json.loads((tmp_path / "trajectory.json").read_text())["points"]:
        validator.validate(point["result"])


FINITE = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | FINITE
P = st.none() | st.floats(0, 1)
WORD = st.text(st.characters(codec="utf-8"), max_size=12)
HEAD = st.builds(
    HeadCount, layer=st.integers(1, 99), head=st.integers(0, 99), rate=st.floats(0, 1), share=FINITE, effect=MAYBE
)
FORM = st.builds(
    FormRecord,
    env_form=WORD,
    n_nouns=st.integers(0, 10**6),
    n_items=st.none() | st.integers(0, 10**6),
    gain=st.none()
    | st.builds(
        GainRecord,
        mean=MAYBE,
        ci_low=MAYBE,
        p_cluster=P,
        by_noun=st.lists(
            st.builds(NounGain, noun=WORD, category=WORD, gain=MAYBE, matched=MAYBE, mismatched=MAYBE), max_size=2
        ).map(tuple),
    ),
    heads=st.lists(
        st.builds(
            HeadsRecord,
            kind=st.sampled_from(["aggregate", "gather"]),
            denominator=st.sampled_from(["row", "total"]),
            threshold=FINITE,
            selection=st.sampled_from(["share", "magnitude"]),
            mean_count=MAYBE,
            by_head=st.lists(HEAD, max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    ablations=st.lists(
        st.builds(
            AblationRecord,
            selection=st.sampled_from(["instance", "crossfit"]),
            control=st.sampled_from(["layer", "uniform", "saliency"]),
            mode=st.sampled_from(["zero", "mean", "resample", "scale"]),
            positions=st.sampled_from(["all", "last"]),
            n_draws=st.integers(0, 99),
            gain_control_draws=st.lists(FINITE, max_size=3).map(tuple),
            p_rank=P,
        ),
        max_size=2,
    ).map(tuple),
    lens=st.lists(
        st.builds(
            LensRecord,
            kind=st.sampled_from(["tuned", "logit"]),
            layers=st.lists(st.builds(LensLayer, layer=st.integers(0, 99), matched=FINITE), max_size=2).map(tuple),
        ),
        max_size=1,
    ).map(tuple),
)
FORMS = st.lists(FORM, min_size=1, max_size=2).map(
    lambda forms: (forms[0].model_copy(update={"env_form": "word"}), *forms[1:])
)
RESULTS = st.builds(
    Result,
    model=st.builds(
        ModelRecord, name=WORD, family=WORD, architecture=WORD, parameters=st.integers(0), dtype=WORD, fingerprint=WORD
    ),
    testbed=st.builds(
        BedRecord,
        name=WORD,
        version=WORD,
        hash=WORD,
        frames=st.sampled_from(["shared", "per-noun"]),
        env_form=st.just("word"),
        n_nouns=st.integers(0, 10**6),
        n_items=st.integers(0, 10**6),
        excluded=st.lists(st.builds(Excluded, noun=WORD, reason=WORD), max_size=2).map(tuple),
    ),
    forms=FORMS,
    protocol=st.dictionaries(
        WORD, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | WORD, max_size=3
    ),
    environment=st.builds(EnvironmentRecord, versions=st.dictionaries(WORD, WORD, max_size=2), device=WORD),
)


@settings(max_examples=60, deadline=None)
@given(result=RESULTS)
def test_any_result_survives_json_and_satisfies_the_schema(result: Result, validator: Any) -> None:
    text = result.model_dump_json()
    assert Result.model_validate_json(text) == result
    validator.validate(json.loads(text))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        GainRecord(mean=value)
    with pytest.raises(ValidationError, match="finite"):
        Regression(window="chunk", statistic="pmi", unit="noun", r2_adjusted=value, n=3)


def broken(change: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(RICH["transformer"].model_dump_json())
    if change == "unknown field":
        data["forms"][0]["gain"]["gian"] = 1.0
    elif change == "another version":
        data["schema_version"] = "9.9"
    elif change == "a probability above 1":
        data["forms"][0]["gain"]["p_cluster"] = 1.5
    elif change == "layer 0":
        data["forms"][0]["heads"][0]["by_head"][0]["layer"] = 0
    elif change == "missing":
        del data["testbed"]["hash"]
    return data


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("unknown field", "forms.0.gain.gian"),
        ("another version", "schema_version"),
        ("a probability above 1", "forms.0.gain.p_cluster"),
        ("layer 0", "forms.0.heads.0.by_head.0.layer"),
        ("missing", "testbed.hash"),
    ],
)
def test_reader_and_schema_refuse_the_same(change: str, field: str, tmp_path: Path, validator: Any) -> None:
    (tmp_path / "result.json").write_text(json.dumps(broken(change)))
    said = f"unknown field '{field}'$" if change == "unknown field" else f"field {field}: "
    with pytest.raises(BadInputError, match=rf"result\.json: {said}"):
        Result.load(tmp_path)
    assert not validator.is_valid(broken(change))


def test_the_schema_can_be_had_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()

"""Results of schema 1.0 are read, as files that an earlier version wrote (data/), and say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundbench.api.errors import BadInputError
from groundbench.results.run import HEADLINE_1_0, Result
from groundbench.results.trajectory import Trajectory, TrajectoryPoint

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("*-1.0.json"))


def raw(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / f"{name}-1.0.json").read_text())
    return document


def without_new_fields(new: Any, old: Any) -> Any:
    """`new` without the fields that `old` does not have; these must be null or empty, but for the count of items."""
    if isinstance(old, dict):
        added = {k: v for k, v in new.items() if k not in old and k != "n_items"}
        assert not any(v not in (None, []) for v in added.values()), added
        return {k: without_new_fields(new[k], v) for k, v in old.items()}
    return [without_new_fields(a, b) for a, b in zip(new, old, strict=True)] if isinstance(old, list) else new


def test_there_are_files_of_one_form_and_of_a_ladder() -> None:
    assert [p.stem for p in FILES] == ["ladder-1.0", "one-form-1.0"]
    assert all(json.loads(p.read_text())["schema_version"] == "1.0" for p in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_number_of_an_older_file_is_kept(path: Path) -> None:
    old, new = json.loads(path.read_text()), json.loads(Result.load(path).model_dump_json())
    assert new["schema_version"] == "1.1"
    for part in HEADLINE_1_0:
        assert without_new_fields(new["forms"][0][part], old[part]) == old[part]
        assert part not in new
    for before, after in zip(old["forms"], new["forms"], strict=False):
        assert without_new_fields(after, before) == before
    dropped = {*HEADLINE_1_0, "image", "screening", "schema_version", "forms"}
    rest = {k: v for k, v in old.items() if k not in dropped}
    assert without_new_fields({k: v for k, v in new.items() if k not in dropped}, rest) == rest


def test_forms_are_complete_and_count_their_items() -> None:
    ladder, one = Result.load(DATA / "ladder-1.0.json"), Result.load(DATA / "one-form-1.0.json")
    frames = ladder.testbed.n_items // ladder.testbed.n_nouns
    assert [(f.env_form, f.n_items) for f in ladder.forms] == [(f.env_form, f.n_nouns * frames) for f in ladder.forms]
    assert [(f.env_form, f.n_items) for f in one.forms] == [("gloss", one.testbed.n_items)]


def test_items_that_an_older_file_does_not_count_are_null() -> None:
    document = raw("ladder")
    document["testbed"]["frames"] = "per-noun"
    for form in document["forms"]:
        form["heads"] = []
    found = Result.model_validate_json(json.dumps(document))
    assert [f.n_items for f in found.forms] == [found.testbed.n_items, None, None]


def test_the_headline_of_an_older_file_comes_first_and_its_own_copy_counts() -> None:
    document = raw("ladder")
    document["forms"] = document["forms"][::-1]
    document["ablations"][0]["p_holm"] = 0.25  # corrected over checkpoints: only there
    found = Result.model_validate_json(json.dumps(document))
    assert [f.env_form for f in found.forms] == ["word", "name", "gloss"]
    assert found.ablations[0].p_holm == 0.25


def test_an_older_trajectory_is_read_with_its_results() -> None:
    run = Trajectory(name="t", points=(TrajectoryPoint(step=0, result=Result.load(DATA / "one-form-1.0.json")),))
    document = json.loads(run.model_dump_json())
    assert document["schema_version"] == "1.1"
    document["schema_version"], document["points"][0]["result"] = "1.0", raw("one-form")
    assert Trajectory.model_validate_json(json.dumps(document)) == run


@pytest.mark.parametrize("fault", [{"testbed": 3}, {"forms": [3]}, {"gain": 3}, {"surplus": 1}, {"forms": {"a": 1}}])
def test_a_broken_older_file_is_refused_in_one_sentence(fault: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(raw("one-form") | fault))
    said = "unknown field 'surplus'$" if "surplus" in fault else "field "
    with pytest.raises(BadInputError, match=rf"result\.json: {said}"):
        Result.load(tmp_path)


def test_what_is_no_field_is_never_kept_by_a_copy() -> None:
    result = Result.load(DATA / "one-form-1.0.json")
    with pytest.raises(ValueError, match="Result has no field gain"):
        result.model_copy(update={"gain": None})
    assert result.with_headline(gain=None).gain is None
    assert result.of_form(result.forms[0]) == result


def test_forms_must_begin_with_the_testbeds() -> None:
    document = json.loads(Result.load(DATA / "ladder-1.0.json").model_dump_json())
    document["forms"] = document["forms"][::-1]
    with pytest.raises(ValueError, match="forms must begin with the testbed's form 'word', found 'name'"):
        Result.model_validate(document)

"""YAML read into pydantic models: every fault is named with the line of the value, or of what it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from groundbench.api.errors import BadInputError
from groundbench.util.suggestions import did_you_mean
from groundbench.util.yaml_records import YamlFile, read_yaml


class Tea(BaseModel):
    model_config = ConfigDict(extra="forbid")

    minutes: int
    cups: list[dict[str, int]] = []


def of(tmp_path: Path, text: str) -> YamlFile:
    path = tmp_path / "tea.yaml"
    path.write_text(text)
    return read_yaml(path, "a recipe for tea")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# a note\n\nminutes: soon\n", r"tea\.yaml, line 3: field minutes: .* found 'soon'"),
        ("minutes: 3\ncups:\n- {size: 2}\n- {size: small}\n", r"tea\.yaml, line 4: field cups\.1\.size: "),
        ("minutes: 3\nmilk: 1\n", r"tea\.yaml, line 2: unknown field .milk."),
        ("base: &b\n  x: 1\n", r"tea\.yaml, line 1: field minutes: Field required"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = of(tmp_path, text)
    with pytest.raises(BadInputError, match=said):
        file.record(Tea, file.value)


def test_a_value_of_a_merged_mapping_is_found_where_it_is_written(tmp_path: Path) -> None:
    file = of(tmp_path, "base: &b\n  minutes: soon\nmine:\n  <<: *b\n  cups: []\n")
    with pytest.raises(BadInputError, match=r"line 2: mine: field minutes"):
        file.record(Tea, file.value["mine"], ("mine",), "mine")
    assert file.record(Tea, {"minutes": 3}, ("mine",)) == Tea(minutes=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1,\nb: 2", "line 2: not valid YAML"),
        ("a: !stove 1", "line 1: not valid YAML"),
        ("a: 2024-13-01", "not valid YAML"),
        ("? [1]\n: 2", "line 1: not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        of(tmp_path, text)


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file; expected a recipe for tea"):
        read_yaml(tmp_path / "none.yaml", "a recipe for tea")
    (tmp_path / "raw.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match="cannot be read as UTF-8"):
        read_yaml(tmp_path / "raw.yaml", "a recipe for tea")


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("laddr", ["ladder", "childes"]) == "; did you mean 'ladder'?"
    assert did_you_mean("photograph", ["ladder"]) == ""

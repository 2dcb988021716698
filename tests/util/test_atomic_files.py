"""Names of files that stay in their folder, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.util.atomic_files import file_name, write_whole


@given(st.text(max_size=30) | st.sampled_from(["..", ".", "../../victim", "a/b", "\\\\x", "c:d", "", "...", "a\0b"]))
def test_a_name_never_leads_elsewhere(text: str) -> None:
    name = file_name(text)
    assert Path("folder", name).parent == Path("folder") or name == ""
    assert name not in (".", "..")
    assert not set(name) & set("/\\:\0")


@given(st.sampled_from(["word", "image-all", "head form 2", "gloss.v2", "Wörter", "a_b"]))
def test_a_plain_name_stays_as_it_is(text: str) -> None:
    assert file_name(text) == text


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "word:x" / "file"
    with write_whole(path) as file:
        file.write(b"first")
    with pytest.raises(TypeError), write_whole(path) as file:
        file.writelines([b"sec", "no bytes"])  # type: ignore[list-item]
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]

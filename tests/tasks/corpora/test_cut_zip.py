"""A zip that was cut gives exactly the members that lie whole before the cut."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from groundbench.tasks.corpora.importing.truncated_zip import members_before_the_cut

NAMES = ("a.cha", "é/b.cha", "c.xml", "d.cha")


class Pipe(io.BytesIO):
    """A target that cannot go back, so that sizes follow each member, as when a zip is written to a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("a pipe")


def zipped(members: dict[str, bytes], kind: int, piped: bool) -> tuple[bytes, list[int]]:
    """The archive's bytes and where each member ends."""
    out = Pipe() if piped else io.BytesIO()
    ends = []
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
            ends.append(archive.start_dir)
    return out.getvalue(), ends


def read(data: bytes) -> list[tuple[str, bytes]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cut.zip"
        path.write_bytes(data)
        return [(name, contents) for name, contents, _ in members_before_the_cut(path)]


contents = st.one_of(st.binary(max_size=300), st.just(b"the dog barks. " * 20_000))
kinds = st.sampled_from([(zipfile.ZIP_DEFLATED, False), (zipfile.ZIP_DEFLATED, True), (zipfile.ZIP_STORED, False)])


@given(parts=st.lists(contents, min_size=1, max_size=4), kind=kinds, cut=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_what_lies_whole_before_the_cut_is_read(parts: list[bytes], kind: tuple[int, bool], cut: float) -> None:
    members = dict(zip(NAMES, parts, strict=False))
    data, ends = zipped(members, *kind)
    at = round(cut * len(data))
    found = read(data[:at])
    assert found == list(members.items())[: len(found)]
    whole = sum(end <= at for end in ends)
    assert len(found) == whole


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=80, deadline=None)
def test_damage_never_gives_other_contents_and_never_raises(noise: bytes, where: int, byte: int) -> None:
    data, _ = zipped({"a.cha": b"one two " * 9, "b.cha": b"three " * 7}, zipfile.ZIP_DEFLATED, False)
    damaged = bytearray(data)
    damaged[where % len(data)] = byte
    known = {b"one two " * 9, b"three " * 7}
    assert {contents for _, contents in read(bytes(damaged))} <= known
    read(noise)
    read(b"PK\x03\x04" + noise)

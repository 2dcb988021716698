"""The shape we hold ourselves to: small modules, and no trace of the machine a file was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from helpers.source_tree import ROOT, modules

MAX_LINES = 600
# A home, a temporary or a mount point of one machine; /tmp alone and /proc, /sys, /dev mean the same everywhere.
MACHINE_PATH = re.compile(r"/(?:root|work|farm|home/\w+|Users/\w+|mnt|tmp/\w+)/|file:///")


def tracked() -> list[Path]:
    """The files that a commit would hold: tracked or new, and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", sorted(modules()))
def test_modules_are_small(name: str) -> None:
    lines = len(modules()[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines: split it by what it does"


def test_no_file_names_a_machine_path() -> None:
    named = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or another binary file
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line) and path != Path(__file__).resolve():
                named.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert named == []


def test_scripts_are_executable() -> None:
    scripts = [p for p in tracked() if p.read_bytes().startswith(b"#!")]
    assert {ROOT / "scripts/demo", ROOT / "scripts/test", ROOT / ".ci/run"} <= set(scripts)
    assert [str(p.relative_to(ROOT)) for p in scripts if not p.stat().st_mode & 0o100] == []

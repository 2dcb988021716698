"""Completion as a shell asks for it: a real bash reads the script that the program prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundbench import registry
from groundbench.training.presets import preset_names

BASH = shutil.which("bash")
ASK = """
source <(groundbench --show-completion bash)
function=$(complete -p groundbench | sed 's/.*-F \\([^ ]*\\).*/\\1/')
while IFS= read -r line; do
  read -ra COMP_WORDS <<< "$line"
  [[ "$line" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  COMPREPLY=()
  "$function" groundbench
  echo "${COMPREPLY[@]//$'\\n'/ }"
done
"""


@pytest.fixture
def complete(tmp_path: Path):
    """Ask a bash what it would complete, for several lines in one shell."""
    if BASH is None:
        pytest.skip("there is no bash here")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "groundbench"
    program.write_text(f'#!{BASH}\nexec {sys.executable} -m groundbench "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "result.json").write_text("{}", encoding="utf-8")
    (tmp_path / "notes").mkdir()

    def ask(*lines: str) -> list[set[str]]:
        found = subprocess.run(
            [str(BASH), "--norc", "-c", ASK],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "SHELL": str(BASH)},
            check=True,
        )
        return [set(line.split()) for line in found.stdout.splitlines()]

    return ask


def test_bash_completes_what_is_installed_and_what_was_made(complete) -> None:
    beds, forms, of_own, sets, presets, runs, commands = complete(
        "groundbench tasks show ",
        "groundbench run m --env-form tr",
        "groundbench tasks show childworld --env-form ",
        "groundbench screen m --questions ",
        "groundbench train ",
        "groundbench report runs/",
        "groundbench tas",
    )
    assert beds == set(registry.testbed_names())
    assert forms == {f"translation-{code}" for code in ("fr", "es", "de", "tr", "ru", "zh")}
    assert of_own == {"token", "simple"}
    assert sets == set(registry.question_set_names())
    assert presets == set(preset_names())
    assert runs == {"runs/mine"}
    assert commands == {"tasks"}

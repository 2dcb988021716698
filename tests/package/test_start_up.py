"""Commands that open a model import nothing they do not need: what a program of ours loads, by module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

UNNEEDED = ("lm_eval", "datasets", "sklearn", "pandas", "matplotlib", "statsmodels", "evaluate", "tensorflow", "gguf")
"""Slow to import, and needed by other commands, or by none."""
CHILD = """
import json, sys
from groundbench.cli import main
code = main(sys.argv[1:])
print("loaded", json.dumps([code, sorted({m.split(".")[0] for m in sys.modules})]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers.small_models import tiny_llama

    folder = tmp_path_factory.mktemp("model")
    made = tiny_llama()
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    (folder / "bed.yaml").write_text(
        "name: small\nversion: '1'\nnatural_language: false\nframe_kind: shared\nnouns:\n"
        "  - {word: ada, category: people}\n  - {word: bob, category: people}\n  - {word: cid, category: things}\n"
        "forms:\n  word: {description: the word itself, template: '{noun}'}\n"
        "frames: {f1: 'who {env} met', f2: 'what {env} and'}\n"
    )
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("models", "check", "{model}", "--testbed", "{bed}"),
        pytest.param(("run", "{model}", "--testbed", "{bed}", "--dry-run"), marks=pytest.mark.slow),
        pytest.param(("run", "{model}", "--testbed", "{bed}", "--measure", "gain,heads"), marks=pytest.mark.slow),
        ("run", "{model}", "--testbed", "{bed}", "--measure", "gain", "--out", "{out}"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_nothing_unneeded_is_imported(model: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    given = [w.format(model=model, bed=model / "bed.yaml", out=tmp_path / "out") for w in words]
    done = subprocess.run([sys.executable, "-c", CHILD, *given], capture_output=True, text=True, check=False)
    line = next((x for x in done.stdout.splitlines() if x.startswith("loaded ")), None)
    assert line is not None, done.stderr
    code, loaded = json.loads(line.removeprefix("loaded "))
    assert code == 0, done.stderr
    writes = {"pandas"} if "--out" in words else set()  # pyarrow asks for it when a table of items is written
    assert [m for m in UNNEEDED if m in loaded and m not in writes] == []
    if words == ("--help",):
        assert not {"torch", "transformers", "numpy"} & set(loaded)


def test_the_program_settles_the_order_of_sums_and_the_user_can_say_otherwise() -> None:
    code = (
        "import os; from groundbench.util.workers import multiply_reproducibly as m;"
        "print(m(), os.environ.get('MKL_CBWR'), m())"
    )
    for more, said in (({}, "True AUTO False"), ({"MKL_CBWR": "COMPATIBLE"}, "False COMPATIBLE False")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"} | more
        )
        assert done.stdout.strip() == said


def test_the_program_settles_how_threads_wait_and_the_user_can_say_otherwise() -> None:
    """Before torch is imported, and never over what the environment says."""
    code = (
        "import os; from groundbench.util.workers import wait_passively as w;"
        "print(w(), os.environ.get('GOMP_SPINCOUNT'), w())"
    )
    bare = {"PATH": "/usr/bin"}
    for more, said in (({}, "True 2000 False"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "False None False")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare | more)
        assert done.stdout.strip() == said

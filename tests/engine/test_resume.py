"""A run that is killed or runs out of disk goes on where it stopped and ends with identical numbers."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.small_models import Home, tiny_llama

from groundbench.api.errors import StoreMismatchError
from groundbench.engine.run_directory import Stage
from groundbench.evaluation.evaluate import evaluate
from groundbench.measures.ablation.options import AblationOptions

TESTS = Path(__file__).resolve().parents[1]
KILLED = textwrap.dedent(
    """
    import os, signal, sys
    sys.path.insert(0, sys.argv[1])
    from helpers.small_models import Home, tiny_llama
    from groundbench.evaluation.evaluate import evaluate
    from groundbench.engine.run_directory import Stage

    write, count = Stage.write, 0

    def write_then_die(stage, batch, array):
        global count
        write(stage, batch, array)
        count += 1
        if count == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    Stage.write = write_then_die
    evaluate(tiny_llama(), Home(), measures=("gain", "heads"), batch_tokens=200, out=sys.argv[2])
    """
)


def run(out, measures=("gain", "heads"), **more):
    return evaluate(tiny_llama(), Home(), measures=measures, batch_tokens=200, out=out, **more)


def same(a, b):
    """Two results agree in everything but the time they took."""
    return a.model_copy(update={"environment": b.environment}) == b


@pytest.mark.parametrize("after", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_while_scoring_it_resumes_to_identical_numbers(tmp_path, after):
    whole = run(tmp_path / "whole")
    out = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", KILLED, str(TESTS), str(out), str(after)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(out.rglob("*.npy"))) == after
    assert not (out / "result.json").exists()
    assert same(run(out), whole)
    assert (out / "items.parquet").read_bytes() == (tmp_path / "whole" / "items.parquet").read_bytes()


def test_a_full_disk_loses_nothing_computed(tmp_path, monkeypatch):
    write, count = Stage.write, []

    def full(stage, batch, array):
        if len(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        count.append(batch)
        write(stage, batch, array)

    monkeypatch.setattr(Stage, "write", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == 3
    assert not list(tmp_path.rglob(".0*"))
    monkeypatch.setattr(Stage, "write", write)
    assert run(tmp_path).gain is not None
    assert len(list(tmp_path.rglob("*.npy"))) > 3


def test_another_model_testbed_or_option_is_refused_and_force_starts_over(tmp_path):
    first = run(tmp_path)
    with pytest.raises(StoreMismatchError, match="weights"):
        evaluate(tiny_llama(seed=1), Home(), measures=("gain", "heads"), batch_tokens=200, out=tmp_path)
    with pytest.raises(StoreMismatchError, match=r"limit None.*has 4"):
        run(tmp_path, limit=4)
    more = {"measures": ("gain", "heads"), "batch_tokens": 200, "out": tmp_path}
    other = evaluate(tiny_llama(seed=1), Home(), force=True, **more)
    assert other.gain.mean != first.gain.mean


def test_the_mechanism_options_do_not_hide_in_an_old_run(tmp_path):
    asked = (AblationOptions(draws=n, instance_draws=2, selections=("crossfit",)) for n in (2, 3))
    one, two = (run(tmp_path, measures=("gain", "heads", "ablation"), ablation=options) for options in asked)
    assert [a.n_draws for a in one.ablations] != [a.n_draws for a in two.ablations]

"""Two processes, as torchrun starts them, compute one process' updates, also in parts and after an interruption."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.toy_training import ToyCorpus, toy_preset, without_speed

from groundbench.training import train

HERE = Path(__file__).parent
NO_DROPOUT = {"config.resid_pdrop": 0.0, "config.embd_pdrop": 0.0, "config.attn_pdrop": 0.0}
PROGRAM = """
import sys
sys.path[:0] = [{here!r}, {here!r} + "/.."]
from test_several_processes import Cut, NO_DROPOUT
from helpers.toy_training import ToyCorpus, toy_preset
from groundbench.training import train

for corpus in (Cut(), ToyCorpus()):
    try:
        train(toy_preset(**NO_DROPOUT, accumulation=2), corpus, {out!r}, seeds=(3, 5), device="cpu", threads=1)
    except InterruptedError as error:
        print(error)
"""


class Cut(ToyCorpus):
    """Breaks off every process of seed 5 in the middle of a run."""

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> object:
        if seed == 5 and step == 14:
            raise InterruptedError(f"cut at step {step}")
        return super().batch(step, seed=seed, batch_size=batch_size, length=length)


def launch(program: str) -> list[str]:
    """Return what two processes wrote to stdout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return [out for out, _ in said]


@pytest.mark.slow
def test_two_processes_give_one_processes_run(tmp_path: Path) -> None:
    """Gradients are averaged over tokens, not over processes; each state is the one to go on from."""
    said = launch(PROGRAM.format(here=str(HERE), out=str(tmp_path / "two")))
    assert said == ["cut at step 14\n"] * 2
    train(toy_preset(**NO_DROPOUT), ToyCorpus(), tmp_path / "one", seeds=(3, 5), device="cpu", threads=1)
    for seed in (3, 5):
        two, one = (without_speed(tmp_path / n / f"seed-{seed}/log.jsonl") for n in ("two", "one"))
        assert [line["step"] for line in two] == [line["step"] for line in one]
        assert [line["tokens"] for line in two] == [line["tokens"] for line in one]
        losses = [[line["loss"] for line in lines[1:]] for lines in (two, one)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        assert losses[0] != losses[1]  # sums in another order
        ends = [tmp_path / n / f"seed-{seed}/step-000030/training.json" for n in ("two", "one")]
        held = [json.loads(end.read_text())["heldout_loss"] for end in ends]
        assert held[0] == pytest.approx(held[1], rel=1e-3)
        assert not (tmp_path / "two" / f"seed-{seed}/state.pt").exists()

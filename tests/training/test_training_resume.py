"""Stopped at any moment, a run goes on to the same bits; a full disk loses nothing; seeds can run side by side."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toy_training import ToyCorpus, toy_preset, weights, without_speed

from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.training import train
from groundbench.training.run_folder import SeedFolder, writing
from groundbench.training.trainer import train_seed

HERE = Path(__file__).parent
STEPS = ("step-000000", "step-000010", "step-000020", "step-000030")


class Stop(Exception):
    """The run is cut off here."""


def train_until(folder: SeedFolder, step: int) -> None:
    """Train the toy until its log reaches `step`."""

    def report(seed: int, record: Mapping[str, Any]) -> None:
        if record["step"] == step:
            raise Stop

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the run it is compared with: the same bits take the same number of threads
    try:
        with pytest.raises(Stop):
            train_seed(toy_preset(), ToyCorpus(), folder, 3, device="cpu", report=report)
    finally:
        torch.set_num_threads(threads)


def same_run(a: Path, b: Path) -> None:
    for step in STEPS:
        assert weights(a / "seed-3" / step) == weights(b / "seed-3" / step), step
        assert (a / "seed-3" / step / "training.json").read_text() == (
            b / "seed-3" / step / "training.json"
        ).read_text()
    assert without_speed(a / "seed-3/log.jsonl") == without_speed(b / "seed-3/log.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    train(toy_preset(), ToyCorpus(), out, seeds=(3,), device="cpu", threads=1)
    return out


@pytest.mark.parametrize("stops", [(0,), (4,), (10,), (16, 16), (4, 20, 30)])
def test_stopped_between_steps_it_goes_on_to_the_same_bits(whole: Path, tmp_path: Path, stops: tuple[int, ...]) -> None:
    for step in stops:
        train_until(SeedFolder(tmp_path, 3, identity()), step)
    train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,), device="cpu", threads=1)
    same_run(whole, tmp_path)


def identity() -> dict[str, object]:
    return {
        "preset": toy_preset().identity(),
        "corpus": ToyCorpus().identity(),
    }


def test_resuming_does_not_start_again(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(ToyCorpus):
        def batch(self, step: int, **rest: Any) -> Any:
            seen.append(step)
            return super().batch(step, **rest)

    train_until(SeedFolder(tmp_path, 3, identity()), 16)
    train(toy_preset(), Watched(), tmp_path, seeds=(3,))
    assert seen == list(range(12, 30))  # the state of step 12 was the last saved before the stop


PROGRAM = """
import sys
sys.path.insert(0, {here!r} + "/..")
from helpers.toy_training import ToyCorpus, toy_preset
from groundbench.training import train
train(toy_preset(), ToyCorpus(), {out!r}, seeds=(3,), device="cpu", threads=1)
"""


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(here=str(HERE), out=str(out))])


def test_killed_it_goes_on_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    """kill -9, twice, each as soon as the run has got somewhere: at whatever instruction it is just then."""
    log = tmp_path / "seed-3/log.jsonl"
    for mark in ('"step": 8', '"step": 20'):
        process = start(tmp_path)
        while process.poll() is None and not (log.exists() and mark in log.read_text()):
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
        assert not (tmp_path / "seed-3/step-000030").exists()
    train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,), device="cpu", threads=1)
    same_run(whole, tmp_path)


def test_what_a_kill_leaves_half_written_is_replaced(whole: Path, tmp_path: Path) -> None:
    folder = SeedFolder(tmp_path, 3, identity())
    train_until(folder, 16)
    (folder.path / ".state.pt").write_bytes(b"half a st")
    (folder.path / ".step-000020").mkdir()
    (folder.path / ".step-000020/model.safetensors").write_bytes(b"half a mod")
    (folder.path / "step-000020").mkdir()  # a checkpoint newer than the state is written anew
    with (folder.path / "log.jsonl").open("a") as log:
        log.write('{"step": 17, "lo')
    train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,), device="cpu", threads=1)
    same_run(whole, tmp_path)
    assert not (folder.path / ".step-000020").exists()


def test_a_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    train_until(SeedFolder(tmp_path, 3, identity()), 16)
    (tmp_path / "seed-3/state.pt").write_bytes(b"not a state")
    with pytest.raises(BadInputError, match=r"seed-3/state\.pt: not a training state; delete it"):
        train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_sentence_and_loses_nothing(whole: Path, tmp_path: Path) -> None:
    folder = SeedFolder(tmp_path, 3, identity())
    train_until(folder, 16)
    (folder.path / ".state.pt").symlink_to("/dev/full")
    with pytest.raises(GroundbenchError, match=r"state\.pt: no space left on device") as caught:
        train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,), device="cpu", threads=1)
    assert caught.value.exit_code == 1
    (folder.path / ".state.pt").unlink()
    train(toy_preset(), ToyCorpus(), tmp_path, seeds=(3,), device="cpu", threads=1)
    same_run(whole, tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "full"), GroundbenchError),
        (OSError(errno.EDQUOT, "full"), GroundbenchError),
        (RuntimeError("I/O error: No space left on device (os error 28)"), GroundbenchError),
        (PermissionError(errno.EACCES, "no"), PermissionError),
        (RuntimeError("else"), RuntimeError),
    ],
)
def test_only_a_full_disk_is_called_one(error: Exception, said: type[Exception]) -> None:
    with pytest.raises(said), writing(Path("x")):
        raise error


class Broken(ToyCorpus):
    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Any:
        rows = super().batch(step, seed=seed, batch_size=batch_size, length=length)
        return rows * 0 if seed == 5 else rows


def test_side_by_side_one_seed_fails_and_the_other_ends_as_alone(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(GroundbenchError, match="seed 5: the batch of step 0 has no token"):
        train(toy_preset(), Broken(), tmp_path, seeds=(5, 3), jobs=2, threads=1, device="cpu")
    same_run(whole, tmp_path)

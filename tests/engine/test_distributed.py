"""A run spread over two processes gives what one process gives; an error in one of them ends all, in a sentence."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbench.api import errors
from groundbench.api.errors import BadInputError, GroundbenchError, UnencodableError
from groundbench.api.trials import TriedAtLength, run_each
from groundbench.engine import distributed
from groundbench.engine.contexts import EmptyFormError
from groundbench.engine.distributed import ALONE
from groundbench.engine.trials import try_at_length

HERE = Path(__file__).parent
PROGRAM = (sys.executable, "-m", "groundbench")
LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--num_processes", "2"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "groundbench"),
)
EVERYTHING = "gain,heads,ablation,lens"
BED = """\
name: room
version: "1"
natural_language: true
frame_kind: shared
nouns:
  - {word: w10, category: toys, article: a, plural: w50}
  - {word: w11, category: toys, article: a, plural: w51}
  - {word: w12, category: food_drink, article: a, plural: w52}
  - {word: w13, category: food_drink, article: a, plural: w53}
forms:
  word: {description: the word itself, template: "{noun}"}
frames:
  f1: "w1 w2 {env} w3 w4"
  f2: "w5 {env} w6 w7 w8 w9"
  f3: "w2 w2 w1 w5 w6 w7 w9 w3 w4 w1 {env} w8"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model in a folder of its own."""
    from helpers.tiny_models import tiny, word_tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    tiny("llama").save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    (folder / "bed.yaml").write_text(BED)
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


def words(model: Path, out: Path, measures: str) -> list[str]:
    asked = ["--testbed", str(model / "bed.yaml"), "--measure", measures, "--draws", "2"]
    return ["run", str(model), *asked, "--batch-tokens", "40", "--out", str(out)]


def pair(model: Path, out: Path, code: str) -> list[tuple[int, str, str]]:
    """Two processes as torchrun starts them, some code run first: exit code, stdout and stderr of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = f"import os, sys\nfrom groundbench.cli import main\n{code}\nsys.exit(main(sys.argv[1:]))"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, *words(model, out, "gain")],
            env=environment(RANK=r, LOCAL_RANK=r, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for r in "01"
    ]
    said = [p.communicate(timeout=240) for p in both]
    return [(p.returncode, out, err) for p, (out, err) in zip(both, said, strict=True)]


def result_of(out: Path) -> dict[str, object]:
    """A result without its time and environment."""
    result = json.loads((out / "result.json").read_text())
    assert result.pop("environment")
    return result


@pytest.fixture(scope="module")
def alone(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of one process."""
    out = tmp_path_factory.mktemp("alone")
    done = subprocess.run([*PROGRAM, *words(model, out, EVERYTHING)], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_accelerate_launch_spreads_a_run_and_gives_the_same_result(model: Path, alone: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*LAUNCH, *words(model, tmp_path, EVERYTHING)], env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert result_of(tmp_path) == result_of(alone)
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*.npy")} == {
        p.relative_to(alone) for p in alone.rglob("*.npy")
    }


def test_each_process_runs_its_share_and_only_the_first_speaks(model: Path, tmp_path: Path) -> None:
    counted = """
from groundbench.engine.batch_runner import BatchRunner
run = BatchRunner._load_or_run
def told(self, number, batch):
    print("batch", number, file=sys.stderr)
    return run(self, number, batch)
BatchRunner._load_or_run = told
"""
    first, second = pair(model, tmp_path / "two", counted)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "word" in first[1]
    assert second[1] == ""
    ran = [{line for line in said.splitlines() if line.startswith("batch ")} for _, _, said in (first, second)]
    assert ran[0]
    assert ran[1]
    assert not ran[0] & ran[1]
    one = tmp_path / "one"  # in a process of its own: as many threads, so the same sums
    subprocess.run([*PROGRAM, *words(model, one, "gain")], env=environment(), capture_output=True, check=True)
    assert result_of(tmp_path / "two") == result_of(one)


def test_processes_share_the_trials_at_a_longer_length(model: Path, tmp_path: Path) -> None:
    counted = """
from groundbench.adapters import length_checks
made = length_checks.Trial
def telling(ability, run, *more):
    def say():
        print("trial", ability, file=sys.stderr)
        return run()
    return made(ability, say, *more)
length_checks.Trial = telling
"""
    first, second = pair(model, tmp_path / "two", counted)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    tried = [[x for x in said.splitlines() if x.startswith("trial ")] for _, _, said in (first, second)]
    assert all(tried)
    assert len(tried[0]) + len(tried[1]) == len({*tried[0], *tried[1]}) == 6


@pytest.mark.slow
def test_an_error_in_one_process_ends_both_with_its_sentence(model: Path, tmp_path: Path) -> None:
    broken = """
from groundbench.engine.batch_runner import BatchRunner
from groundbench.api.errors import NonFiniteLogitsError
def fail(self, number, batch):
    raise NonFiniteLogitsError("frame 'f1': the model returned NaN")
if os.environ["RANK"] == "1":
    BatchRunner._load_or_run = fail
"""
    first, second = pair(model, tmp_path, broken)
    assert (first[0], second[0]) == (1, 1)
    assert "groundbench: frame 'f1': the model returned NaN\n" in first[2]
    assert "groundbench (process 1): frame 'f1': the model returned NaN\n" in second[2]
    assert not (tmp_path / "result.json").exists()


def test_what_one_process_computes_for_itself_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tried:
        """An adapter that remembers how it was tried."""

        tried: tuple[int, object] | None = None

        def hold_trials(self) -> AbstractContextManager[None]:
            return nullcontext()

        def trial_findings(self) -> object:
            raise AssertionError("the others were asked")

        def try_at(self, length: int, each: object) -> None:
            self.tried = length, each

    team = distributed.Processes(0, 2)
    monkeypatch.setattr(distributed, "_current", team)
    monkeypatch.setattr(team.__class__, "_gather", lambda _, value: [value] * 2)
    adapter = Tried()
    assert isinstance(adapter, TriedAtLength)
    team.gather(lambda: try_at_length(adapter, 40))
    assert adapter.tried == (40, run_each)
    with pytest.raises(AssertionError, match="the others were asked"):
        try_at_length(adapter, 40)
    assert not distributed.is_apart()
    with pytest.raises(ZeroDivisionError):
        team.gather(lambda: 1 // 0)
    assert not distributed.is_apart()


ERRORS = [
    *(
        e("why")
        for e in vars(errors).values()
        if isinstance(e, type) and issubclass(e, GroundbenchError) and e is not UnencodableError
    ),
    UnencodableError({3: "why", 4: "another"}),
    EmptyFormError("why", {"cup": "merged"}),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_an_error_reaches_the_other_processes_as_what_it_is(
    error: GroundbenchError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    sent: list[tuple[bool, GroundbenchError]] = []
    team = distributed.Processes(1, 2)
    monkeypatch.setattr(team.__class__, "_gather", lambda _, value: sent.append(value) or [value, value])
    with pytest.raises(type(error)):
        team.gather(fail)
    ((works, told),) = sent
    assert not works
    assert str(pickle.loads(pickle.dumps(told))) == str(error) == "why"
    assert isinstance(error, type(told))
    assert isinstance(told, BadInputError) == isinstance(error, BadInputError)  # the exit code


def test_without_a_launcher_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group() as team:
        assert team is ALONE
    batches, counted = ["ab", "c", "def"], []
    assert ALONE.map_batches(batches, lambda n, b: (n, b), advance=counted.append) == [(0, "ab"), (1, "c"), (2, "def")]
    assert counted == [2, 1, 3]


@given(st.lists(st.floats(0, 100), max_size=20), st.integers(1, 5))
def test_every_batch_has_one_process_and_none_does_much_more_than_it_must(costs: list[float], count: int) -> None:
    owner = distributed.deal(costs, count)
    load = [sum(c for c, rank in zip(costs, owner, strict=True) if rank == k) for k in range(count)]
    assert sum(load) == pytest.approx(sum(costs))
    assert max(load) <= sum(costs) / count + max(costs, default=0) + 1e-9


@pytest.mark.parametrize("rank", [0, 1])
def test_progress_ends_at_the_whole_however_the_batches_are_dealt(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    team = distributed.Processes(rank, 2)
    monkeypatch.setattr(team.__class__, "gather", lambda _, own: [own()] * 2)
    told: list[int] = []
    with pytest.raises(KeyError):  # this process' share stands for both
        team.map_batches(["aaaa", "bbb", "cc", "d"], lambda n, _: n, advance=told.append)
    assert sum(told) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two' in the environment; expected a whole number"),
        ({"WORLD_SIZE": "2"}, "MASTER_ADDR and MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}, "RANK is not set"),
    ],
)
def test_half_a_launcher_is_bad_input(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str) -> None:
    for name in (*distributed.SIZE, *distributed.RANK, "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInputError, match=message), distributed.process_group():
        pass

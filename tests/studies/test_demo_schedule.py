"""The demo's order of work: checkpoints are measured while models train, never before they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundbench.studies.demo import PARTS, Run, Task, _Work


def _simulated(tmp_path: Path, jobs: int, seeds: tuple[int, ...] = (42,)) -> list[tuple[int, list[Task]]]:
    """Carry out everything in turns: a training writes a checkpoint a turn, a measurement ends in one."""
    runs = [
        Run(part, part.name if seeds == (42,) else f"{part.name}-{s}", tmp_path, s, 1500)
        for s in seeds
        for part in PARTS
    ]
    work, turns, left = _Work(runs, jobs), [], {}
    while work.waiting or work.running:
        for task in work.ready():
            work.running[object()] = task  # type: ignore[index]
            if task.step is None:
                left[task.run.name] = list(task.run.points)
        turns.append((len(turns), list(work.running.values())))
        for key, task in list(work.running.items()):
            if task.step is not None or not left[task.run.name]:
                work.done.append(work.running.pop(key))
            else:
                (task.run.trained / f"step-{left[task.run.name].pop(0):06d}").mkdir(parents=True)
        assert len(turns) < 500
    return turns


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
@pytest.mark.parametrize("seeds", [(42,), (42, 142)])
def test_everything_is_done_once_and_never_too_early(tmp_path: Path, jobs: int, seeds: tuple[int, ...]) -> None:
    turns = _simulated(tmp_path, jobs, seeds)
    for _, running in turns:
        training = [t for t in running if t.step is None]
        assert len(training) <= jobs
        assert len(running) <= (jobs + 1 if jobs > 1 else 1)
    seen = {t for _, running in turns for t in running}
    assert len([t for t in seen if t.step is not None]) == len(seeds) * sum(len(p.points) for p in PARTS)
    assert len([t for t in seen if t.step is None]) == len(seeds) * len(PARTS)


def test_two_checkpoints_are_measured_while_the_first_models_train(tmp_path: Path) -> None:
    turns = _simulated(tmp_path, 2)
    first = [n for n, running in turns if any(t.step is not None and t.run.part == PARTS[0] for t in running)]
    trained = max(n for n, running in turns if any(t.step is None and t.run.part == PARTS[0] for t in running))
    assert first[1] < trained
    assert any(t.step is None for t in turns[first[0]][1])


@pytest.mark.parametrize("steps", [1, 20, 100, 1500, 4000])
def test_the_measured_steps_are_checkpoints_and_hold_first_and_last(tmp_path: Path, steps: int) -> None:
    for part in PARTS:
        run = Run(part, part.name, tmp_path, 42, steps)
        assert run.points[0] == 0
        assert run.points[-1] == steps
        assert set(run.options.costly_steps or ()) <= set(run.points)
        assert steps in (run.options.costly_steps or ())

"""The training loop: one model, one seed, from initial weights to the last checkpoint (protocol §6)."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers.utils import logging as hf_logging

from groundbench._version import __version__
from groundbench.api.errors import BadInputError, GroundbenchError
from groundbench.training.kernels import attention_kernel, compile_layers
from groundbench.training.objective import heldout_loss, load_trained, parts, trained_weights
from groundbench.training.train_module import open_train_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from groundbench.training.corpus import Corpus, ImageCorpus
    from groundbench.training.presets import Preset
    from groundbench.training.run_folder import SeedFolder

LOG_EVERY = 10


class Report(Protocol):
    """The receiver of a training's progress."""

    def __call__(self, seed: int, record: Mapping[str, Any]) -> None:
        """Hear of one line of a seed's log."""
        ...


def train_seed(
    preset: Preset, corpus: Corpus | ImageCorpus, folder: SeedFolder, seed: int, *, device: str, report: Report
) -> list[Path]:
    """Train one seed, or resume it where it was stopped; return the checkpoints' folders in order.

    The seed decides the initial weights and the order of the data, and every random number of a step follows from
    seed and step alone: a run that was killed and goes on ends with the same bits as one that was not, on one
    device and number of threads.

    Args:
        device: `auto` (what accelerate finds) or `cpu`.

    Raises:
        BadInputError: a preset that cannot be built, or a folder in use.
        GroundbenchError: the loss is not finite (names the step), or the disk is full.
    """
    checkpoints = preset.checkpoint_steps()
    if not folder.is_finished(checkpoints):
        run = _Run(preset, corpus, folder, seed, device, report)
        with folder.lock() if run.is_main else nullcontext():
            folder.claim()
            start = run.restore()
            if start == 0:
                run.measure(0)
                run.write_checkpoint(0)
            elif run.is_main:
                report(seed, {"step": start})
            for step in range(start, preset.steps):
                run.update(step)
                done = step + 1
                is_kept = done in checkpoints or done % preset.resume_every == 0
                if is_kept or done % LOG_EVERY == 0:
                    run.measure(done)
                if done in checkpoints:
                    run.write_checkpoint(done)
                if is_kept:
                    run.save_state(done)
            run.finish()
    return [folder.checkpoint(step) for step in checkpoints]


class _Run:
    """The parts of the loop, in the order in which it calls them."""

    def __init__(
        self,
        preset: Preset,
        corpus: Corpus | ImageCorpus,
        folder: SeedFolder,
        seed: int,
        device: str,
        report: Report,
    ) -> None:
        hf_logging.disable_progress_bar()  # one bar for each file of a checkpoint
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run's device and precision
        self.accelerator = Accelerator(
            cpu=device == "cpu", mixed_precision="no" if preset.precision == "fp32" else preset.precision
        )
        self.is_main = self.accelerator.is_main_process
        self.preset, self.corpus, self.folder, self.seed, self.report = preset, corpus, folder, seed, report
        if preset.batch_size < self.accelerator.num_processes:
            raise BadInputError(
                f"preset {preset.name}: batch_size {preset.batch_size} gives no row to some of "
                f"{self.accelerator.num_processes} processes"
            )
        self.module = open_train_module(preset, corpus, seed, self.accelerator.device)
        self.tokens = 0
        self.losses: list[torch.Tensor] = []  # of the steps since the last line of the log, left on the device
        self.train_loss: float | None = None
        self.heldout_loss: float | None = None
        self.checkpoints = frozenset(preset.checkpoint_steps())

    def restore(self) -> int:
        """Load the state last saved, if any, and prepare everything for the device; the first step to do."""
        state = self.folder.load_state()
        if state is not None:
            load_trained(self.module.model, state["model"])
            self.tokens = state["tokens"]
        if self.preset.compile:
            compile_layers(self.module.model, self.accelerator.device)
        settings = self.preset.optimisation
        optimizer = torch.optim.AdamW(
            [p for p in self.module.model.parameters() if p.requires_grad],
            lr=settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.objective, self.optimizer = self.accelerator.prepare(self.module.objective.train(), optimizer)
        if state is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        step = 0 if state is None else int(state["step"])
        if self.is_main:
            self.folder.trim_log(-1 if state is None else step)
        self._start_clock()
        return step

    def update(self, step: int) -> None:
        """Return one update of the weights. Each process computes its rows, `accumulation` parts one after another."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        _seed(self.accelerator.device, _seed_of(self.seed, step, rank))
        for group in self.optimizer.param_groups:
            group["lr"] = self.preset.optimisation.rate(step, self.preset.steps)
        rows = self.module.rows(step)
        count = self.module.n_targets(rows)
        if count == 0:
            raise GroundbenchError(f"seed {self.seed}: the batch of step {step} has no token to predict")
        loss = torch.zeros((), device=self.accelerator.device)
        pieces = list(parts(rows[rank::world], self.preset.accumulation))
        for piece in pieces:
            apart = nullcontext() if piece is pieces[-1] else self.accelerator.no_sync(self.objective)
            with apart, attention_kernel(self.accelerator.device, self.preset.precision, self.preset.length):
                part = self.objective(self.module.batch(piece, self.accelerator.device)) / count
                self.accelerator.backward(part * world)  # parallel wrappers average over processes
            loss += part.detach()
        self.accelerator.clip_grad_norm_(self.objective.parameters(), self.preset.optimisation.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss)
        self.tokens += count

    def measure(self, done: int) -> None:
        """Log the mean loss of the steps since the last line, and at a checkpoint the held-out loss.

        Raises:
            GroundbenchError: a loss is not finite.
        """
        speed = (self.tokens - self._clock[1]) / (time.perf_counter() - self._clock[0])
        record: dict[str, Any] = {"step": done, "tokens": self.tokens}
        if self.losses:
            losses = self.accelerator.reduce(torch.stack(self.losses), "sum").cpu()  # here the device is waited for
            self._refuse_non_finite(losses, done)
            self.losses.clear()
            self.train_loss = record["loss"] = float(losses.mean())
            record["lr"] = self.preset.optimisation.rate(done - 1, self.preset.steps)
            record["tokens_per_second"] = round(speed)
        if self.is_main:
            if done in self.checkpoints:
                record["heldout_loss"] = self.heldout_loss = self._heldout_loss()
            self.folder.append_log(record)
            self.report(self.seed, record)
        self._start_clock()

    def write_checkpoint(self, done: int) -> None:
        """Write the checkpoint's folder."""
        if self.is_main:
            record = {
                "step": done,
                "seed": self.seed,
                "preset": self.preset.model_dump(mode="json"),
                "corpus": self.corpus.identity(),
                "heldout_loss": self.heldout_loss,
                "train_loss": self.train_loss,
                "tokens": self.tokens,
                "version": __version__,
            }
            self.folder.write_checkpoint(done, self.module.save, record)
        self.accelerator.wait_for_everyone()
        self._start_clock()

    def save_state(self, done: int) -> None:
        """Save all that the steps from here on depend on."""
        if self.is_main:
            self.folder.save_state(
                {
                    "step": done,
                    "tokens": self.tokens,
                    "model": trained_weights(self.module.model),
                    "optimizer": self.optimizer.state_dict(),
                }
            )
        self._start_clock()

    def finish(self) -> None:
        """Remove the state that a stopped run would continue from."""
        if self.is_main:
            self.folder.drop_state()
        self.accelerator.wait_for_everyone()

    def _refuse_non_finite(self, losses: torch.Tensor, done: int) -> None:
        bad = torch.nonzero(~torch.isfinite(losses)).flatten()
        if len(bad):
            step = done - len(losses) + int(bad[0])
            raise GroundbenchError(
                f"seed {self.seed}: the loss of step {step} is {float(losses[bad[0]])}; the checkpoints before it "
                "are kept; try a smaller learning rate"
            )

    def _heldout_loss(self) -> float:
        return heldout_loss(self.module, self.accelerator.device, self.preset.batch_size)

    def _start_clock(self) -> None:
        """Time and tokens where the present stretch of the log began."""
        self._clock = (time.perf_counter(), self.tokens)


def _seed_of(seed: int, step: int, rank: int) -> int:
    """Return the seed of one step's random numbers (dropout), independent for each step and process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


def _seed(device: torch.device, seed: int) -> None:
    """Seed what a step draws from. On a CPU only its own generator: torch asks for every other device each time."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)

"""Faults of input files: file, line and reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from groundbench.api.errors import BadInputError


class Fault(NamedTuple):
    """One thing that is wrong; `line` counts from 1 and is None where the place is not one of lines."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        at = "" if self.line is None else f", line {self.line}"
        return f"{self.file}{at}: {self.reason}"


class FaultError(BadInputError):
    """A file that cannot be read; carries its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault

    def __reduce__(self) -> tuple[type[FaultError], tuple[Fault]]:  # it crosses processes
        return FaultError, (self.fault,)


def fault(file: str, line: int | None, reason: str) -> FaultError:
    """Return the error for one fault."""
    return FaultError(Fault(file, line, reason))


def summary(faults: Sequence[Fault]) -> str:
    """Return all faults, a line each, for those who asked to leave faulty files out."""
    return "\n".join(map(str, faults))

"""The errors a user can meet; each carries one sentence and the exit code of the command line."""

from __future__ import annotations

from collections.abc import Mapping


class GroundbenchError(Exception):
    """A fault while running (exit code 1): nothing already computed is lost."""

    exit_code = 1


class BadInputError(GroundbenchError):
    """The user's input cannot be used (exit code 2): names the file, line or field, what was found and expected."""

    exit_code = 2


class UnencodableError(BadInputError):
    """Some prompts or targets cannot be told apart from their surroundings in a tokenizer's tokens.

    `faults`: for each of them its place among those that were given, and why (one sentence).
    """

    def __init__(self, faults: Mapping[int, str]) -> None:
        super().__init__(next(iter(faults.values())))
        self.faults = dict(faults)


class UnsupportedModelError(BadInputError):
    """The model cannot be measured in the way that was asked for; names the model type and what failed."""


class StoreMismatchError(BadInputError):
    """A run directory holds results of another model, testbed or protocol."""


class NonFiniteLogitsError(GroundbenchError):
    """The model returned NaN or infinite logits; names the prompt."""


class GateFailedError(GroundbenchError):
    """A deployment gate was not met (exit code 3)."""

    exit_code = 3

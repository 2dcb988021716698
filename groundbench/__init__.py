"""groundbench: does a model's word depend on what it was shown, or only on the words around it?

The public face: `evaluate`, `screen`, `Screener`, `load_testbed`, `open_model` and `Result`. Each is imported when
first asked for, so that `import groundbench` costs nothing (PEP 562).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groundbench.evaluate import evaluate as evaluate
    from groundbench.registry import load_testbed as load_testbed
    from groundbench.registry import open_model as open_model
    from groundbench.result import Result as Result
    from groundbench.screen import screen as screen
    from groundbench.screener import Screener as Screener

__version__ = "0.1.0"

__all__ = ["Result", "Screener", "__version__", "evaluate", "load_testbed", "open_model", "screen"]

_HOME = {
    "Result": "groundbench.result",
    "Screener": "groundbench.screener",
    "evaluate": "groundbench.evaluate",
    "load_testbed": "groundbench.registry",
    "open_model": "groundbench.registry",
    "screen": "groundbench.screen",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next look-up finds it here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Package(ModuleType):
    """This package, in which `evaluate` and `screen` stay functions after the modules of these names were imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

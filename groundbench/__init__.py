"""groundbench: does a model's word depend on what it was shown, or only on the words around it?

The public face: `evaluate`, `screen`, `Screener`, `load_testbed`, `open_model` and `Result`. Each is imported when
first asked for, so that `import groundbench` costs nothing (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from groundbench._version import __version__

if TYPE_CHECKING:
    from groundbench.evaluation.evaluate import evaluate as evaluate
    from groundbench.registry import load_testbed as load_testbed
    from groundbench.registry import open_model as open_model
    from groundbench.results.run import Result as Result
    from groundbench.screening.screen import screen as screen
    from groundbench.screening.screener import Screener as Screener

__all__ = ["Result", "Screener", "__version__", "evaluate", "load_testbed", "open_model", "screen"]

_HOME = {
    "Result": "groundbench.results.run",
    "Screener": "groundbench.screening.screener",
    "evaluate": "groundbench.evaluation.evaluate",
    "load_testbed": "groundbench.registry",
    "open_model": "groundbench.registry",
    "screen": "groundbench.screening.screen",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next look-up finds it here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

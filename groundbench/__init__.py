"""groundbench: does a model's word depend on what it was shown, or only on the words around it?

The public names. Each is imported when first asked for, so that `import groundbench` costs nothing (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from groundbench._version import __version__

if TYPE_CHECKING:
    import groundbench.plots as plots
    from groundbench.evaluation.ablate import ablate as ablate
    from groundbench.evaluation.evaluate import evaluate as evaluate
    from groundbench.evaluation.single_prompts import heads as heads
    from groundbench.evaluation.single_prompts import lens as lens
    from groundbench.evaluation.single_prompts import surprisal as surprisal
    from groundbench.measures.gain.compare import compare_runs as compare
    from groundbench.registry import load_testbed as load_testbed
    from groundbench.registry import open_model as open_model
    from groundbench.results.run import Result as Result
    from groundbench.screening.screen import screen as screen
    from groundbench.screening.screener import Screener as Screener
    from groundbench.training.launch import train as train

__all__ = [
    "Result",
    "Screener",
    "__version__",
    "ablate",
    "compare",
    "evaluate",
    "heads",
    "lens",
    "load_testbed",
    "open_model",
    "plots",
    "screen",
    "surprisal",
    "train",
]

_HOME = {
    "Result": "groundbench.results.run:Result",
    "Screener": "groundbench.screening.screener:Screener",
    "ablate": "groundbench.evaluation.ablate:ablate",
    "compare": "groundbench.measures.gain.compare:compare_runs",
    "evaluate": "groundbench.evaluation.evaluate:evaluate",
    "heads": "groundbench.evaluation.single_prompts:heads",
    "lens": "groundbench.evaluation.single_prompts:lens",
    "load_testbed": "groundbench.registry:load_testbed",
    "open_model": "groundbench.registry:open_model",
    "plots": "groundbench.plots:",
    "screen": "groundbench.screening.screen:screen",
    "surprisal": "groundbench.evaluation.single_prompts:surprisal",
    "train": "groundbench.training.launch:train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(import_module(module), attribute) if attribute else import_module(module)
    globals()[name] = value  # the next look-up finds it here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

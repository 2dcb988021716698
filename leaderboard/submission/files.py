"""Opening a stranger's folder: only plain files of known names, nothing outside it, nothing too large."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from groundbench.leaderboard.submission.strict_json_yaml import RefusedError, shorten

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CARD_FILE = "card.yaml"
RUN_FILES = {"result.json": 8 << 20, "trajectory.json": 16 << 20, "items.parquet": 32 << 20, "card.json": 4 << 20}
RUN_FILES |= {"answers.parquet": 32 << 20}
"""Files that a run's folder may hold, with their largest sizes. heads.parquet stays at home: result.json has rates."""
MOST_RUNS = 40
MOST_BYTES = 128 << 20
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
"""Names of devices, which Windows has in every folder, with any extension."""


def check_name(name: str, where: str) -> None:
    """Refuse a folder's name that is not a short lower-case word."""
    if not NAME.fullmatch(name) or ".." in name:
        raise RefusedError(
            f"{where}: the name {shorten(name)} cannot be used; expected up to 64 of a-z, 0-9, '.', '_' and '-'"
        )
    if name.endswith(".") or name.split(".")[0] in RESERVED:
        raise RefusedError(f"{where}: the name {shorten(name)} cannot be used; Windows knows no folder of that name")


def survey(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the run folders of a submission with the files in each; every path is looked at before any is opened.

    Raises:
        RefusedError: a link, a device, an unknown or too large file, a bad name, or too much of anything.
    """
    where = folder.name
    check_name(where, "entries")
    if folder.is_symlink() or not folder.is_dir():
        raise RefusedError(
            f"{where}: is not a folder; expected one with {CARD_FILE} and a folder for each run (archives are not read)"
        )
    runs: dict[str, tuple[str, ...]] = {}
    total = 0
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name == CARD_FILE:
            total += _plain_size(entry, where)
            continue
        if entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
            raise RefusedError(
                f"{where}/{_short_name(entry.name)}: is not part of a submission; expected {CARD_FILE} and run folders"
            )
        check_name(entry.name, where)
        runs[entry.name], size = _survey_run(Path(entry.path), f"{where}/{entry.name}")
        total += size
        if len(runs) > MOST_RUNS:
            raise RefusedError(f"{where}: holds more than {MOST_RUNS} runs")
    if total > MOST_BYTES:
        raise RefusedError(f"{where}: holds more than {MOST_BYTES >> 20} MiB")
    return runs


def _survey_run(folder: Path, where: str) -> tuple[tuple[str, ...], int]:
    names, total = [], 0
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name not in RUN_FILES:
            raise RefusedError(
                f"{where}/{_short_name(entry.name)}: is not part of a run; expected only {', '.join(RUN_FILES)}"
            )
        size = _plain_size(entry, where)
        if size > RUN_FILES[entry.name]:
            raise RefusedError(f"{where}/{entry.name}: larger than {RUN_FILES[entry.name] >> 20} MiB")
        names.append(entry.name)
        total += size
    return tuple(names), total


def _plain_size(entry: os.DirEntry[str], where: str) -> int:
    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError(f"{where}/{entry.name}: is a link or a device; expected a plain file")
    return found.st_size


def _short_name(name: str) -> str:
    return shorten(name)[1:-1]


def read_bytes(path: Path, limit: int, where: str) -> bytes:
    """Return a plain file's bytes.

    No link is followed, nothing that could block is opened, no more than `limit` is read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise RefusedError(f"{where}: is missing") from None
    except OSError:
        raise RefusedError(f"{where}: cannot be opened as a plain file") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise RefusedError(f"{where}: is a link or a device; expected a plain file")
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise RefusedError(f"{where}: larger than {limit:,} bytes, the most that is read")
    return raw

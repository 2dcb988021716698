"""Writes the folder of an imported corpus, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundbench._version import __version__
from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.formats.segments import ENV, LAN
from groundbench.tasks.corpora.formats.transcript import PID, TRANSCRIBER
from groundbench.tasks.corpora.importing.batches import Coded
from groundbench.tasks.corpora.importing.merge import Merged, rank
from groundbench.tasks.corpora.importing.sources import printable
from groundbench.tasks.corpora.licences import LICENCES, citations
from groundbench.tasks.corpora.manifest import FILE, Counts, FaultRecord, Input, Manifest
from groundbench.tasks.nouns import inventory

BLOCK = 1 << 22
HELDOUT, TRAIN = "heldout", "train"


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out` that becomes `out` if nothing fails, and is removed if something does.

    Raises:
        BadInputError: `out` is a file, or a folder that holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out}: exists already; expected a new or empty folder")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_corpus(
    folder: Path,
    merged: Merged,
    *,
    source: str,
    tiers: str | None,
    fold_case: bool,
    heldout: float,
    notices: Mapping[str, str],
    passed: Mapping[str, int],
) -> Manifest:
    """Write everything into the folder and return its manifest.

    Raises:
        BadInputError: fewer than two transcripts, or all of one recording, so that none can be held out.
    """
    transcripts = merged.transcripts
    if len(transcripts) < 2:
        poor = f" and {merged.poor} have fewer ENV words than {merged.min_env_share:g} of all" if merged.poor else ""
        raise BadInputError(
            f"{len(transcripts)} transcripts were read{poor}; expected at least 2, since one is held out"
        )
    words, counts, ids, protected = rank(merged)
    (folder / "vocabulary.txt").write_text("".join(w + "\n" for w in words), encoding="utf-8")
    np.save(folder / "counts.npy", counts)
    _write_tokens(folder, merged.raw, ids, len(words))
    merged.raw.unlink()
    _write_index(folder, transcripts)
    split = split_off(transcripts, heldout, merged.group)
    rows = (
        "\t".join((*map(printable, (t.name, t.corpus, t.origin.get(PID, ""))), HELDOUT if out else TRAIN)) + "\n"
        for t, out in zip(transcripts, split, strict=True)
    )
    (folder / "transcripts.tsv").write_text("name\tcorpus\tpid\tsplit\n" + "".join(rows), encoding="utf-8")
    by_corpus = _by_corpus(transcripts)
    count = dict(zip(words, counts.tolist(), strict=True))
    manifest = Manifest.model_validate(
        {
            "source": source,
            "tiers": tiers,
            "fold_case": fold_case,
            "heldout": heldout,
            "digest": _digest(folder),
            "groundbench": __version__,
            "inputs": tuple(
                Input(path=path, files=i.files, sha256=i.digest.hexdigest()) for path, i in merged.inputs.items()
            ),
            "types": len(words),
            "protected": protected,
            "totals": _totals(transcripts),
            "heldout_transcripts": int(split.sum()),
            "duplicates": merged.duplicates,
            "second_readings": tuple(merged.second_readings),
            "grouped": merged.grouped,
            "passed_over": dict(sorted(passed.items())),
            "min_env_share": merged.min_env_share or None,
            "poor_transcripts": merged.poor,
            "lines": dict(sorted(merged.lines.items())),
            "corpora": by_corpus,
            "nouns": {n.word: (count.get(n.word + ENV, 0), count.get(n.word + LAN, 0)) for n in inventory()},
            "licence": LICENCES[source],
            "cite": citations(source, [name for name in by_corpus if name]),
            "transcribers": _transcribers(transcripts),
            "notices": dict(notices),
            "faults": tuple(FaultRecord(file=f.file, line=f.line, reason=f.reason) for f in merged.faults),
        }
    )
    (folder / FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def split_off(transcripts: Sequence[Coded], share: float, group: Sequence[int] | None = None) -> npt.NDArray[np.bool_]:
    """Return [T] which transcripts are held out: those with the smallest digests, so that no order of files decides.

    At least one and never all; with four transcripts or more at least two, so that their ENV can be shuffled. The
    transcripts of one group are held out together or not at all; `group` None: each is its own.

    Raises:
        BadInputError: all transcripts are of one group.
    """
    n = len(transcripts)
    few = min(max(round(share * n), 2 if n >= 4 else 1), n - 1)
    members: dict[int, list[int]] = {}
    for i, g in enumerate(range(n) if group is None else group):
        members.setdefault(g, []).append(i)
    if len(members) < 2:
        raise BadInputError(f"all {n} transcripts are readings of one recording; expected at least 2 recordings")
    found = np.zeros(n, dtype=bool)
    for rows in sorted(members.values(), key=lambda rows: min(transcripts[i].digest for i in rows)):
        taken = int(found.sum())
        if taken >= few:
            break
        if len(rows) > 1 and ((taken and taken + len(rows) > 2 * few) or taken + len(rows) == n):
            continue  # a large group would take far more than the share
        found[rows] = True
    if not found.any():
        found[min(members.values(), key=len)] = True
    return found


def _write_tokens(folder: Path, raw: Path, ids: npt.NDArray[np.int64], types: int) -> None:
    """Replace provisional ids by final ones, block by block."""
    kind = np.uint16 if types <= 1 << 16 else np.uint32
    size = raw.stat().st_size // 4
    tokens = np.lib.format.open_memmap(folder / "tokens.npy", mode="w+", dtype=kind, shape=(size,))
    with raw.open("rb") as file:
        for start in range(0, size, BLOCK):
            block = np.fromfile(file, dtype=np.int32, count=BLOCK)
            tokens[start : start + len(block)] = ids[block]
    tokens.flush()


def _write_index(folder: Path, transcripts: Sequence[Coded]) -> None:
    np.save(folder / "segments.npy", offsets(t.lengths for t in transcripts))
    np.save(folder / "kinds.npy", np.concatenate([t.kinds for t in transcripts]))
    np.save(folder / "utterances.npy", offsets(t.segments for t in transcripts))
    np.save(folder / "transcripts.npy", offsets([np.array([len(t.segments) for t in transcripts])]))


def offsets(lengths: Iterable[npt.NDArray[np.integer]]) -> npt.NDArray[np.int64]:
    """Return [n + 1] where each of n pieces begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.concatenate(list(lengths)), dtype=np.int64)])


def _digest(folder: Path) -> str:
    """Compute sha256 over everything that decides a token, block by block."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".npy", ".txt")):
        found.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    rows = (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    found.update("\n".join(row.rsplit("\t", 1)[-1] for row in rows).encode())  # the split, wherever the files lay
    return found.hexdigest()


def _totals(transcripts: Iterable[Coded]) -> Counts:
    total = dict.fromkeys(Counts.model_fields, 0)
    for t in transcripts:
        is_env = t.kinds == 1
        total["transcripts"] += 1
        total["utterances"] += len(t.segments)
        total["env_segments"] += int(is_env.sum())
        total["env_words"] += int((t.lengths[is_env] - 1).sum())
        total["lan_words"] += int((t.lengths[~is_env] - 1).sum())
        total["tokens"] += int(t.lengths.sum())
    return Counts(**total)


def _transcribers(transcripts: Iterable[Coded]) -> dict[str, tuple[str, ...]]:
    """List everybody whom a corpus' files name as transcribers."""
    groups: dict[str, set[str]] = {}
    for t in transcripts:
        if who := t.origin.get(TRANSCRIBER, ""):
            groups.setdefault(t.corpus, set()).add(" ".join(who.split()))
    return {name: tuple(sorted(group)) for name, group in sorted(groups.items())}


def _by_corpus(transcripts: Iterable[Coded]) -> dict[str, Counts]:
    groups: dict[str, list[Coded]] = {}
    for t in transcripts:
        groups.setdefault(t.corpus, []).append(t)
    return {name: _totals(group) for name, group in sorted(groups.items())}

"""The importers as functions: files in, a corpus folder out (protocol §2.1, §2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.formats.childes import read_childes
from groundbench.tasks.corpora.formats.coco_captions import read_coco
from groundbench.tasks.corpora.formats.segments import tier_set
from groundbench.tasks.corpora.formats.visdial import read_visdial
from groundbench.tasks.corpora.importing.batches import Reader
from groundbench.tasks.corpora.importing.faults import Fault, FaultError, summary
from groundbench.tasks.corpora.importing.merge import Merged
from groundbench.tasks.corpora.importing.parallel import cores, read_all
from groundbench.tasks.corpora.importing.sources import NOTICE_BYTES, Inputs, Source, describe_read_error, find_sources
from groundbench.tasks.corpora.importing.writer import new_folder, write_corpus
from groundbench.tasks.corpora.manifest import Manifest
from groundbench.util.progress import Progress

HELDOUT = 0.02
"""The share of transcripts that no model is trained on."""

Paths = str | Path | Sequence[str | Path]


def import_childes(
    files: Paths,
    out: str | Path,
    *,
    tiers: str = "core",
    fold_case: bool = False,
    heldout: float = HELDOUT,
    jobs: int | None = None,
    keep_going: bool = False,
    min_env_share: float | None = None,
) -> Manifest:
    """Make a corpus folder of TalkBank CHAT (.cha) and XML transcripts (protocol §2.1).

    Args:
        files: files, folders, zip or tar archives.
        out: the folder to make; it must be new or empty, and is written whole or not at all.
        tiers: `strict` (%act %sit %gpx) or `core` (also %exp, %par, scoped comments, @Situation, @Activities).
        fold_case: lower case throughout.
        heldout: the share of transcripts held out.
        jobs: processes that read; None is one for each core. A script that calls this with several needs
            `if __name__ == "__main__":`.
        keep_going: leave files out that cannot be read, and list them in the manifest's `faults`.
        min_env_share: keep only transcripts of which at least this share of the words is ENV, the action-rich part of
            a collection; None keeps all.

    Raises:
        BadInputError: a path that is not there, nothing to read, an unknown tier set; without `keep_going` the first
            file that cannot be read, with line and reason (FaultError).
    """
    tier_set(tiers)
    read = partial(read_childes, tiers=tiers, fold_case=fold_case)
    run = _Import("childes", (".cha", ".xml"), read, heldout, jobs, keep_going, min_env_share)
    return run(files, out, tiers=tiers, fold_case=fold_case)


def import_visdial(
    files: Paths,
    out: str | Path,
    *,
    fold_case: bool = True,
    heldout: float = HELDOUT,
    jobs: int | None = None,
    keep_going: bool = False,
) -> Manifest:
    """Make a corpus folder of Visual Dialog JSON, native 1.0 or flat (protocol §2.2). Arguments as `import_childes`.

    With `keep_going`, a dialogue with a mistake costs that dialogue only.
    """
    run = _Import("visdial", (".json",), partial(read_visdial, fold_case=fold_case), heldout, jobs, keep_going)
    return run(files, out, tiers=None, fold_case=fold_case)


def import_coco(
    files: Paths,
    out: str | Path,
    *,
    fold_case: bool = True,
    heldout: float = HELDOUT,
    jobs: int | None = None,
    keep_going: bool = False,
) -> Manifest:
    """Make a corpus folder of COCO captions: caption -> caption pairs of one image. Arguments as `import_visdial`."""
    run = _Import("coco", (".json",), partial(read_coco, fold_case=fold_case), heldout, jobs, keep_going)
    return run(files, out, tiers=None, fold_case=fold_case)


class _Import:
    """The settings that all importers share."""

    def __init__(
        self,
        source: str,
        suffixes: Sequence[str],
        read: Callable[..., Iterable[object]],
        heldout: float,
        jobs: int | None,
        keep_going: bool,
        min_env_share: float | None = None,
    ) -> None:
        if not 0 < heldout < 1:
            raise BadInputError(f"heldout: expected a share between 0 and 1, found {heldout}")
        if min_env_share is not None and not 0 < min_env_share <= 1:
            raise BadInputError(f"min_env_share: expected a share above 0 and at most 1, found {min_env_share}")
        if jobs is not None and jobs < 1:
            raise BadInputError(f"jobs: expected at least 1, found {jobs}")
        self.source, self.suffixes, self.heldout, self.keep_going = source, suffixes, heldout, keep_going
        self.read: Reader = read  # type: ignore[assignment]
        self.jobs = jobs or cores()
        self.min_env_share = min_env_share or 0.0
        self.notices: dict[str, str] = {}

    def __call__(self, files: Paths, out: str | Path, *, tiers: str | None, fold_case: bool) -> Manifest:
        given = [Path(f) for f in ([files] if isinstance(files, str | Path) else files)]
        found: list[Fault] = []  # of folders, archives and notices: known once their damage is met
        inputs = Inputs(given, found)
        size = inputs.size
        with new_folder(Path(out)) as folder:
            merged = Merged(folder / "tokens.raw", self.min_env_share)
            merged.raw.touch()
            with Progress(f"reading {self.source} (kB)", size >> 10) as bar:
                done = 0
                for batch in read_all(
                    self._transcripts(find_sources(inputs, self.suffixes, found), found), self.read, self.jobs
                ):
                    merged.add(batch)
                    bar.advance((done + batch.size >> 10) - (done >> 10))
                    done += batch.size
                    self._refuse(merged.faults)
            merged.faults += found
            self._refuse(merged.faults)
            if not merged.transcripts and not merged.poor:
                raise _nothing(given, self.suffixes, merged.faults)
            return write_corpus(
                folder,
                merged,
                source=self.source,
                tiers=tiers,
                fold_case=fold_case,
                heldout=self.heldout,
                notices=self.notices,
                passed=inputs.passed,
            )

    def _transcripts(self, sources: Iterable[Source], faults: list[Fault]) -> Iterator[Source]:
        """Yield the sources without the notices, which are kept; one that cannot be read gives a fault."""
        for source in sources:
            if source.suffix in self.suffixes and not source.is_notice:
                yield source
                continue
            try:
                self.notices[source.name] = source.read()[:NOTICE_BYTES].decode("utf-8", "replace")
            except Exception as error:
                reason = describe_read_error(error)
                if reason is None:
                    raise
                faults.append(Fault(source.name, None, reason))

    def _refuse(self, faults: Sequence[Fault]) -> None:
        if faults and not self.keep_going:
            raise FaultError(faults[0])


def _nothing(given: Sequence[Path], suffixes: Sequence[str], faults: Sequence[Fault]) -> BadInputError:
    named = ", ".join(map(str, given))
    if faults:
        return BadInputError(f"{named}: no file could be read:\n{summary(faults)}")
    return BadInputError(f"{named}: no {' or '.join(suffixes)} file; expected at least two")

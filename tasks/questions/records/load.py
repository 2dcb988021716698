"""`load_records`: a user's file of any supported kind, checked record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from groundbench.api.errors import BadInputError
from groundbench.api.evidence_record import MODES, EvidenceRecord, Mode, RecordFault, RecordSet, template_fault
from groundbench.tasks.questions.records.build import build
from groundbench.tasks.questions.records.field_names import (
    CANONICAL,
    LABELS_FALSE,
    LABELS_TRUE,
    OURS,
    Names,
    recognise,
)
from groundbench.tasks.questions.records.images import find_image
from groundbench.tasks.questions.records.other_evidence import draw_others
from groundbench.tasks.questions.records.read import SPREADSHEETS, kind_of, read_rows
from groundbench.tasks.questions.sets import SETS, set_of
from groundbench.tasks.questions.sets.place import FaultyError, Place, Row
from groundbench.util.suggestions import suggest_names
from groundbench.util.yaml_files import Marked, read_marked

FILES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".pq", *SPREADSHEETS)
LABELS = (*LABELS_TRUE, *LABELS_FALSE)


@dataclass(frozen=True)
class ReadOptions:
    """The options of reading a file of records.

    Attributes:
        fields: our name of a field -> the file's.
        template: a prompt with `{evidence}` and `{question}`; records with a verbatim `prompt` need none.
        keep_going: leave faulty records out, and count them, instead of refusing the file.
        max_evidence: cut evidence at the end of a sentence to at most so many characters.
        delimiter: of a CSV file; found by itself if not given.
        images: the folder of the images that records name.
        public_set: the public set (see `groundbench.tasks.questions.sets`); recognised by its fields if not given.
        seed: of the draw of other evidence.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    keep_going: bool = False
    max_evidence: int | None = None
    delimiter: str | None = None
    images: Path | None = None
    public_set: str | None = None
    seed: int = 0


def is_records(name: str) -> bool:
    """Return True if a name is a file of records, or a YAML file that points to one."""
    path = Path(name).expanduser()
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".xz", ".bz2"):
        suffixes.pop()
    if suffixes and suffixes[-1] in FILES:
        return True
    if suffixes and suffixes[-1] in (".yaml", ".yml") and path.is_file():
        file = read_marked(path)
        return file.is_mapping() and "records" in file.mapping()
    return False


def load_records(path: str | Path, options: ReadOptions | None = None) -> RecordSet:
    """Return the records of a file.

    Raises:
        BadInputError: the file cannot be read; a record cannot be used (with its line, what was found and what was
            expected) unless `keep_going`; ids come twice; modes are mixed; or no record is left.
    """
    path, options = Path(path).expanduser(), options or ReadOptions()
    if options.template is not None:
        fault = template_fault(options.template, slots=(0, 1))  # one sentence for the option, not one for each record
        if fault is not None:
            raise BadInputError(f"the template {fault}")
    if path.suffix.lower() in (".yaml", ".yml"):
        files, options = _read_index(path, options)
    else:
        files = [path]
    records: list[EvidenceRecord] = []
    faults: list[RecordFault] = []
    notes: list[str] = []
    for file in files:
        _read(file, options, records, faults, notes)
    records = _distinct(records, faults)
    if faults and not options.keep_going:
        more = f" (and {len(faults) - 1} more faults; --keep-going leaves them out)" if len(faults) > 1 else ""
        raise BadInputError(f"{faults[0]}{more}")
    mode = _one_mode(records, faults, options.keep_going)
    if mode is None:
        why = f"; the first of {len(faults)} faults: {faults[0]}" if faults else ""
        raise BadInputError(f"{path}: holds no record that can be used{why}")
    kept = tuple(r for r in records if r.mode == mode)
    cut = [r for r in kept if r.cut]
    if cut:
        notes.append(
            f"the evidence of {len(cut)} records was cut to {options.max_evidence} characters (--max-evidence)"
        )
    return RecordSet(path.name, mode, kept, tuple(faults), tuple(notes), draw_others(kept, options.seed))


def _read(
    path: Path, options: ReadOptions, records: list[EvidenceRecord], faults: list[RecordFault], notes: list[str]
) -> None:
    found = read_rows(path, options.delimiter)
    faults += found.faults
    notes += found.notes
    if not found.rows:
        return
    names, every = found.names()
    shape = None if options.fields else set_of(options.public_set, names, path)
    tool = None
    if shape is None:
        given = frozenset(options.fields.values())
        tool = recognise(names - given, every - given)
        if options.fields:
            tool = _given_names(path, options.fields, every, tool)
        _require_fields(path, every, tool)
    told = shape.name if shape is not None else tool.tool if tool is not None else ""
    notes.append(f"{path.name}: read as {MODES_OF.get(told, told)}")
    place = Place(path, options.images)
    for where, row in found.rows:
        try:
            rows: Iterable[Row] = [rename_fields(row, tool)] if tool is not None else shape.convert(row, place)  # type: ignore[union-attr]
            for raw in rows:
                template = options.template or raw.get("template")
                image = find_image(raw.get("image"), place) if raw.get("image") is not None else None
                records.append(
                    build(
                        raw, where, len(records) + 1, template=template, max_evidence=options.max_evidence, image=image
                    )
                )
        except FaultyError as error:
            faults.append(RecordFault(where, str(error)))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if shape is None:
                raise
            said = f"lacks the field {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            faults.append(RecordFault(where, f"is no record of {shape.name}: {said}"))


MODES_OF = {"groundbench": "groundbench's own fields", "fields:": "the fields that were given"}


def rename_fields(row: Row, tool: Names) -> Row:
    """Return a row under our names.

    The file's own canonical and label fields are kept where the tool maps none to them.
    """
    taken = set(tool.fields.values())
    own = (name for name in (*CANONICAL, *LABELS) if name in row and name not in taken and name not in tool.fields)
    raw = {name: row[name] for name in own}
    if tool.tool == "groundbench":
        raw = {name: row[name] for name in (*CANONICAL, *LABELS) if name in row}
    for theirs, ours in tool.fields.items():
        if theirs in row and row[theirs] is not None and ours not in raw:
            raw[ours] = row[theirs]
    return _lettucedetect(raw) if tool.tool == "lettucedetect" else raw


def _given_names(path: Path, fields: Mapping[str, str], names: frozenset[str], others: Names) -> Names:
    """Return the names that were given, and for all else those of `others`, which were recognised."""
    known = (*CANONICAL, *LABELS)
    for ours, theirs in fields.items():
        if ours not in known:
            raise BadInputError(f"fields has {ours!r}, expected some of {', '.join(known)}")
        if theirs not in names:
            raise BadInputError(
                f"{path}: no field {theirs!r}, which fields gives for {ours}; found {_join_names(names)}"
            )
    kept = {} if others is OURS else {t: o for t, o in others.fields.items() if o not in fields}
    return Names("fields:", (), {**kept, **{theirs: ours for ours, theirs in fields.items()}})


def _join_names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _lettucedetect(raw: Row) -> Row:
    if "evidence" not in raw and isinstance(raw.get("prompt"), str):
        from groundbench.tasks.questions.sets.ragtruth import evidence_in

        raw["evidence"] = evidence_in(raw["prompt"]) or ""
    return raw


def _require_fields(path: Path, names: frozenset[str], tool: Names) -> None:
    """Say in one sentence what a file lacks, before its first line is blamed."""
    known = {tool.fields.get(n, n) for n in names}
    lacking = []
    if not known & {"evidence", "image"} and tool.tool != "lettucedetect":
        lacking.append("evidence")
    if not known & {"question", "prompt"}:
        lacking.append("question (or prompt)")
    if not known & {"answer", "candidates"}:
        lacking.append("answer (or candidates with truth)")
    if {"candidates"} == known & {"answer", "candidates"} and "truth" not in known:
        lacking.append("truth")
    if lacking:
        perhaps = suggest_names(sorted(names - {*CANONICAL, *tool.fields}), {*CANONICAL} - known)
        raise BadInputError(
            f"{path}: no field {', no field '.join(lacking)}; found {_join_names(names)}{perhaps}. Name them: "
            f"--fields question=...,evidence=...,answer=...,label=... (or fields: in a YAML file)"
        )


def _distinct(records: list[EvidenceRecord], faults: list[RecordFault]) -> list[EvidenceRecord]:
    seen: dict[str, str] = {}
    kept = []
    for record in records:
        if record.id in seen:
            faults.append(RecordFault(record.where, f"the id {record.id!r} comes twice, first in {seen[record.id]}"))
            continue
        seen[record.id] = record.where
        kept.append(record)
    return kept


def _one_mode(records: list[EvidenceRecord], faults: list[RecordFault], keep_going: bool) -> Mode | None:
    """Return the mode of all records (of most of them with `keep_going`, the others become faults).

    None without records.
    """
    counts = Counter(r.mode for r in records)
    if not counts:
        return None
    mode = counts.most_common(1)[0][0]
    first = next(r for r in records if r.mode == mode)
    for record in records:
        if record.mode != mode:
            why = f"holds {MODES[record.mode]}, but {first.where} holds {MODES[mode]}; expected one of them in a file"
            if not keep_going:
                raise BadInputError(f"{record.where}: {why}")
            faults.append(RecordFault(record.where, why))
    return mode


def _read_index(path: Path, options: ReadOptions) -> tuple[list[Path], ReadOptions]:
    """Return the files that a YAML file names, and what it says about them; the command line's options come first."""
    file = read_marked(path)
    known = ("fields", "template", "max_evidence", "delimiter", "images", "set")
    nodes = file.fields(("records",), known)
    folder = path.parent
    rows = nodes["records"].sequence() if nodes["records"].is_sequence() else [nodes["records"]]
    said: dict[str, object] = {}
    if "fields" in nodes:
        said["fields"] = _fields(nodes["fields"])
    if "template" in nodes:
        said["template"] = _template(nodes["template"])
    if "max_evidence" in nodes:
        said["max_evidence"] = _whole_number(nodes["max_evidence"])
    if "delimiter" in nodes:
        said["delimiter"] = nodes["delimiter"].text()
    if "images" in nodes:
        said["images"] = folder / nodes["images"].text()
    if "set" in nodes:
        said["public_set"] = nodes["set"].choice(tuple(SETS))
    here = {name: value for name, value in said.items() if not getattr(options, name)}
    files = [folder / row.text() for row in rows]
    for file_ in files:
        kind_of(file_)
    return files, replace(options, **here)  # type: ignore[arg-type]


def _fields(node: Marked) -> dict[str, str]:
    found = {}
    for name, value in node.mapping().items():
        if name not in (*CANONICAL, *LABELS):
            raise value.error(f"fields has {name!r}, expected some of {', '.join((*CANONICAL, *LABELS))}")
        found[name] = value.text()
    return found


def _template(node: Marked) -> str:
    text = node.text()
    fault = template_fault(text, slots=(0, 1))
    if fault is not None:
        raise node.error(f"template {fault}")
    return text


def _whole_number(node: Marked) -> int:
    text = node.text()
    if not text.isdigit() or int(text) < 1:
        raise node.error(f"{node.name} is {text!r}, expected a number of characters from 1 on")
    return int(text)

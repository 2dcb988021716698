"""Hostile entries, each a valid one with one thing wrong: what strangers may send by mistake or on purpose.

`KINDS` maps a name to a function of the entry's folder. Nothing here was measured.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.fake_results import fake_trajectory

Change = Callable[[dict[str, Any]], None]
Spoil = Callable[[Path], None]
RAW = "\x1b[31m::error::stranger\r\n<script>alert(1)</script>"
"""Terminal colours, a forge's log command, a line break and a script: never to be printed or written raw."""


def _document(change: Change) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "run" / "result.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoil


def _text(change: Callable[[str], str | bytes], name: str = "run/result.json") -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        text = change(path.read_text())
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    return spoil


def _set(*path: str | int, to: Any) -> Spoil:
    """Set one field of the result."""

    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to

    return _document(change)


def _card(text: str) -> Spoil:
    return lambda folder: (folder / "card.yaml").write_text(text) and None


def _add_to_card(line: str) -> Spoil:
    return _text(lambda text: text + line + "\n", "card.yaml")


def _file(name: str, content: bytes = b"x") -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return spoil


def _items(change: Callable[[pa.Table], pa.Table], **options: Any) -> Spoil:
    """Change the table of the items; the entry must have been made with items."""

    def spoil(folder: Path) -> None:
        path = folder / "run" / "items.parquet"
        table = pq.read_table(path)
        pq.write_table(change(table), path, **options)

    return spoil


def _column(name: str, values: Callable[[pa.ChunkedArray], Any]) -> Spoil:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(values(table[name])))

    return _items(change)


def _link(folder: Path) -> None:
    path = folder / "run" / "result.json"
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(folder: Path) -> None:
    (folder / "run" / "items.parquet").unlink(missing_ok=True)
    os.mkfifo(folder / "run" / "items.parquet")


def _socket(folder: Path) -> None:
    here = Path.cwd()
    try:
        os.chdir(folder / "run")  # the address of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("card.json")
    finally:
        os.chdir(here)


def _hollow(folder: Path) -> None:
    """A file of ten gigabytes that takes no room."""
    os.truncate(folder / "run" / "result.json", 10 << 30)


def _trajectory(change: Change) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "run" / "result.json").unlink()
        (folder / "run" / "items.parquet").unlink(missing_ok=True)
        document = json.loads(fake_trajectory(3).model_dump_json())
        change(document)
        (folder / "run" / "trajectory.json").write_text(json.dumps(document))

    return spoil


def _long_run(document: dict[str, Any]) -> None:
    document["points"] = [p | {"step": i} for i, p in enumerate(document["points"] * 60)]


def _back_and_forth(document: dict[str, Any]) -> None:
    document["points"] = document["points"][::-1]


def _another_model(document: dict[str, Any]) -> None:
    document["points"][0]["result"]["model"]["architecture"] = "Another"


def _bomb(table: pa.Table) -> pa.Table:
    """Frames that are one long text, packed to almost nothing."""
    long = pa.array(["f" * 60_000] * len(table))
    return table.set_column(table.column_names.index("frame"), "frame", long)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def _best_of_both(document: dict[str, Any]) -> None:
    """The gain of another form in the place of the headline's."""
    first, other = document["forms"][0], document["forms"][2]
    first["gain"], other["gain"] = other["gain"], first["gain"]


def _twin_nouns(document: dict[str, Any]) -> None:
    nouns = document["forms"][0]["gain"]["by_noun"]
    nouns[1]["noun"] = nouns[0]["noun"].upper()


def _sum(value: float) -> Callable[[pa.ChunkedArray], Any]:
    return lambda column: np.where(np.arange(len(column)) == 7, value, column.to_numpy())


def _cast(column: str, kind: pa.DataType) -> Spoil:
    return _items(lambda t: t.set_column(t.column_names.index(column), column, t[column].cast(kind)))


def _extension(table: pa.Table) -> pa.Table:
    values = pa.ExtensionArray.from_storage(pa.json_(), table["env"].cast(pa.string()).combine_chunks())
    return table.set_column(table.column_names.index("env"), "env", values)


def _not_utf_8(table: pa.Table) -> pa.Table:
    raw = pa.array([b"\xff\xfe"] * len(table))
    values = pa.StringArray.from_buffers(len(table), raw.buffers()[1], raw.buffers()[2])
    return table.set_column(table.column_names.index("env"), "env", values)


def _footer_lies(folder: Path) -> None:
    """Say in a Parquet file that its footer has two gigabytes."""
    path = folder / "run" / "items.parquet"
    raw = bytearray(path.read_bytes())
    raw[-8:-4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(raw)


def _flip(path: Path) -> None:
    """Change a byte of a Parquet file in every hundred."""
    raw = bytearray(path.read_bytes())
    raw[100:-8:100] = bytes(255 - b for b in raw[100:-8:100])
    path.write_bytes(raw)


def _very_many_checkpoints(document: dict[str, Any]) -> None:
    point = document["points"][-1]
    small = point["result"] | {"forms": [point["result"]["forms"][0] | {"heads": [], "ablations": [], "lens": []}]}
    small["forms"][0]["gain"] = small["copy_corrected"] = small["cooccurrence"] = small["model"]["step"] = None
    small["model"]["mixers"] = []
    document["points"] = [
        point | {"step": i, "result": small | {"model": small["model"] | {"fingerprint": f"sha256:{i}"}}}
        for i in range(600)
    ]


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)

KINDS: dict[str, Spoil] = {
    # the result as a text
    "empty": _text(lambda _: ""),
    "byte-order-mark": _text(lambda t: "\ufeff" + t),
    "utf-16": _text(lambda t: t.encode("utf-16")),
    "lone-surrogate": _text(lambda t: t.replace('"synthetic-', '"\\ud800synthetic-', 1)),
    "zero-byte": _text(lambda t: t.replace('"synthetic-', '"\\u0000synthetic-', 1)),
    "key-twice-deep": _text(lambda t: t.replace('"parameters"', '"parameters": 1, "parameters"', 1)),
    "digits": _text(lambda t: t.replace('"parameters": ', '"parameters": ' + "9" * 100_000, 1)),
    "scalar": _text(lambda _: "17"),
    "spaces": _text(lambda t: " " * (9 << 20) + t),
    "trailing": _text(lambda t: t + "{}"),
    "hollow-ten-gigabytes": _hollow,
    # its fields
    "number-as-text": _set("forms", 0, "gain", "mean", to="4.0"),
    "true-for-one": _set("forms", 0, "gain", "n_failed", to=False),
    "list-for-mapping": _set("model", to=[]),
    "null-testbed": _set("testbed", to=None),
    "no-forms": _set("forms", to=[]),
    "form-twice": _document(lambda d: d["forms"].append(d["forms"][0])),
    "forms-swapped": _document(_best_of_both),
    "unknown-field": _set("script", to=RAW),
    "later-schema": _set("schema_version", to="99.0"),
    "protocol-deep": _set("protocol", "x", to=_deep(90)),
    "protocol-wide": _set("protocol", "x", to={str(i): 0 for i in range(400_000)}),
    "protocol-of-controls": _set("protocol", RAW, to=RAW),
    "interval-reversed": _document(
        lambda d: d["forms"][0]["gain"].update(
            ci_low=d["forms"][0]["gain"]["ci_high"], ci_high=d["forms"][0]["gain"]["ci_low"]
        )
    ),
    "p-of-two": _set("forms", 0, "gain", "p_cluster", to=2.0),
    "twin-nouns": _document(_twin_nouns),
    "layer-beyond-depth": _document(lambda d: d["forms"][0]["heads"][0]["by_head"][0].update(layer=10**6)),
    "negative-parameters": _set("model", "parameters", to=-1),
    "huge-parameters": _set("model", "parameters", to=10**20),
    "negative-step": _set("model", "step", to=-5),
    "no-fingerprint": _set("model", "fingerprint", to=""),
    "controls-in-versions": _set("environment", "versions", to={"torch": RAW}),
    "excluded-everything": _set("testbed", "excluded", to=[{"noun": f"n{i}", "reason": RAW} for i in range(2_000)]),
    # the card
    "laughs": _card(LAUGHS),
    "python-tag": _add_to_card("notes: !!python/object/apply:os.system [id]"),
    "card-is-a-list": _card("- model\n- licence\n"),
    "card-key-twice": _add_to_card("model: another"),
    "weights-script": _add_to_card("weights: javascript:alert(1)"),
    "weights-with-password": _add_to_card("weights: https://user:secret@example.org/w"),
    "zalgo-name": _text(lambda t: t.replace("Synthetic", "S" + "\u0301" * 90), "card.yaml"),
    "day-that-is-none": _add_to_card("measured: 2026-02-30"),
    "impossible-day": _add_to_card("measured: 2026-13-45"),
    "notes-of-controls": _add_to_card(f"notes: {json.dumps(RAW)}"),
    # files
    "link-to-a-device": _link,
    "pipe": _pipe,
    "socket": _socket,
    "folder-for-file": lambda f: (f / "run" / "items.parquet").unlink() or (f / "run" / "items.parquet").mkdir(),
    "page-beside": _file("run/index.html", b"<script>alert(1)</script>"),
    "server-settings": _file(".htaccess", b"Options +Indexes"),
    "name-of-controls": _file("run/\u202egnp.json"),
    "device-name": _file("con/result.json", b"{}"),
    "result-and-trajectory": _file("run/trajectory.json", b"{}"),
    # items
    "magic-alone": _file("run/items.parquet", b"PAR1PAR1"),
    "encrypted": _file("run/items.parquet", b"PARE" + b"\0" * 64 + b"PARE"),
    "cut-short": lambda f: (f / "run/items.parquet").write_bytes((f / "run/items.parquet").read_bytes()[:-9]) and None,
    "a-zip": _file("run/items.parquet", b"PK\x03\x04" + b"\0" * 100),
    "not-a-number": _column("surprisal", _sum(float("nan"))),
    "infinite": _column("surprisal", _sum(float("inf"))),
    "negative-surprisal": _column("surprisal", _sum(-3.0)),
    "enormous-surprisal": _column("surprisal", _sum(1e30)),
    "condition-turned": _column("condition", lambda c: ["matched"] * len(c)),
    "lists-for-texts": _column("env", lambda c: [[x] for x in c.to_pylist()]),
    "text-bomb": _items(_bomb, compression="zstd"),
    "rows-twice": _items(lambda t: pa.concat_tables([t, t])),
    "column-more": _items(lambda t: t.append_column("script", pa.array([RAW] * len(t)))),
    "no-rows": _items(lambda t: t.slice(0, 0)),
    "half-precision": _cast("surprisal", pa.float16()),
    "whole-numbers": _column("surprisal", lambda c: [1] * len(c)),
    "truth-values": _column("surprisal", lambda c: [True] * len(c)),
    "decimal-numbers": _column("surprisal", lambda c: pa.array([1] * len(c)).cast(pa.decimal128(20, 0))),
    "extension-type": _items(_extension),
    "not-utf-8": _items(_not_utf_8),
    "another-alphabet": _column("env", lambda c: [x.replace("a", "\u0430") for x in c.to_pylist()]),
    "upper-case-column": _items(lambda t: t.rename_columns([c.replace("form", "FORM") for c in t.column_names])),
    "bytes-changed": lambda f: _flip(f / "run" / "items.parquet"),
    "footer-lies": _footer_lies,
    "very-many-row-groups": _items(lambda t: pa.concat_tables([t] * 70), row_group_size=1),
    # trainings and cards
    "very-many-checkpoints": _trajectory(_very_many_checkpoints),
    "long-training": _trajectory(_long_run),
    "steps-backwards": _trajectory(_back_and_forth),
    "two-models": _trajectory(_another_model),
    "risk-card-of-nothing": _file("run/card.json", b"{}"),
    "risk-card-deep": _file("run/card.json", json.dumps(_deep(200)).encode()),
}

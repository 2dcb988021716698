"""Tell apart what a user may name as a model: a hub id, a folder, a .gguf file; with or without an adapter on top."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundbench.adapters.loading import hub, users_files
from groundbench.adapters.loading.peft_adapters import PeftAdapter, read_adapter
from groundbench.api.errors import BadInputError


@dataclass(frozen=True)
class Source:
    """The origin of a model.

    Attributes:
        name: for messages and results; a hub id with its revision, or a folder's or file's name.
        path: the folder with its files, for a hub id the one in the local cache; None for a model in memory.
        gguf: a file name in the folder.
        snapshot: the hub's commit that the folder is of; its weights may not be there yet.
        adapter: the peft adapter that is put on top.
        texts: the folder with its tokenizer or processor, where that is another one (an adapter's own).
        plain: the folder of the cache that holds the same model as its .gguf file, already converted.
        notes: what reading the .gguf file said of it.
    """

    name: str
    path: Path | None = None
    gguf: str | None = None
    snapshot: hub.Snapshot | None = None
    adapter: PeftAdapter | None = None
    texts: Path | None = None
    plain: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def packed(self) -> bool:
        """True where its .gguf file itself is to be read."""
        return self.gguf is not None and self.plain is None

    @property
    def folder(self) -> Path:
        """The folder with its files."""
        if self.path is None:
            raise ValueError(f"{self.name}: a model in memory has no folder")
        return self.path


def names_object(model: str) -> bool:
    """Return True for `module:object`; False for a path, an address or `org/name:folder` of a hub."""
    module = model.partition(":")[0]
    is_plain = ":" in model and "://" not in model and "@" not in module
    return is_plain and "/" not in module and not Path(model).expanduser().exists()


def locate(model: str, revision: str | None = None, subfolder: str | None = None) -> Source:
    """Tell a folder, a .gguf file and a hub id apart; of a hub id, fetch all files but the weights.

    Args:
        revision: a branch, tag or commit of a hub id, which may also be written `org/name@revision`.
        subfolder: the model's folder in the repository or in the folder; also `org/name@revision:subfolder`.

    Raises:
        BadInputError: the path does not exist or is no model, naming what was found; or the hub refuses.
    """
    if address := re.fullmatch(r"https?://[^/]+/([^/]+/[^/?#]+)?.*", model):
        instead = f"; expected its hub id, {address[1]}" if address[1] else "; expected a hub id"
        raise BadInputError(f"{model}: an address on the web is no model{instead}, a folder or a .gguf file")
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf" and not path.is_dir():
        if not path.is_file():
            raise BadInputError(f"{model}: no such file; expected a GGUF file")
        if path.open("rb").read(4) not in (b"GGUF", users_files.POINTER[:4], b""):
            raise BadInputError(f"{model}: not a GGUF file (it does not begin with the letters GGUF)")
        _refuse_hub_options(model, "a file", revision, subfolder)
        file = nameable(path)
        return _require_fetched(Source(readable(path.stem), file.parent, file.name))
    if path.is_dir():
        _refuse_hub_options(model, "a folder", revision, None)
        folder = path / (subfolder or "")
        if not folder.is_dir():
            raise BadInputError(f"{model}: it has no folder {subfolder!r}")
        return _require_fetched(
            _in_folder(_folder_name(folder), nameable(folder), [p.name for p in folder.iterdir()], None)
        )
    code = path if path.suffix == ".py" else Path(f"{model}.py")
    if code.is_file():
        raise BadInputError(
            f"{model}: expected MODULE:OBJECT of an adapter in {code}, such as {code.stem}:make_adapter"
        )
    if path.exists():
        raise BadInputError(f"{model}: a file that is no model; expected a folder, a .gguf file or a hub id")
    asked = hub.parse_hub_id(model, revision, subfolder)
    if asked is None or model.startswith((".", "/", "~")):
        raise BadInputError(f"{model}: no such folder; expected a model folder, a .gguf file or a hub id")
    snapshot = hub.fetch_texts(asked)
    return _require_fetched(_in_folder(str(asked), snapshot.folder, snapshot.names, snapshot))


def _require_fetched(source: Source) -> Source:
    users_files.require_fetched(source)
    return source


def _refuse_hub_options(model: str, what: str, revision: str | None, subfolder: str | None) -> None:
    for option, given in (("revision", revision), ("subfolder", subfolder)):
        if given is not None:
            raise BadInputError(f"{model}: {what} has no {option}, but {given!r} was given; expected a hub id")


def _in_folder(name: str, folder: Path, names: Iterable[str], snapshot: hub.Snapshot | None) -> Source:
    """Return the model of a folder with these files; a snapshot's weights may still be on the hub."""
    there = frozenset(names)
    if hub.ADAPTER_CONFIG in there:
        return _with_adapter(name, folder, there, snapshot)
    if hub.CONFIG not in there:
        found = ", ".join(sorted(there)[:5]) or "nothing"
        what = f"{folder}: a folder" if snapshot is None else f"{name}: a repository"
        raise BadInputError(f"{what} without config.json is no model (found {found})")
    return Source(name, folder, snapshot=snapshot)


def _with_adapter(name: str, folder: Path, names: frozenset[str], snapshot: hub.Snapshot | None) -> Source:
    """Return an adapter on top of its base, which is beside it or named by its config."""
    adapter = read_adapter(folder, name)
    if snapshot is not None:
        hub.fetch_weights(snapshot, hub.weight_names(names, folder, hub.ADAPTER_WEIGHTS))
    texts = folder if any(n.startswith("tokenizer") for n in names) else None
    if hub.CONFIG in names and (weights := hub.weight_names(names, folder)):
        if snapshot is not None:
            hub.fetch_weights(snapshot, weights)
        beside = _folder_without(folder, hub.ADAPTER_CONFIG)
        return Source(f"{name} + adapter", beside, snapshot=snapshot, adapter=adapter, texts=texts)
    if adapter.base is None:
        raise BadInputError(f"{adapter.file}: base_model_name_or_path is missing; expected the model it was trained on")
    try:
        base = locate(adapter.base, adapter.revision if hub.parse_hub_id(adapter.base) else None)
    except BadInputError as error:
        raise BadInputError(f"{adapter.file}: its base_model_name_or_path cannot be opened: {error}") from error
    if base.adapter is not None:
        raise BadInputError(f"{adapter.file}: its base {adapter.base} has an adapter itself; merge that one first")
    return replace(base, name=f"{base.name} + {name}", adapter=adapter, texts=texts or base.texts)


def _folder_without(folder: Path, name: str) -> Path:
    """Return the folder as it would be without a file.

    Transformers loads an adapter_config.json that it finds by itself.
    """
    whole = Path(temporary_folder())
    for path in folder.iterdir():
        if path.name != name:
            (whole / path.name).symlink_to(path.resolve())
    return whole


def temporary_folder() -> str:
    """Return a folder that is removed when the program ends."""
    folder = tempfile.mkdtemp(prefix="groundbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


ONE_OF_SEVERAL = re.compile(
    r"(checkpoint|step|epoch|iter|global_step|ckpt)[-_=]?\d.*|\d+|final|best|last|latest|model|hf"
)
"""Names of folders that tell one checkpoint of a training from another, and not one training from another."""


def _folder_name(path: Path) -> str:
    """Return a readable name that tells models apart.

    `gpt2-mini/seed-42/step-001500` for our checkpoints, `my-run/checkpoint-500` for those of other trainers,
    `org/name@1a2b3c4` for a snapshot in the hub's cache, the folder's name otherwise.
    """
    parts = [readable(part) for part in path.resolve().parts]
    if parts[-1].startswith("step-") and len(parts) >= 3:
        return "/".join(parts[-3:])
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return f"{parts[-3].removeprefix('models--').replace('--', '/')}@{parts[-1][:7]}"
    if len(parts) > 2 and ONE_OF_SEVERAL.fullmatch(parts[-1].lower()):
        return "/".join(parts[-2:])
    return parts[-1]


def nameable(path: Path) -> Path:
    """Return a path to the same file or folder in UTF-8: libraries written in Rust open no other names.

    Itself where it is UTF-8, else a link in a temporary folder.
    """
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        link = Path(temporary_folder()) / readable(path.name)
        link.symlink_to(path.absolute(), target_is_directory=path.is_dir())
        return link
    return path


def readable(name: str) -> str:
    """Return a file's name as text that can be written and printed.

    Bytes that are not UTF-8 become replacement signs.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def training_of(source: Source) -> dict[str, Any]:
    """Step and seed of one of our own checkpoints."""
    if source.path is None or not (source.path / "training.json").is_file():
        return {}
    with users_files.opening(source, "training.json"):
        state = json.loads((source.path / "training.json").read_text(encoding="utf-8"))
        dict(state)
    return {
        "step": state.get("step"),
        "seed": state.get("seed"),
        "checkpoint": readable(source.path.name),
        "folder": str(source.path),
    }

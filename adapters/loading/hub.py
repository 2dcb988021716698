"""Files of a repository on the Hugging Face hub, fetched whole before anything is built from them.

The network is used or not by one decision, huggingface_hub's own (`HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`). A cache
that holds only some of a repository's files is completed, or refused where the network may not be used: what a loader
makes of an incomplete one (an empty tokenizer, no chat template) would be another model.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from groundbench.api.errors import BadInputError
from groundbench.util.users_code import first_line

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

HUB_ID = re.compile(r"(?P<repo>[^@:/\s]+(?:/[^@:/\s]+)?)(?:@(?P<revision>[^@:\s]+))?(?::(?P<subfolder>[^@:\s]+))?")
CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
TEXTS = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".spm", ".bpe", ".py")
"""Files that say what a model, a tokenizer or a processor is; all but the weights."""
TEMPLATES = "additional_chat_templates/"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
OF_A_WHOLE_DOWNLOAD = ".gitattributes"
"""In every repository, and in a cache only if all of it was downloaded."""
OF_A_TOKENIZER = ("tokenizer_config.json", "tokenizer.json", "added_tokens.json", "special_tokens_map.json")
"""Files that a loader of tokenizers asks for: afterwards the cache knows of each that it is there or does not exist."""
OF_IMAGES = ("processor_config.json", "preprocessor_config.json")
T = TypeVar("T")


@dataclass(frozen=True)
class HubId:
    """A repository on the hub, at a branch, tag or commit, and a folder in it."""

    repo: str
    revision: str | None = None
    subfolder: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{self.repo}{revision}" + ("" if self.subfolder is None else f":{self.subfolder}")


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository in the local cache.

    Attributes:
        root: the commit's folder in the cache.
        listing: the paths of all its files on the hub; None where only the cache could be asked and does not know.
    """

    asked: HubId
    commit: str
    root: Path
    listing: frozenset[str] | None

    @property
    def folder(self) -> Path:
        """The folder with the model's own files."""
        return self.root / (self.asked.subfolder or "")

    @property
    def names(self) -> frozenset[str]:
        """The names of the files in the folder, on the hub or (where that is not known) in the cache."""
        if self.listing is None:
            return frozenset(p.name for p in self.folder.glob("*"))
        prefix = _prefix(self.asked)
        return frozenset(p.removeprefix(prefix) for p in self.listing if _is_directly_in(prefix, p))


def parse_hub_id(text: str, revision: str | None = None, subfolder: str | None = None) -> HubId | None:
    """`org/name`, `org/name@revision` or `org/name@revision:folder` as a HubId; None for anything else.

    Args:
        revision, subfolder: as they were given beside the id.

    Raises:
        BadInputError: revision or subfolder is given twice, and differently; or the subfolder leads out.
    """
    found = HUB_ID.fullmatch(text)
    if found is None:
        return None
    both = {"revision": revision, "subfolder": subfolder.strip("/") if subfolder else None}
    for name, given in both.items():
        own = found[name]
        if own and given and own != given:
            raise BadInputError(f"{text}: its {name} is given twice, as {own!r} and as {given!r}; expected one")
        both[name] = own or given
    if both["subfolder"] and ".." in both["subfolder"].split("/"):
        raise BadInputError(f"{text}: the subfolder {both['subfolder']!r} leads out of the repository")
    return HubId(found["repo"], both["revision"], both["subfolder"])


def network_allowed() -> bool:
    """Return True if the network may be used, as huggingface_hub itself decides."""
    from huggingface_hub.constants import is_offline_mode

    return not is_offline_mode()


def resolve(asked: HubId) -> str:
    """Return the commit (40 hex digits) of a revision.

    Raises:
        BadInputError: no such repository or revision, or neither the hub nor the cache can be asked.
    """
    return fetch_texts(asked).commit


def fetch_texts(asked: HubId) -> Snapshot:
    """Fetch every file of a repository's folder that is no weights: config, tokenizer, processor, code.

    Raises:
        BadInputError: no such repository, revision or folder; no access; or the network may not be used (or cannot be
            reached) and the cache does not hold all of them.
    """
    prefix = _prefix(asked)
    root = _download(asked, asked.revision, [prefix + CONFIG, prefix + ADAPTER_CONFIG])
    commit = root.name
    listing = _listing(asked.repo, commit)
    if listing is None:
        snapshot = Snapshot(asked, commit, root, None)
        _require_whole_texts(snapshot)
        return snapshot
    wanted = [p for p in listing if _is_directly_in(prefix, p) or p.startswith(prefix + TEMPLATES) or p[-3:] == ".py"]
    wanted = [p for p in wanted if p.endswith(TEXTS)]
    if prefix and not any(p.startswith(prefix) for p in listing):
        folders = sorted({p.rpartition("/")[0] for p in listing if "/" in p})[:5]
        raise BadInputError(f"{asked}: the repository has no folder {asked.subfolder!r} (it has {_list_few(folders)})")
    if wanted:
        _download(asked, commit, wanted)
    return Snapshot(asked, commit, root, listing)


def fetch_weights(snapshot: Snapshot, names: Iterable[str]) -> None:
    """Fetch files of weights, by their names in the snapshot's folder.

    Raises:
        BadInputError: as `fetch_texts`.
    """
    prefix = _prefix(snapshot.asked)
    wanted = [prefix + name for name in names]
    if not wanted:
        return
    _download(snapshot.asked, snapshot.commit, wanted)
    missing = [name for name in wanted if not (snapshot.root / name).is_file()]
    if missing:  # the cache has no listing of the repository to compare with
        raise BadInputError(
            f"{snapshot.asked}: the cache does not hold its weights ({_list_few(missing)}), and {_why_no_network()}"
        )


def fetch_code(folder: Path) -> dict[str, str]:
    """Fetch the code that a folder's configs name in other repositories (`auto_map` of `org/name--file.Class`).

    Returns:
        The commit of each such repository.

    Raises:
        BadInputError: as `fetch_texts`.
    """
    commits: dict[str, str] = {}
    for path in sorted(folder.glob("*config.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # whoever reads it says so
        named = found.get("auto_map") if isinstance(found, dict) else None
        references = [r for v in named.values() for r in (v if isinstance(v, list) else [v])] if named else []
        for reference in references:
            repo, dashes, _ = str(reference or "").partition("--")
            if dashes and repo not in commits:
                commits[repo] = _download(HubId(repo), None, ["*.py"]).name
    return commits


def weight_names(names: Iterable[str], folder: Path, whole: tuple[str, ...] = WEIGHTS) -> tuple[str, ...]:
    """Return the files among `names` with a model's weights: one file, or the shards that an index (in `folder`) lists.

    The order is transformers' own: safetensors before .bin, one file before shards. Empty where there are none.

    Raises:
        BadInputError: an index that cannot be read.
    """
    there = frozenset(names)
    for name in whole:
        if name in there:
            return (name,)
        index = f"{name}.index.json"
        if index in there:
            try:
                shards = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadInputError(f"{folder / index}: no index of weights ({error}); expected 'weight_map'") from None
            return tuple(sorted({str(s) for s in shards}))
    return ()


def _prefix(asked: HubId) -> str:
    return f"{asked.subfolder}/" if asked.subfolder else ""


def _is_directly_in(prefix: str, path: str) -> bool:
    return path.startswith(prefix) and "/" not in path[len(prefix) :]


def _list_few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "none"


def _listing(repo: str, commit: str) -> frozenset[str] | None:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(f.path for f in get_cached_repo_tree(repo, revision=commit))
    except CachedRepoTreeNotFoundError:
        return None


def _require_whole_texts(snapshot: Snapshot) -> None:
    """Refuse a cache that may hold only a part of the tokenizer.

    It was filled file by file by other programs: each file must be there or be known not to exist.
    """
    from huggingface_hub import try_to_load_from_cache

    if (snapshot.root / OF_A_WHOLE_DOWNLOAD).is_file():
        return
    prefix, asked = _prefix(snapshot.asked), snapshot.asked
    reads_images = any((snapshot.folder / name).is_file() for name in OF_IMAGES)
    sees_and_writes = b'"vision_config"' in _bytes(snapshot.folder / CONFIG)
    needed = () if reads_images and not sees_and_writes else OF_A_TOKENIZER  # an image encoder has no tokenizer
    known = {n: try_to_load_from_cache(asked.repo, prefix + n, revision=snapshot.commit) for n in needed}
    unknown = [name for name, found in known.items() if found is None]
    if sees_and_writes and not reads_images:
        unknown.append(OF_IMAGES[0])
    if unknown:
        raise BadInputError(
            f"{asked}: the cache holds a part of the repository only ({_list_few(unknown)} was never fetched), and "
            f"{_why_no_network()}"
        )


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _why_no_network() -> str:
    return (
        "the hub cannot be reached"
        if network_allowed()
        else "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids to fetch the rest"
    )


def _download(asked: HubId, revision: str | None, patterns: list[str]) -> Path:
    """Return the snapshot's folder, with the files of these patterns in it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()

    def fetch() -> Path:
        logger = logging.getLogger("huggingface_hub")
        before = logger.level
        logger.setLevel(logging.ERROR)  # a pattern that no file has is no news
        try:
            return Path(
                snapshot_download(
                    asked.repo,
                    revision=revision,
                    allow_patterns=[p.replace("[", "[[]") for p in patterns],
                    local_files_only=not network_allowed(),
                )
            )
        finally:
            logger.setLevel(before)

    return _in_a_sentence(asked, fetch)


def _in_a_sentence(asked: HubId, fetch: Callable[[], T]) -> T:
    """Fetch; a refusal of the hub or of the cache becomes one sentence, by the error's type."""
    from huggingface_hub import errors

    try:
        return fetch()
    except errors.GatedRepoError as error:
        raise BadInputError(
            f"{asked}: the repository is gated: ask for access on its page, then log in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BadInputError(
            f"{asked}: the hub has no such repository, or it is private and `hf auth login` was not run; expected a "
            "hub id, a folder with config.json or a .gguf file"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInputError(
            f"{asked}: the repository has no revision {asked.revision!r}; expected a branch, a tag or a commit"
        ) from error
    except errors.IncompleteSnapshotError as error:
        raise BadInputError(
            f"{asked}: the cache holds a part of the repository only, and {_why_no_network()}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise BadInputError(_not_cached_message(asked)) from error
    except errors.HFValidationError as error:
        raise BadInputError(
            f"{asked}: {' '.join(str(error).split())}; expected a hub id (org/name), a folder with config.json or a "
            ".gguf file"
        ) from error
    except errors.EntryNotFoundError as error:
        raise BadInputError(f"{asked}: a file of the repository is gone: {first_line(error)[:200]}") from error
    except errors.HfHubHTTPError as error:
        raise BadInputError(f"{asked}: the hub answers {_status(error)}: {first_line(error)[:200]}") from error
    except Exception as error:
        if not _is_of_the_network(error):
            raise
        raise BadInputError(f"{asked}: the hub cannot be reached ({type(error).__name__})") from error


def _not_cached_message(asked: HubId) -> str:
    what = f"the revision {asked.revision!r} of the repository" if asked.revision else "the repository"
    return (
        f"{asked}: {what} is not in the local cache, and {_why_no_network()}; expected a hub id, a folder with "
        "config.json or a .gguf file"
    )


def _is_of_the_network(error: BaseException) -> bool:
    """Return True if an HTTP client raised it; which one huggingface_hub uses depends on its version."""
    return any(c.__module__.split(".")[0] in ("httpx", "httpx2", "requests") for c in type(error).__mro__)


def _status(error: HfHubHTTPError) -> str:
    return str(getattr(getattr(error, "response", None), "status_code", "with an error"))

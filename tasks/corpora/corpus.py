"""An imported corpus as training reads it: batches from the folder's arrays, which stay on disk."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.chunks import Ids, cut_into_chunks
from groundbench.tasks.corpora.importing.writer import HELDOUT, offsets
from groundbench.tasks.corpora.manifest import PAD, PAD_ID, UNK, UNK_ID, Manifest, load_manifest
from groundbench.tasks.corpora.shuffle import can_be_shuffled, gather, shuffle

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Tokens = npt.NDArray[np.unsignedinteger]
HELDOUT_SEED = 7


class ImportedCorpus:
    """A `groundbench.training.corpus.Corpus` over a folder made by `groundbench tasks import` (protocol §2.1, §2.2).

    A row is one chunk of one transcript. An epoch is every chunk once, in an order that the seed decides.

    Args:
        folder: the corpus folder.
        vocabulary: keep the special tokens, speaker tags, the inventory's nouns and the most frequent other words,
            this many in all; the rest is `<unk>`. None keeps every word.
        shuffle_env: shuffle ENV tiers between transcripts, within what is trained on and within what is held out: the
            null corpus of protocol §14 B. Done in memory.
        digest: what the manifest's digest must be.

    Raises:
        BadInputError: no corpus, another one than `digest` says, or a vocabulary too small for what it must keep.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        vocabulary: int | None = None,
        shuffle_env: bool = False,
        digest: str | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.manifest: Manifest = load_manifest(self.folder)
        self.vocabulary, self.shuffle_env = vocabulary, shuffle_env
        if digest is not None and digest != self.manifest.digest:
            raise BadInputError(f"{self.folder}: its digest is {self.manifest.digest[:16]}…, expected {digest[:16]}…")
        if vocabulary is not None and vocabulary < self.manifest.protected:
            raise BadInputError(
                f"{self.folder}: a vocabulary of {vocabulary} cannot hold the {self.manifest.protected} special tokens,"
                " speaker tags and nouns that it keeps"
            )

    @property
    def name(self) -> str:
        """The source and its tier set, e.g. `childes-core`."""
        tiers = self.manifest.tiers
        return self.manifest.source + (f"-{tiers}" if tiers else "")

    def identity(self) -> dict[str, object]:
        """Return the options that decide its bytes, and where it lay."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "digest": self.manifest.digest,
            "tiers": self.manifest.tiers,
            "min_env_share": self.manifest.min_env_share,
            "vocabulary": self.vocabulary,
            "shuffle_env": self.shuffle_env,
        }

    def words(self) -> list[str]:
        """Return the tokens by id."""
        found = (self.folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
        return found[: self.vocabulary]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Word level, whitespace split, `<pad>` = 0, `<unk>` = 1, no BOS; one object shared by all calls."""
        return _tokenizer(tuple(self.words()))

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Ids:
        """Return token ids [batch_size, length]: the chunks `step * batch_size` and following of the seed's epochs."""
        chunks = self._chunks(length, heldout=False)
        epoch, place = np.divmod(step * batch_size + np.arange(batch_size), len(chunks))
        which = [_order(seed, int(e), len(chunks))[p] for e, p in zip(epoch, place, strict=True)]
        return self._rows(chunks[which], length)

    def heldout(self, *, rows: int, length: int) -> Ids:
        """Return token ids [rows, length] of held-out transcripts, repeated where they have fewer chunks."""
        chunks = self._chunks(length, heldout=True)
        order = _order(HELDOUT_SEED, 0, len(chunks))
        return self._rows(chunks[np.resize(order, rows)], length)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the data read from the folder, so that the corpus can be sent to other processes."""
        kept = ("folder", "manifest", "vocabulary", "shuffle_env")
        return {k: v for k, v in self.__dict__.items() if k in kept}

    def _rows(self, chunks: Ids, length: int) -> Ids:
        rows = np.full((len(chunks), length), PAD_ID, dtype=np.int64)
        tokens = self._text[0]
        for row, (start, end) in zip(rows, chunks.tolist(), strict=True):
            row[: end - start] = tokens[start:end]
        if self.vocabulary is not None:
            rows[rows >= self.vocabulary] = UNK_ID
        return rows

    def _chunks(self, length: int, *, heldout: bool) -> Ids:
        """Return [C, 2] first token and end of each chunk of the split."""
        if (length, heldout) not in self._cut:
            start, end, owner = cut_into_chunks(self._text[1], self._array("transcripts"), length)
            out, chunks = self._split[owner], np.stack([start, end], axis=1)
            self._cut[length, True], self._cut[length, False] = chunks[out], chunks[~out]
        found = self._cut[length, heldout]
        if not len(found):
            which = "held-out" if heldout else "training"
            raise BadInputError(f"{self.folder}: its {which} transcripts hold no text")
        return found

    @cached_property
    def _cut(self) -> dict[tuple[int, bool], Ids]:
        """Chunks by length and split."""
        return {}

    @cached_property
    def _split(self) -> npt.NDArray[np.bool_]:
        rows = (self.folder / "transcripts.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
        return np.array([row.endswith("\t" + HELDOUT) for row in rows])

    @cached_property
    def _text(self) -> tuple[Tokens, Ids]:
        """The tokens, and where each utterance begins in them."""
        tokens: Tokens = self._array("tokens", in_memory=False)
        segments, utterances = self._array("segments"), self._array("utterances")
        if not self.shuffle_env:
            return tokens, segments[utterances]
        source = self._shuffle_env(np.diff(utterances))
        lengths = np.diff(segments)[source]
        return gather(np.asarray(tokens), segments[:-1][source], lengths), offsets([lengths])[utterances]

    def _shuffle_env(self, segments: Ids) -> Ids:
        """Return [S] the segment for each place: ENV from another transcript of the same split, LAN its own.

        In a held-out split of which one transcript has more than half, ENV comes from another place of the split.
        """
        transcripts = np.diff(self._array("transcripts"))
        owner = np.repeat(np.repeat(np.arange(len(transcripts)), transcripts), segments)
        source = np.arange(len(owner))
        is_env = self._array("kinds") == 1
        for out in (False, True):
            places = np.flatnonzero(is_env & (self._split[owner] == out))
            from_whom = owner[places]
            if out and not can_be_shuffled(from_whom):
                from_whom = np.arange(len(places))
            if len(places) > 1 or not out:
                source[places] = places[shuffle(from_whom, str(self.folder))]
        return source

    def _array(self, name: str, *, in_memory: bool = True) -> Any:
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, mmap_mode=None if in_memory else "r")
        except (OSError, ValueError, EOFError) as error:
            raise BadInputError(f"{path}: cannot be read: {error}; import the corpus again") from None


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> Ids:
    return np.random.default_rng([seed, epoch]).permutation(n)


@lru_cache(maxsize=2)
def _tokenizer(words: tuple[str, ...]) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    model = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNK))
    model.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token=PAD, unk_token=UNK, clean_up_tokenization_spaces=False
    )

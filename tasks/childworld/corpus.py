"""The training corpus of childworld: an endless stream of transcripts, each batch a pure function of its arguments."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from groundbench.api.errors import BadInputError
from groundbench.tasks.childworld.counter_rng import key_of
from groundbench.tasks.childworld.generator import Generator
from groundbench.tasks.childworld.grammar import grammar
from groundbench.tasks.childworld.token_tables import PAD, UNK, Ids, compiled_grammar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class ChildworldCorpus:
    """A `groundbench.training.corpus.Corpus`.

    With `shuffle_env`, the ENV tiers of transcripts 2i and 2i + 1 change places scene by scene: the same nouns are
    shown equally often, but what is shown says nothing of what is said (the null corpus of protocol §14 B).
    """

    name = "childworld"

    def __init__(self, density: str = "dense", shuffle_env: bool = False) -> None:
        densities = grammar().densities
        if density not in densities:
            raise BadInputError(f"childworld: unknown density {density!r}, expected one of {', '.join(densities)}")
        self.density, self.shuffle_env = density, shuffle_env
        self._generator = Generator(grammar(), compiled_grammar(), grammar().chance_described(density))

    def identity(self) -> dict[str, object]:
        """Return the options that decide its bytes."""
        return {
            "name": self.name,
            "version": grammar().version,
            "grammar": grammar().digest,
            "density": self.density,
            "shuffle_env": self.shuffle_env,
        }

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Word level, whitespace split, `<pad>` = 0, `<unk>` = 1, no BOS; one object shared by all calls."""
        return _tokenizer()

    def batch(self, step: int, *, seed: int, batch_size: int, length: int) -> Ids:
        """Return token ids [batch_size, length]; row r is transcript `step * batch_size + r` of the seed's stream."""
        transcripts = step * batch_size + np.arange(batch_size, dtype=np.int64)
        return self._rows(key_of("childworld", "train", seed), transcripts, length)

    def heldout(self, *, rows: int, length: int) -> Ids:
        """Return token ids [rows, length] from a stream that is no seed's."""
        return self._rows(key_of("childworld", "heldout"), np.arange(rows, dtype=np.int64), length)

    def _rows(self, key: np.uint64, transcripts: Ids, length: int) -> Ids:
        n_scenes = 4 + length // 8
        while True:
            scenes = self._generator.scenes(key, transcripts, n_scenes)
            if int(self._generator.tokens(scenes).min()) > length:
                break
            n_scenes *= 2
        shown = self._generator.scenes(key, transcripts ^ 1, n_scenes) if self.shuffle_env else scenes
        return self._generator.write(scenes, shown, length)


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    model = Tokenizer(WordLevel({w: i for i, w in enumerate(compiled_grammar().vocabulary)}, unk_token=UNK))
    model.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token=PAD, unk_token=UNK, clean_up_tokenization_spaces=False
    )

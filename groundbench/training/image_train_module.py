"""Learning from images: a LLaVA-architecture model on dialogues, each after its image's patches (protocol §2.3)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from groundbench.adapters.architectures.llava import UNK, build_llava, source_fingerprint
from groundbench.api.errors import BadInputError
from groundbench.training.feature_cache import ImageFeatureCache, default_cache
from groundbench.training.objective import Batch, NextTokenLoss, n_targets, to_batch
from groundbench.training.partial_checkpoints import save_in_two
from groundbench.training.whitening import whitening

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

    from groundbench.training.corpus import ImageCorpus, Tokens
    from groundbench.training.presets import Preset

HELDOUT = 7
"""Seed of which turns of the held-out dialogues are read."""
N_STANDARD = 256
"""ImageInput over which the patches' mean and covariance are taken."""


class ImageLoss(NextTokenLoss):
    """Mean surprisal of a dialogue's tokens after its image's patches; the patches themselves are not predicted.

    Patches of a frozen encoder come from the cache and are whitened: what tells things apart is a small part of their
    variance, most of which is place and background, and gradients would follow that first. `folded` moves this affine
    map into the projection, so that a checkpoint is an ordinary LLaVA model.
    """

    mean: Tensor
    whiten: Tensor

    def __init__(self, model: LlavaForConditionalGeneration, mean: Tensor, whiten: Tensor, frozen: bool) -> None:
        super().__init__(model)
        self.register_buffer("mean", mean)
        self.register_buffer("whiten", whiten)
        self._is_frozen = frozen

    def hidden_states(self, batch: Batch) -> Tensor:
        """Return [B, T, d] at the dialogue's positions."""
        llava: Any = self.model.model
        if batch.seen is None:
            raise ValueError("a batch without images")
        patches = batch.seen if self._is_frozen else patches_of(self.model, batch.seen)
        shown = llava.multi_modal_projector((patches - self.mean) @ self.whiten)
        both = torch.cat([shown, llava.get_input_embeddings()(batch.inputs)], dim=1)
        hidden: Tensor = llava.language_model(inputs_embeds=both, use_cache=False).last_hidden_state
        return hidden[:, shown.shape[1] :]

    @contextmanager
    def fold_whitening(self) -> Iterator[None]:
        """Let the model read patches as its encoder gives them, for the time of a block."""
        linear = self.model.model.multi_modal_projector.linear_1
        before = {k: v.clone() for k, v in linear.state_dict().items()}
        with torch.no_grad():
            linear.weight.copy_(linear.weight @ self.whiten.T)
            if linear.bias is not None:
                linear.bias.sub_(linear.weight @ self.mean)
        try:
            yield
        finally:
            linear.load_state_dict(before)


def patches_of(model: Any, pixels: Tensor) -> Tensor:
    """Return [B, P, D], the projection's input for pixels [B, 3, H, W], as LlavaModel.get_image_features selects it."""
    states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    layers = model.config.vision_feature_layer
    first = 1 if model.config.vision_feature_select_strategy == "default" else 0
    chosen = [layers] if isinstance(layers, int) else layers
    return torch.cat([states[layer][:, first:] for layer in chosen], dim=-1)


class Said(NamedTuple):
    """Token ids of what is said of one image: its caption, and each turn as it is alone and after another turn."""

    caption: list[int]
    first: list[list[int]]
    later: list[list[int]]


class ImageTrainModule:
    """Dialogues after images. A row is the number of an image, then its dialogue's token ids [1 + length].

    Args:
        device: where a frozen encoder reads images that are not in the cache yet.

    Raises:
        BadInputError: the preset cannot be built, or a dialogue has words that the tokenizer does not know.
    """

    def __init__(self, preset: Preset, corpus: ImageCorpus, seed: int, device: torch.device) -> None:
        if preset.pictures is None:
            raise BadInputError(f"preset {preset.name}: it has no images")
        self._preset, self._corpus, self._seed = preset, corpus, seed
        self._options = preset.pictures
        torch.manual_seed(seed)
        self.model, self._processor = build_llava(
            preset.config,
            pixels=self._options.pixels,
            vision=self._options.vision,
            language=self._options.language,
            words=corpus.words(),
        )
        self._pad = int(self._processor.tokenizer.pad_token_id)
        heldout = [int(i) for i in corpus.heldout(preset.heldout_rows)]
        self._texts = self._tokenize_texts([*range(len(corpus)), *heldout])
        self.heldout = self._rows_of(heldout, np.random.default_rng(HELDOUT))
        self._cache, self._place = self._features(sorted(self._texts), device)
        self.objective = ImageLoss(self.model, *self._whitening(), self._options.vision is not None)

    def rows(self, step: int) -> Tokens:
        """Return [batch_size, 1 + length]: each epoch shows every image once, in an order of its own."""
        size, n = self._preset.batch_size, len(self._corpus)
        epoch, place = np.divmod(step * size + np.arange(size), n)
        orders = {int(e): np.random.default_rng([self._seed, int(e)]).permutation(n) for e in np.unique(epoch)}
        numbers = [int(orders[int(e)][p]) for e, p in zip(epoch, place, strict=True)]
        return self._rows_of(numbers, np.random.default_rng([self._seed, step, size]))

    def n_targets(self, rows: Tokens) -> int:
        """Return every token of the dialogues but the first."""
        return n_targets(rows[:, 1:], self._pad)

    def batch(self, rows: Tokens, device: torch.device) -> Batch:
        """Return the dialogues, with the cached patches (of a frozen encoder) or pixels (of one that is trained)."""
        seen = self._cache.read(np.array([self._place[int(i)] for i in rows[:, 0]]))
        return to_batch(rows[:, 1:], self._pad, device)._replace(seen=torch.from_numpy(seen).to(device))

    def save(self, folder: Path) -> None:
        """Save weights and processor. Frozen weights are one file, hard-linked by the checkpoints of a seed."""
        with self.objective.fold_whitening():
            state = self.model.state_dict(keep_vars=True)
            if self.model.config.tie_word_embeddings:
                state.pop("lm_head.weight")
            frozen = {k: v.detach() for k, v in state.items() if not v.requires_grad}
            if not frozen:
                self.model.save_pretrained(folder)
            else:
                trained = {k: v.detach() for k, v in state.items() if v.requires_grad}
                save_in_two(folder, *(revert_weight_conversion(self.model, part) for part in (trained, frozen)))
                self.model.config.architectures = [type(self.model).__name__]
                self.model.config.save_pretrained(folder)
        self._processor.save_pretrained(folder)

    def _tokenize_texts(self, numbers: Sequence[int]) -> dict[int, Said]:
        """Tokenize the text of each image in one go."""
        corpus, tokenizer = self._corpus, self._processor.tokenizer
        turns = {i: corpus.turns(i) for i in numbers}
        texts = {i: [corpus.caption(i), *turns[i], *(" " + turn for turn in turns[i])] for i in numbers}
        every = list(itertools.chain(*texts.values()))
        ids = tokenizer(every, add_special_tokens=False)["input_ids"]
        unknown = tokenizer.convert_tokens_to_ids(UNK) if self._options.language is None else None
        for text, found in zip(every, ids, strict=True):
            if unknown in found:
                raise BadInputError(f"corpus {corpus.name}: words() lacks a word of {text!r}")
        rest = iter(ids)
        return {i: Said(next(rest), *(list(itertools.islice(rest, len(turns[i]))) for _ in "12")) for i in numbers}

    def _rows_of(self, numbers: Sequence[int], rng: np.random.Generator) -> Tokens:
        """Return the rows of these images; where a row does not hold all turns, they begin at one drawn."""
        rows = np.full((len(numbers), 1 + self._preset.length), self._pad, dtype=np.int64)
        for row, number in zip(rows, numbers, strict=True):
            said = self._texts[number]
            is_caption = rng.random() < self._options.captions
            kept = min(self._options.turns or len(said.first), len(said.first))
            start = int(rng.integers(len(said.first) - kept + 1))
            turns = [*said.first[start], *itertools.chain(*said.later[start + 1 : start + kept])]
            ids = (said.caption if is_caption else turns)[: self._preset.length]
            row[0], row[1 : 1 + len(ids)] = number, ids
        return rows

    def _features(self, numbers: Sequence[int], device: torch.device) -> tuple[ImageFeatureCache, dict[int, int]]:
        """Return the filled cache, and the row of each image in it."""
        processor = self._processor.image_processor
        about: dict[str, object] = {"preprocessing": processor.to_dict()}
        encode, side = self._pixels, self._options.pixels
        shape: tuple[int, ...] = (3, side, side)
        tower: nn.Module = self.model.model.vision_tower
        if self._options.vision is not None:
            layers = self.model.config.vision_feature_layer
            about |= {"encoder": source_fingerprint(self._options.vision), "layer": layers}
            width = self.model.config.vision_config.hidden_size * (1 if isinstance(layers, int) else len(layers))
            shape = ((side // self._processor.patch_size) ** 2, width)
            encode = self._patches
        cache = ImageFeatureCache(Path(self._options.cache or default_cache()), shape, about)
        sources = [self._corpus.image(i) for i in numbers]
        tower.to(device)
        cache.fill(sources, encode)
        tower.to("cpu")
        return cache, dict(zip(numbers, cache.rows(sources).tolist(), strict=True))

    def _pixels(self, images: list[Any]) -> Any:
        return self._processor.image_processor(images, return_tensors="np")["pixel_values"]

    @torch.no_grad()
    def _patches(self, images: list[Any]) -> Any:
        tower = self.model.model.vision_tower.eval()
        pixels = torch.from_numpy(np.asarray(self._pixels(images), dtype=np.float32)).to(tower.device)
        return patches_of(self.model, pixels).cpu().numpy()

    def _whitening(self) -> tuple[Tensor, Tensor]:
        """Return [D] mean and [D, D] whitening of a frozen encoder's patches; identity for a trained one."""
        width = self.model.model.multi_modal_projector.linear_1.in_features
        if self._options.vision is None:
            return torch.zeros(width), torch.eye(width)
        places = np.array([self._place[i] for i in range(min(N_STANDARD, len(self._corpus)))])
        return whitening(torch.from_numpy(self._cache.read(places)).reshape(-1, width))

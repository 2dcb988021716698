"""Prompts with images as token ids: the processor's own expansion of each image, and the places of its patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from groundbench.adapters.chat_template import chat_opening, date_in_template
from groundbench.adapters.tokenization import BosPolicy, NotApartError, Offsets, PromptEncoder, Rendered, join_parts
from groundbench.adapters.vlm.families import Family
from groundbench.adapters.vlm.image_features import ImageInputs, Layout
from groundbench.api.adapter import Encoded, ImageGrid
from groundbench.api.errors import BadInputError, UnsupportedModelError
from groundbench.api.testbed import ImageSegment, Prompt


class ImagePromptEncoder(PromptEncoder):
    """Tokenizes prompts with images, and those without, for one vision-language model.

    An image stands where its segment does. In a chat template it stands in the user's turn, where the template puts
    it; where a family reads images before any text (PaliGemma), they lead, and the text is what the model continues.

    Attributes:
        fault: why the model's images cannot be read; prompts with images are then refused.
    """

    def __init__(
        self,
        processor: Any,
        image_inputs: ImageInputs,
        family: Family,
        max_length: int,
        name: str,
        bos: BosPolicy,
        chat: bool,
        embeddings: int | None = None,
    ) -> None:
        self.processor, self.image_inputs, self.family = processor, image_inputs, family
        self.fault: str | None = None
        self._openings: dict[int, str] = {}
        super().__init__(processor.tokenizer, max_length, name, bos, chat, embeddings)
        if family.bidirectional == "prefix" and not chat:
            self.opening = self._leading_bos

    @property
    def _leading_bos(self) -> str:
        """BOS as text, for families whose processor puts it after the images."""
        return "" if self.bos == "no" else str(self.tokenizer.bos_token)

    def _require_known(self, ids: Sequence[int], where: str) -> None:
        """Check tokens' embeddings but for an image's placeholders, which features replace."""
        super()._require_known([i for i in ids if i != self.image_inputs.config.image_token_id], where)

    def _chat_date(self) -> str | None:
        return date_in_template(self.processor, self.name, 0)

    def _chat_opening(self, images: int = 0) -> str:
        opening = chat_opening(self.processor, self.name, images)
        found = opening.count(self.processor.image_token)
        if found != images:
            raise BadInputError(
                f"{self.name}: its chat template puts {found} image(s) into a turn that holds {images}; "
                "it cannot be used for prompts with images"
            )
        return opening

    def render(self, prompt: Prompt) -> Rendered:
        """Return the text of a prompt with every image expanded as the processor does it.

        Raises:
            BadInputError: an image cannot be read, or text that stands for an image is part of the prompt's text.
            UnsupportedModelError: the model's images cannot be read, or not several, or not after text.
        """
        self._require_plain(prompt)
        images = [s for s in prompt.segments if isinstance(s, ImageSegment)]
        if not images:
            return super().render(prompt)
        if self.fault is not None:
            raise UnsupportedModelError(self.fault)
        if len(images) > 1 and not self.family.several:
            raise UnsupportedModelError(
                f"{prompt.where}: it holds {len(images)} images, and {self.name} is of a family "
                f"({self.image_inputs.config.model_type}) of which one image a prompt can be read"
            )
        texts = [self.image_inputs.layout(s.image, prompt.where).text for s in images]
        if self.chat:
            return self._render_after(self._turn(texts), prompt)
        if self.family.bidirectional == "prefix":
            return self._render_images_first(texts, prompt)
        before, after = self.family.around
        expanded = iter(texts)
        parts = [f"{before}{next(expanded)}{after}" if isinstance(s, ImageSegment) else s.text for s in prompt.segments]
        return join_parts(self.opening, parts)

    def image_text(self) -> str:
        """Return one image alone as the processor is given it, before it expands it."""
        token = str(self.processor.image_token)
        if self.chat:
            return self._with_bos_as_asked(self._chat_opening(1))
        return token if self.family.bidirectional == "prefix" else token.join(self.family.around)

    def _require_plain(self, prompt: Prompt) -> None:
        for token in (self.processor.image_token, self.image_inputs.placeholder):
            if token in prompt.text:
                n = sum(isinstance(s, ImageSegment) for s in prompt.segments)
                raise BadInputError(
                    f"{prompt.where}: its text holds {token!r}, which stands for an image, besides its {n} image(s)"
                )

    def _turn(self, texts: list[str]) -> str:
        """Return the opening of a chat with these images expanded in it."""
        n = len(texts)
        if n not in self._openings:
            self._openings[n] = self._with_bos_as_asked(self._chat_opening(n))
        first, *rest = self._openings[n].split(self.processor.image_token)
        return first + "".join(text + part for text, part in zip(texts, rest, strict=True))

    def _render_images_first(self, texts: list[str], prompt: Prompt) -> Rendered:
        """Images, BOS and the line's end that PaliGemma's processor puts after its (here empty) task; then the text."""
        lead = next((i for i, s in enumerate(prompt.segments) if not isinstance(s, ImageSegment)), len(prompt.segments))
        if any(isinstance(s, ImageSegment) for s in prompt.segments[lead:]):
            raise UnsupportedModelError(
                f"{prompt.where}: {self.name} is of a family ({self.image_inputs.config.model_type}) that reads images "
                "before any text, but an image stands after text"
            )
        return self._render_after("".join(texts) + self._leading_bos + "\n", prompt)

    def _render_after(self, opening: str, prompt: Prompt) -> Rendered:
        return join_parts(opening, ["" if isinstance(s, ImageSegment) else s.text for s in prompt.segments])

    def _encode_prompt(self, prompt: Prompt, shown: Rendered, ids: list[int], offsets: Offsets) -> Encoded:
        row = super()._encode_prompt(prompt, shown, ids, offsets)
        images = [s for s in prompt.segments if isinstance(s, ImageSegment)]
        if not images:
            return row
        layouts = [self.image_inputs.layout(s.image, prompt.where) for s in images]
        placed = self._placeholder_positions(prompt, row, layouts)
        found = [_grid(grid, at, k) for k, at in enumerate(placed) for grid in layouts[k].grids or ()]
        grids = tuple(g for g in found if g is not None)
        shown_at = [self._env(prompt, s, at, grids, k) for k, (s, at) in enumerate(zip(images, placed, strict=True))]
        return replace(
            row,
            env=row.env + tuple(chain.from_iterable(shown_at)),
            images=tuple(s.image.key for s in images),
            boxes=tuple(s.box for s in images),
            image_spans=self._whole_spans(prompt, shown, offsets, placed),
            grids=grids,
        )

    def _placeholder_positions(self, prompt: Prompt, row: Encoded, layouts: list[Layout]) -> list[list[int]]:
        """For each image the positions of its placeholder tokens."""
        every = [i for i, t in enumerate(row.ids) if t == self.image_inputs.config.image_token_id]
        wanted = sum(layout.tokens for layout in layouts)
        if len(every) != wanted:
            raise BadInputError(
                f"{prompt.where}: {self.name}'s tokenizer gives its {len(layouts)} image(s) {len(every)} image tokens, "
                f"expected {wanted}; tokenizer and processor do not fit"
            )
        placed, start = [], 0
        for layout in layouts:
            placed.append(every[start : start + layout.tokens])
            start += layout.tokens
        return placed

    def _whole_spans(
        self, prompt: Prompt, shown: Rendered, offsets: Offsets, placed: list[list[int]]
    ) -> tuple[tuple[int, int], ...]:
        """Return the token span of each image with what the family puts around it; never less than its placeholders."""
        shift = len(self.prefix)
        in_place = [c for c, s in zip(shown.spans, prompt.segments, strict=True) if isinstance(s, ImageSegment)]
        spans = []
        for (start, end), at in zip(in_place, placed, strict=True):
            if start < end:
                inside = [i + shift for i, (a, b) in enumerate(offsets) if a < end and b > start]
                spans.append((inside[0], inside[-1] + 1))
            elif self.family.bidirectional == "prefix":  # its tokens see all that stands before the text
                first = next((i for i, (_, b) in enumerate(offsets) if b > start), len(offsets))
                spans.append((at[0], max(at[-1] + 1, first + shift)))
            else:
                spans.append((at[0], at[-1] + 1))
        return tuple(spans)

    def _env(
        self, prompt: Prompt, segment: ImageSegment, placed: list[int], grids: tuple[ImageGrid, ...], image: int
    ) -> tuple[tuple[int, int], ...]:
        """Return the ENV form of an image: the patches that its box touches, or all."""
        if segment.box is None:
            return runs(placed)
        own = [g for g in grids if g.image == image]
        if not own:
            raise UnsupportedModelError(
                f"{prompt.where}: where the patches of a {self.image_inputs.config.model_type} image stand among its "
                "tokens is not known, so a box in it cannot be found; use a form without boxes"
            )
        found = tuple(span for g in own for span in g.spans(*g.patches_touching(segment.box)))
        if not found:
            raise NotApartError(
                f"{prompt.where}: the object's box {tuple(round(x, 3) for x in segment.box)} lies outside of what "
                f"{self.name}'s processor keeps of the image"
            )
        return found


def runs(positions: list[int]) -> tuple[tuple[int, int], ...]:
    """Half-open spans of consecutive positions."""
    spans: list[tuple[int, int]] = []
    for p in positions:
        if spans and spans[-1][1] == p:
            spans[-1] = (spans[-1][0], p + 1)
        else:
            spans.append((p, p + 1))
    return tuple(spans)


def _grid(grid: ImageGrid, placed: Sequence[int], image: int) -> ImageGrid | None:
    """Return an image's grid among a row's tokens; None where its patches are not in a grid's order.

    Other tokens may end each of its rows. `placed`: the positions of the image's own tokens in the row.
    """
    firsts = [grid.start + row * grid.pitch for row in range(grid.rows)]
    begins = [placed[first] for first in firsts]
    pitch = begins[1] - begins[0] if grid.rows > 1 else grid.columns
    unbroken = all(placed[f + grid.columns - 1] == placed[f] + grid.columns - 1 for f in firsts)
    even = all(b == begins[0] + row * pitch for row, b in enumerate(begins))
    return replace(grid, start=begins[0], pitch=pitch, image=image) if unbroken and even else None

"""The options of the measure `image`."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.api.errors import BadInputError


@dataclass(frozen=True)
class ImageOptions:
    """The options of the measure `image` (protocol §10, §14 B); None is resolved by the model's size.

    Attributes:
        swap_rings: also swap the object's box with so many rings of patches around it, for each of these numbers,
            and the whole image; none by default: the box alone.
        items: items of the swap test.
    """

    swap_rings: tuple[int, ...] = ()
    items: int | None = None

    def __post_init__(self) -> None:
        if any(rings < 1 for rings in self.swap_rings) or len(set(self.swap_rings)) < len(self.swap_rings):
            raise BadInputError(
                f"swap_rings is {', '.join(map(str, self.swap_rings))}; expected different whole numbers from 1 on "
                "(the box alone is always swapped)"
            )
        if self.items is not None and self.items < 1:
            raise BadInputError(f"image option items is {self.items}; expected at least 1")

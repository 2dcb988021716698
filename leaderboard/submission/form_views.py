"""The ENV forms of a result, headline first."""

from __future__ import annotations

from dataclasses import dataclass

from groundbench.results.image import ImageRecord
from groundbench.results.run import AblationRecord, Excluded, GainRecord, HeadsRecord, LensRecord, Result


@dataclass(frozen=True)
class FormView:
    """One form's measurements; `n_items` None where the result does not say."""

    env_form: str
    n_nouns: int
    n_items: int | None
    excluded: tuple[Excluded, ...]
    gain: GainRecord | None
    heads: tuple[HeadsRecord, ...]
    ablations: tuple[AblationRecord, ...]
    lens: tuple[LensRecord, ...]
    image: ImageRecord | None

    @property
    def nouns(self) -> tuple[str, ...]:
        """The nouns that were measured."""
        return () if self.gain is None else tuple(n.noun for n in self.gain.by_noun)


def form_views(result: Result) -> tuple[FormView, ...]:
    """Return every form of a result once, the headline form first."""
    return tuple(
        FormView(f.env_form, f.n_nouns, f.n_items, f.excluded, f.gain, f.heads, f.ablations, f.lens, f.image)
        for f in result.forms
    )

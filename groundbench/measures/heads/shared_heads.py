"""Heads that serve several ENV forms (protocol §13)."""

from __future__ import annotations

from collections.abc import Sequence

from groundbench.measures.heads.heads import MIN_RATE
from groundbench.results.run import FormRecord, HeadForms


def head_forms(forms: Sequence[FormRecord]) -> tuple[HeadForms, ...]:
    """Return the heads of every form's headline list with the forms that list them; heads of most forms come first.

    A head stands in the list if it is detected in at least half of the form's items (of the first record).
    """
    found: dict[tuple[int, int], list[str]] = {}
    for form in forms:
        for head in form.heads[0].by_head if form.heads else ():
            if head.rate >= MIN_RATE:
                found.setdefault((head.layer, head.head), []).append(form.env_form)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(HeadForms(layer=layer, head=head, forms=tuple(names)) for (layer, head), names in ordered)

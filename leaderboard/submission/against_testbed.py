"""Is a result of the testbed that it names? Its forms, nouns, categories and items are the installed testbed's."""

from __future__ import annotations

from collections.abc import Iterator

from groundbench.leaderboard.submission.form_views import FormView, form_views
from groundbench.leaderboard.submission.reference import FormReference, TestbedReference
from groundbench.leaderboard.submission.strict_json_yaml import shorten
from groundbench.results.run import Result


def testbed_faults(result: Result, bed: TestbedReference) -> Iterator[str]:
    """Yield contradictions of the testbed, as clauses."""
    if result.testbed.frames != bed.frames:
        yield f"testbed.frames is {result.testbed.frames!r}; {bed.name} has {bed.frames!r} frames"
    for view in form_views(result):
        about = bed.forms.get(view.env_form)
        if about is None:
            yield f"the form {shorten(view.env_form)} is none of {bed.name}, which has {', '.join(sorted(bed.forms))}"
        else:
            stray = next((e.noun for e in view.excluded if e.noun not in bed.names), None)
            if stray is not None:
                yield f"excluded names {shorten(stray)}, no noun of {bed.name} (form {view.env_form})"
            yield from (f"{f} (form {view.env_form})" for f in _form_faults(view, about))


def _form_faults(view: FormView, about: FormReference) -> Iterator[str]:
    category = dict(zip(about.nouns, about.categories, strict=True))
    for i, n in enumerate(view.gain.by_noun if view.gain else ()):
        if n.noun not in category:
            yield f"gain.by_noun[{i}] is of {shorten(n.noun)}, no noun of this testbed and form"
            return
        if n.category != category[n.noun]:
            yield f"gain.by_noun[{i}].category is {shorten(n.category)}; {n.noun} is one of {category[n.noun]}"
    measured, left_out = set(view.nouns), {e.noun for e in view.excluded}
    if measured:
        both = sorted(measured & left_out)
        if both:
            yield f"excluded names {shorten(both[0])}, which was measured"
        missing = [n for n in about.nouns if n not in measured and n not in left_out]
        if missing:
            yield (
                f"{len(missing)} of {len(about.nouns)} nouns are missing without a reason, e.g. {missing[0]!r}; the "
                "board takes whole testbeds only"
            )
        owners = [o for o in about.owners if o is None or o in measured]
        expected = len(owners) * len(measured) if None in owners else len(owners)
        if view.n_items is not None and view.n_items != expected:
            yield f"n_items is {view.n_items}; {len(measured)} nouns in these frames make {expected}"
    if view.image is not None and about.digest is not None and view.image.hash != about.digest:
        yield f"image.hash is {shorten(view.image.hash)}; the installed images have {about.digest}"


def is_whole(view: FormView, about: FormReference) -> bool:
    """Return True if every noun of the testbed's form was measured: only such results are ranked together."""
    return set(view.nouns) >= set(about.nouns)

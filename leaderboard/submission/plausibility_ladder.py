"""Can this ladder score have been measured? It follows from its forms; with the items at hand it is computed again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.leaderboard.submission.bounds import interval_faults, is_near
from groundbench.leaderboard.submission.form_views import form_views
from groundbench.leaderboard.submission.strict_json_yaml import shorten
from groundbench.measures.gain.ladder_score import WORD, ladder_score
from groundbench.results.ladder_score import LadderScore
from groundbench.results.run import Result

RESAMPLES = 2_000
SPREAD = 0.25
"""The share of its width by which an interval from other draws may differ."""


def ladder_faults(result: Result) -> Iterator[str]:
    """Yield what of the ladder score cannot be so, as clauses."""
    s = result.ladder_score
    if s is None:
        return
    views = {v.env_form: v for v in form_views(result)}
    names = [f.env_form for f in s.forms]
    if len(set(names)) != len(names) or WORD in names:
        yield "ladder_score.forms names a form twice, or 'word' itself"
    for f in s.forms:
        view = views.get(f.env_form)
        if view is None or view.gain is None:
            yield f"ladder_score names the form {shorten(f.env_form)}, which was not measured"
            return
        if f.n_nouns > view.n_nouns:
            yield f"ladder_score.{f.env_form} counts {f.n_nouns} nouns, the form has {view.n_nouns}"
        if f.gain_word <= 0 or not is_near(f.ratio, f.gain / f.gain_word):
            again = f.gain / (f.gain_word or math.inf)
            yield f"ladder_score.{f.env_form}.ratio is {f.ratio:g}, but gain / gain_word is {again:g}"
        yield from interval_faults(f"ladder_score.{f.env_form}.ratio", f.ratio, f.ci_low, f.ci_high)
    mean = math.fsum(f.ratio for f in s.forms) / len(s.forms) if s.forms else None
    if (s.score is None) != (mean is None) or (s.score is not None and mean is not None and not is_near(s.score, mean)):
        yield f"ladder_score.score is {s.score}, but its forms' mean is {mean}"
    yield from interval_faults("ladder_score.score", s.score, s.ci_low, s.ci_high)


def ladder_item_faults(stated: LadderScore | None, tables: Mapping[str, SurprisalTable], seed: int) -> Iterator[str]:
    """Yield what of the ladder score its items contradict; nothing where a form came without items."""
    if stated is None or stated.score is None or not {WORD, *(f.env_form for f in stated.forms)} <= set(tables):
        return
    unscored = {u.env_form for u in stated.unscored}
    kept = [t for name, t in tables.items() if name not in unscored]
    again = ladder_score(kept, seed=seed, n_resamples=RESAMPLES)
    if again is None or again.score is None or not is_near(again.score, stated.score):
        found = None if again is None else again.score
        yield f"its items give the ladder score {found}, but {stated.score:.4f} is reported"
        return
    ends = (again.ci_low, again.ci_high, stated.ci_low, stated.ci_high)
    if None not in ends:
        width = (again.ci_high or 0.0) - (again.ci_low or 0.0)
        said = (stated.ci_high or 0.0) - (stated.ci_low or 0.0)
        if not (1 - SPREAD) * width - 1e-6 <= said <= (1 + SPREAD) * width + 1e-6:
            yield f"its items give an interval of the ladder score {width:.4f} wide, but {said:.4f} is reported"

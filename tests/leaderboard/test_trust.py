"""No rank that was not earned: what follows from the nouns and items is computed again, copies push nobody down."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers.fake_results import NOUNS, fake_result, fake_trajectory
from helpers.submissions import board_at, edit, references, write_submission

from groundbench.leaderboard import RefusedError, read_submission
from groundbench.leaderboard.rows import ResultRow, result_rows
from groundbench.leaderboard.site.tabs import tabs_of
from groundbench.leaderboard.submission.strict_json_yaml import RESULT, read_json
from groundbench.leaderboard.submission.strict_types import check_types


def refusal(folder) -> str:
    with pytest.raises(RefusedError) as raised:
        read_submission(folder, references)
    text = str(raised.value)
    assert text.isprintable()
    assert len(text) < 500
    return text


def edited(folder, change) -> None:
    """A submission's result, changed by a function of its document."""
    path = folder / "run" / "result.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def keep_nouns(document: dict[str, Any], n: int) -> None:
    """Only the best nouns of the headline form, consistently: counts, means, categories and interval."""
    g = document["forms"][0]["gain"]
    best = sorted(g["by_noun"], key=lambda x: -x["gain"])[:n]
    g["by_noun"] = best
    for key, name in (("mean", "gain"), ("matched", "matched"), ("mismatched", "mismatched")):
        g[key] = float(np.mean([x[name] for x in best]))
    x = np.array([b["gain"] for b in best])
    half = 1.96 * x.std() / np.sqrt(n)
    g["ci_low"], g["ci_high"] = g["mean"] - half, g["mean"] + half
    g["ci_nouns_low"], g["ci_nouns_high"] = g["ci_low"], g["ci_high"]
    g["by_category"], g["same_category"] = [], None
    g["same_category_ci_low"] = g["same_category_ci_high"] = None
    document["testbed"] |= {"n_nouns": n, "n_items": 10 * n}
    document["copy_corrected"] = None
    document["forms"] = [document["forms"][0] | {"ablations": [], "n_nouns": n, "n_items": 10 * n}]
    document["protocol"].pop("limit", None)


def test_the_best_nouns_alone_are_no_testbed(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=40)
    edited(folder, lambda d: keep_nouns(d, 30))
    assert "10 of 40 nouns are missing without a reason" in refusal(folder)


def test_nouns_left_out_with_a_reason_get_no_rank(tmp_path):
    board = board_at(tmp_path)
    folder = write_submission(board.entries, "mine", 1, n_nouns=40)

    def change(d):
        keep_nouns(d, 30)
        kept = {x["noun"] for x in d["forms"][0]["gain"]["by_noun"]}
        left_out = [{"noun": n, "reason": "long"} for n in NOUNS[:40] if n not in kept]
        d["testbed"]["excluded"] = d["forms"][0]["excluded"] = left_out

    edited(folder, change)
    (tab,) = tabs_of(result_rows(read_submission(folder, references), False))
    place = tab.places["mine~run"]
    assert (place.rank, place.why) == (None, "10 nouns left out")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("gain.by_noun.0.noun", "unicorn", "'unicorn', no noun of this testbed and form"),
        ("gain.by_noun.0.noun", "<b>x</b>", "no noun of this testbed and form"),
        ("gain.by_noun.0.category", "toys", "gain.by_category[0] counts 5 nouns"),
        ("testbed.env_form", "<script>alert(1)</script>", "a form is called"),
        ("testbed.env_form", "poem", "the form 'poem' is none of childworld"),
        ("testbed.frames", "per-noun", "has 'shared' frames"),
        ("testbed.n_items", 5, "5 items for 40 nouns"),
        ("testbed.n_items", 4000, "n_items is 4000"),
        ("testbed.excluded", [{"noun": "airplane", "reason": "x"}], "which was measured"),
        ("gain.mean", True, "expected a number"),
        ("gain.mean", "4.0", "expected a number"),
        ("gain.n_failed", False, "expected a number"),
        ("model.parameters", 2**70, "too large a whole number"),
        ("model.parameters", -1, "greater than or equal to 0"),
        ("model.name", 7, "valid string"),
        ("gain.matched", 1000.0, "no vocabulary gives more than 200"),
        ("gain.ideal", 1e9, "no vocabulary gives more than 200"),
        ("gain.p_cluster", -0.1, "greater than or equal to 0"),
        ("gain.ci_low", None, "one end of its interval is missing"),
        ("gain.matched", None, "are missing beside gain.mean"),
        ("gain.by_noun.3.gain", None, "has no gain, but gain.n_failed is 0"),
        ("gain.by_noun.3.matched", -1.0, "a negative surprisal"),
        ("gain.by_category.0.gain", 0.0, "its nouns' mean is"),
        ("gain.by_category.0.category", "animals2", "counts"),
        ("model.mixers.1.layer", 1, "which the model does not have"),
        ("lens.0.layers.0.gain", 900.0, "no vocabulary gives more than 200"),
        ("ablations.0.control_draws.0", 5000.0, "no vocabulary gives more than 200"),
        ("environment.seconds", "long", "valid number"),
        ("protocol.limit", 0, "was limited to '0' nouns"),
    ],
)
def test_a_result_that_is_not_the_testbeds_is_refused(tmp_path, path, value, message):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=40)
    edit(folder, path, value)
    assert message in refusal(folder)


def test_counts_of_heads_and_shares_of_a_gain_are_no_surprisals():
    heads = {"value": 150.0, "ci_low": 40.0, "ci_high": 260.0}
    for name in ("heads_for_half", "recovered", "lost"):
        check_types({name: heads}, {name: heads}, "x")
    with pytest.raises(RefusedError, match="260 nats"):
        check_types({"gain": heads}, {"gain": heads}, "x")


def test_a_narrowed_interval_is_no_reason_for_a_rank(tmp_path):
    """Without items an interval may be narrower than the nouns give it, but then the nouns' own decides."""

    def apart(seed: int) -> tuple[float, float]:
        gains = [n.gain for n in fake_result(seed, gain=0.0, n_nouns=40).gain.by_noun]
        return abs(np.mean(gains)), 1.96 * np.std(gains) / np.sqrt(len(gains))

    seed = next(s for s in range(100) if 0.6 * apart(s)[1] < apart(s)[0] < 0.95 * apart(s)[1])
    folder = write_submission(tmp_path, "mine", seed, gain=0.0, n_nouns=40)

    def change(d):
        g = d["forms"][0]["gain"]
        for name, sign in (("ci_low", -1), ("ci_high", 1)):
            g[name] = g["mean"] + sign * 0.5 * apart(seed)[1]

    edited(folder, change)
    (tab,) = tabs_of(result_rows(read_submission(folder, references), False))
    assert (tab.places["mine~run"].rank, tab.places["mine~run"].why) == (None, "not told from 0")


@pytest.mark.parametrize("factor", [0.2, 4.0, 20.0])
def test_an_interval_that_the_nouns_do_not_give_is_refused(tmp_path, factor):
    folder = write_submission(tmp_path, "mine", 1, n_nouns=40)

    def change(d):
        g = d["forms"][0]["gain"]
        g["per_frame_sd"] = 0.0
        for end in ("ci_low", "ci_high"):
            g[end] = g["mean"] + factor * (g[end] - g["mean"])

    edited(folder, change)
    assert "but the nouns' gains give an interval of" in refusal(folder)


@pytest.mark.parametrize("name", ["matched", "mismatched", "same_category", "per_frame_sd", "p_cluster", "detectable"])
def test_numbers_that_the_items_contradict_are_refused(tmp_path, name):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=20)
    document = json.loads((folder / "run" / "result.json").read_text())
    edit(folder, f"gain.{name}", document["forms"][0]["gain"][name] * 0.999)
    assert "gain" in refusal(folder)


def test_one_nouns_gain_that_the_items_contradict_is_refused(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=20)

    def change(d):
        a, b = d["forms"][0]["gain"]["by_noun"][:2]
        for x, shift in ((a, 0.01), (b, -0.01)):
            x["gain"] += shift
            x["mismatched"] += shift
        d["forms"][0]["gain"]["by_category"] = []

    edited(folder, change)
    assert "another gain than gain.by_noun reports" in refusal(folder)


def test_a_trajectory_is_one_run(tmp_path):
    folder = write_submission(tmp_path, "mine")
    (folder / "run" / "result.json").unlink()
    curve = fake_trajectory(1)
    path = folder / "run" / "trajectory.json"
    kept = json.loads(curve.model_dump_json())

    def tried(change) -> str:
        document = json.loads(json.dumps(kept))
        change(document["points"])
        path.write_text(json.dumps(document))
        return refusal(folder)

    first = kept["points"][0]["result"]["model"]["fingerprint"]
    assert "unlike the first point's" in tried(lambda p: p[3]["result"]["model"].update(parameters=1))
    assert "unlike the first point's" in tried(lambda p: p[3]["result"]["model"].update(family="gpt2"))
    assert "has the weights of an earlier point" in tried(lambda p: p[3]["result"]["model"].update(fingerprint=first))
    assert "but points[3].step is" in tried(lambda p: p[3]["result"]["model"].update(step=7))
    assert "rising steps" in tried(lambda p: p.reverse())


def test_heads_tables_stay_at_home(tmp_path):
    folder = write_submission(tmp_path, "mine", 1)
    (folder / "run" / "heads.parquet").write_bytes(b"x")
    assert "heads.parquet: is not part of a run" in refusal(folder)


def rows(board, slugs) -> list[ResultRow]:
    return [row for s in slugs for row in result_rows(read_submission(board.entries / s, references), False)]


def ranks(found: list[ResultRow]) -> dict[str, int | None]:
    (tab,) = tabs_of(found)
    return {e.slug: tab.places[e.id].rank and tab.places[e.id].rank.rank for e in tab.rows}


def test_copies_push_nobody_down(tmp_path):
    board = board_at(tmp_path)
    slugs = ["best", *(f"copy{i}" for i in range(6)), "other", "third"]
    for slug in slugs:
        seed, gain = (1, 6.0) if slug in ("best", *slugs[1:7]) else (2, 4.0) if slug == "other" else (3, 2.0)
        folder = write_submission(board.entries, slug, seed, gain=gain, n_nouns=30, items=True)
        if slug in slugs[4:7]:  # the same measurement under the name of other weights
            edit(folder, "model.fingerprint", f"sha256:{slug}")
    found = ranks(rows(board, slugs))
    assert found == {"best": 1, **{f"copy{i}": 1 for i in range(6)}, "other": 2, "third": 3}
    assert ranks(rows(board, ["best", "other", "third"])) == {"best": 1, "other": 2, "third": 3}


def test_copies_enlarge_no_family_of_tests(tmp_path):
    """The ranks of the others are the same with and without copies, however many tests these would make."""
    board = board_at(tmp_path)
    kept = {}
    for i in range(5):
        write_submission(board.entries, f"m{i}", i, gain=3.0 + 0.02 * i, n_nouns=30, items=True)
    kept = ranks(rows(board, [f"m{i}" for i in range(5)]))
    for i in range(12):
        write_submission(board.entries, f"z{i}", 0, gain=3.0, n_nouns=30, items=True)
    again = ranks(rows(board, [*(f"m{i}" for i in range(5)), *(f"z{i}" for i in range(12))]))
    assert {k: v for k, v in again.items() if k in kept} == kept


def test_a_gain_not_told_from_zero_has_no_rank(tmp_path):
    board = board_at(tmp_path)
    write_submission(board.entries, "none", 3, gain=0.0, n_nouns=30)
    (row,) = rows(board, ["none"])
    (tab,) = tabs_of([row])
    if row.told:  # this seed's noise happens to be told from 0
        pytest.skip("the simulated gain is told from 0")
    assert tab.places[row.id].rank is None
    assert tab.places[row.id].why == "not told from 0"


def test_a_key_that_stands_twice_among_very_many_is_named():
    """A search that counts every key again for each would not end here."""
    keys = ",".join(f'"k{i}":1' for i in range(200_000))
    with pytest.raises(RefusedError, match="the key 'k199999' stands twice"):
        read_json(f'{{{keys},"k199999":1}}'.encode(), "f", RESULT)


def test_very_many_categories_are_refused(tmp_path):
    folder = write_submission(tmp_path, "mine", 1)
    edit(folder, "gain.by_category", [{"category": f"c{i}", "n_nouns": 1, "gain": 1.0} for i in range(50_000)])
    assert "by_noun has 0 of them" in refusal(folder)


@pytest.mark.parametrize("value", [True, "1", None, [1], {"a": 1}])
def test_types_are_json_types(value):
    expected = 1.0
    if value is None or isinstance(value, list | dict):
        check_types({"x": value}, {"x": expected}, "f")  # the schema itself refuses these
    else:
        with pytest.raises(RefusedError, match="expected a number"):
            check_types({"x": value}, {"x": expected}, "f")


def test_a_whole_number_may_stand_for_a_float():
    check_types({"x": 1, "y": [0]}, {"x": 1.0, "y": [0.0]}, "f")
    assert read_json(b'{"x": 1}', "f", RESULT) == {"x": 1}


def test_a_result_of_ours_passes_every_check(tmp_path):
    for seed in range(6):
        folder = write_submission(tmp_path, f"m{seed}", seed, items=seed % 2 == 0, gain=float(seed), n_nouns=30)
        assert read_submission(folder, references).runs[0].last.model.name == fake_result(seed).model.name

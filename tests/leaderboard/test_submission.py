"""A submission is data from a stranger: what is refused, in one sentence, and that nothing is run or left behind."""

from __future__ import annotations

import json
import os
import shutil
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.fake_results import fake_result, fake_trajectory, hash_of, write_run
from helpers.submissions import CARD, board_at, edit, references, write_submission
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundbench.api.errors import BadInputError
from groundbench.leaderboard import RefusedError, add_run, read_submission
from groundbench.leaderboard.submission.items_parquet import cells_of, read_tables, sample_items
from groundbench.leaderboard.submission.recheck import recheck
from groundbench.leaderboard.submission.reference import FormReference, TestbedReference


def refusal(folder) -> str:
    with pytest.raises(RefusedError) as raised:
        read_submission(folder, references)
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_a_valid_submission_is_read(tmp_path):
    found = read_submission(write_submission(tmp_path, "mine", 1, items=True, n_nouns=20), references)
    assert found.card.model == "Synthetic mine"
    (run,) = found.runs
    assert run.last == fake_result(1, n_nouns=20)
    assert run.cells.mean == pytest.approx(run.last.gain.mean, abs=1e-9)


def test_the_gain_of_a_sample_of_nouns_is_held_against_theirs(tmp_path):
    """An ablation's sample may be off by chance, not by choice of the nouns with the largest gains."""
    nouns = sorted(fake_result(1).gain.by_noun, key=lambda n: n.gain)
    everyother, largest = ([n.noun for n in part] for part in (nouns[::2], nouns[50:]))
    folder = write_submission(tmp_path, "mine", 1)
    edit(folder, "ablations.0.nouns", everyother)
    assert read_submission(folder, references)
    edit(folder, "ablations.0.nouns", largest)
    assert "but the gain measured is" in refusal(folder)


def test_a_trajectory_is_a_run(tmp_path):
    folder = write_submission(tmp_path, "mine")
    (folder / "run" / "result.json").unlink()
    fake_trajectory(1).save(folder / "run" / "trajectory.json")
    (run,) = read_submission(folder, references).runs
    assert [r.model.step for r in run.results][-1] == 2000


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("gain.mean", 9.0, "gain.mean is 9, but mismatched minus matched is"),
        ("gain.by_noun.0.gain", 20.0, "gain.by_noun[0].gain is 20, but"),
        ("gain.ci_low", 5.0, "outside its own interval"),
        ("gain.ci_high", 190.0, "the nouns' gains give an interval of"),
        ("gain.matched", -0.5, "a surprisal is never negative"),
        ("gain.by_category.0.n_nouns", 90, "counts 90 nouns"),
        ("testbed.hash", "0" * 16, "testbed.hash is '0000000000000000'"),
        ("testbed.hash", "0" * 16, "are those of one import of the same transcripts"),
        ("testbed.name", "mine", "is not one of this board's"),
        ("testbed.n_nouns", 12, "gain.by_noun has 100 nouns, the testbed 12"),
        ("heads.0.mean_count", 17.0, "the model has 16 heads"),
        ("heads.0.mean_layer", 7.5, "layers go from 1 to 4"),
        ("heads.0.by_head.0.rate", 0.0, "the heads' rates add up to"),
        ("heads.0.by_head.0.head", 9, "which the model does not have"),
        ("heads.0.threshold", 0.1, "the board's headline asks for 0.3"),
        ("ablations.0.gain_removed", 0.2, "but 1 - gain_ablated / gain_original is 0.9"),
        ("ablations.0.p_rank", 0.001, "with 20 draws it cannot be below"),
        ("ablations.0.p_holm", 1e-9, "below the p_cluster"),
        ("ablations.0.gain_control", 1.0, "its draws' mean is"),
        ("ablations.0.n_draws", 19, "has 20 draws, n_draws is 19"),
        ("ablations.0.gain_original", 9.0, "but"),
        ("ablations.0.selection", "instance", "the headline is crossfit/layer"),
        ("copy_corrected.ratio", 0.99, "but gain_gloss / gain_word is 0.62"),
        ("forms.2.gain.mean", 4.0, "forms[gloss].gain.mean is 4"),
        ("forms.0.excluded", [{"noun": "cup", "reason": "x"}], "excluded"),
        ("forms.2.env_form", "../../up", "a form is called '../../up'"),
        ("forms.2.env_form", "word", "forms names a form twice"),
        ("forms.2.env_form", "poem", "the form 'poem' is none of childworld"),
        ("head_forms", [{"layer": 4, "head": 4, "forms": ["word"]}], "head_forms names head 4 of layer 4"),
        ("model.fingerprint", "", "no fingerprint"),
        ("gain.extra", 1, "Extra inputs are not permitted"),
        ("schema_version", "2.0", "schema_version"),
        ("protocol.limit", 100, "the board takes whole testbeds only"),
        ("gain.p_cluster", 1.5, "less than or equal to 1"),
        ("model.name", "x" * 5000, "a text of 5,000 characters"),
    ],
)
def test_a_tampered_result_is_refused(tmp_path, path, value, message):
    folder = write_submission(tmp_path, "mine", 1)
    edit(folder, path, value)
    assert message in refusal(folder)


def test_a_consistent_gain_that_its_items_contradict_is_refused(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=20)
    fake_result(1, gain=6.0, n_nouns=20).save(folder / "run" / "result.json")
    assert "its items give gain.mean 4.0881, but 5.9666 is reported" in refusal(folder)


def test_an_ablation_on_some_nouns_is_held_to_their_gain(tmp_path):
    folder = write_submission(tmp_path, "mine", 1)
    nouns = fake_result(1).gain.by_noun[:5]
    mean = sum(n.gain for n in nouns) / 5
    edit(folder, "ablations.0.nouns", [n.noun for n in nouns])
    edit(folder, "ablations.0.gain_original", mean)
    edit(folder, "ablations.0.gain_ablated", 0.1 * mean)
    assert read_submission(folder, references).runs[0].last.ablations[0].gain_original == mean


def test_a_model_without_mixers_has_no_heads(tmp_path):
    folder = write_submission(tmp_path, "mine", 1)
    edit(folder, "model.mixers", [])
    assert "lists no mixers" in refusal(folder)


@pytest.mark.parametrize(
    ("place", "name"),
    [("", "evil.py"), ("", "index.html"), ("", ".hidden"), ("run", "weights.bin"), ("run", "site.js"), ("", "run.zip")],
)
def test_files_of_other_kinds_are_refused(tmp_path, place, name):
    folder = write_submission(tmp_path, "mine")
    (folder / place / name).write_text("x")
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["..%2f", "Up", "a b", "-x", "a..b", "x" * 70, "ü", "<b>"])
def test_run_folders_have_plain_names(tmp_path, name):
    folder = write_submission(tmp_path, "mine")
    (folder / "run").rename(folder / name)
    assert "cannot be used" in refusal(folder)


@pytest.mark.parametrize("name", ["card.yaml", "run/result.json", "run"])
def test_links_are_not_followed(tmp_path, name):
    folder = write_submission(tmp_path, "mine")
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    assert name.split("/")[-1] in refusal(folder)


def test_a_submission_that_is_a_link_is_refused(tmp_path):
    folder = write_submission(tmp_path, "mine")
    (tmp_path / "other").symlink_to(folder)
    assert "is not a folder" in refusal(tmp_path / "other")


def test_a_pipe_does_not_block(tmp_path):
    folder = write_submission(tmp_path, "mine")
    (folder / "run" / "result.json").unlink()
    os.mkfifo(folder / "run" / "result.json")
    assert "expected a plain file" in refusal(folder)


def test_an_archive_is_not_read(tmp_path):
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("result.json", "0" * 10_000_000)
    assert "archives are not read" in refusal(bomb)


def test_a_huge_file_is_refused_unread(tmp_path):
    folder = write_submission(tmp_path, "mine")
    with (folder / "run" / "result.json").open("wb") as file:
        file.truncate(5 << 30)  # sparse: takes no space
    assert "larger than 8 MiB" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "{}", '{"gain": NaN}'])
def test_broken_results_are_refused(tmp_path, content):
    folder = write_submission(tmp_path, "mine")
    (folder / "run" / "result.json").write_text(content)
    assert refusal(folder).startswith("mine/run/result.json: ")


def test_a_missing_card_or_run_is_said(tmp_path):
    folder = write_submission(tmp_path, "one")
    (folder / "card.yaml").unlink()
    assert "one/card.yaml: is missing" in refusal(folder)
    folder = write_submission(tmp_path, "two")
    shutil.rmtree(folder / "run")
    assert "holds no run" in refusal(folder)


FORM = FormReference(("a", "b"), ("toys", "toys"), ("f",), (None,))
BED = TestbedReference("small", "1", "0" * 16, "shared", "token", False, {"token": FORM, "word": FORM})
ROWS = {
    "form": ["token"] * 4,
    "frame": ["f"] * 4,
    "env": ["a", "b", "a", "b"],
    "target": ["a", "a", "b", "b"],
    "condition": ["matched", "mismatched", "mismatched", "matched"],
    "surprisal": [1.0, 3.0, 4.0, 2.0],
}


def parquet(**change) -> bytes:
    """A small items.parquet, with some columns replaced."""
    columns = {k: v for k, v in (ROWS | change).items() if v is not None}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def read(raw: bytes, mismatches: int | None = None):
    return read_tables(raw, "f", BED, {"token": ("a", "b")}, mismatches)


def test_cells_are_the_gain_by_hand():
    cells = cells_of(read(parquet())["token"])
    assert (cells.mean, cells.nouns, cells.frames) == (2.0, ("a", "b"), ("f",))


def without(row: int) -> dict[str, list]:
    """The rows but one."""
    return {k: v[:row] + v[row + 1 :] for k, v in ROWS.items()}


def twice(row: int) -> dict[str, list]:
    """The rows and one of them again."""
    return {k: [*v, v[row]] for k, v in ROWS.items()}


NESTED = pa.array([[["x"]]] * 4, pa.list_(pa.list_(pa.string())))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PAR1", "not a readable Parquet file"),
        (b"", "not a readable Parquet file"),
        (parquet()[:-9], "not a readable Parquet file"),
        (parquet(surprisal=None), "lacks the column 'surprisal'"),
        (parquet(form=None), "lacks the column 'form'"),
        (parquet(**dict.fromkeys(ROWS), a=[1]), "holds the column 'a'"),
        (parquet(**dict.fromkeys(ROWS, NESTED)), "is 'list<"),
        (parquet(code=["import os"] * 4), "holds the column 'code'"),
        (parquet(surprisal=["1", "2", "3", "4"]), "not a number"),
        (parquet(surprisal=[float("inf"), 1.0, 1.0, 1.0]), "negative or infinite"),
        (parquet(surprisal=[-1.0, 1.0, 1.0, 1.0]), "negative or infinite"),
        (parquet(surprisal=[1.0, 1e6, 1.0, 1.0]), "1e+06 nats; none is above 200"),
        (parquet(frame=[1, 2, 3, 4]), "the column 'frame' is 'int64', not text"),
        (parquet(target=["a", None, "b", "b"]), "has empty places"),
        (parquet(condition=["matched", "<script>", "mismatched", "matched"]), "more than 'matched' and 'mismatched'"),
        (parquet(condition=["mismatched", "mismatched", "mismatched", "matched"]), "is called mismatched, but 'a' was"),
        (parquet(form=["word"] * 4), "holds items of the form 'word'"),
        (parquet(env=["a", "b", "a", "c"]), "the env 'c' is none of this testbed"),
        (parquet(frame=["f", "f", "f", "g"]), "the frame 'g' is none of this testbed"),
        (parquet(frame=["f", "f", "f", "x" * 300]), "one of more than 200 bytes"),
        (parquet(**twice(1)), "stands there twice"),
        (parquet(**without(0)), "1 of the 2 matched items"),
        (parquet(**without(1)), "lacks mismatched items"),
    ],
)
def test_broken_items_are_refused(raw, message):
    with pytest.raises(RefusedError) as raised:
        read(raw)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sample_of_mismatches_may_be_part_of_them():
    raw = parquet(**without(1))
    with pytest.raises(RefusedError):
        read(raw)
    assert read(parquet(), 1)["token"].n_failed == 0
    with pytest.raises(RefusedError, match="lacks mismatched items"):
        read(raw, 1)


def test_a_column_that_stands_there_twice_is_refused():
    array = pa.array(["token"] * 4)
    names = [*ROWS, "form"]
    table = pa.Table.from_arrays([*(pa.array(v) for v in ROWS.values()), array], names=names)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    with pytest.raises(RefusedError, match="the column 'form' stands there twice"):
        read(sink.getvalue().to_pybytes())


def test_rows_are_counted_as_they_are_read(monkeypatch):
    monkeypatch.setattr("groundbench.leaderboard.submission.items_parquet.MOST_ROWS", 3)
    with pytest.raises(RefusedError, match="more than 3 rows"):
        read(parquet())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_edit_of_a_result_is_read_or_refused_in_one_sentence(tmp_path, data):
    """Any leaf replaced by any JSON value: never an error but RefusedError."""
    folder = tmp_path / "mine"
    if not folder.exists():
        write_submission(tmp_path, "mine", 1, n_nouns=4)
        (tmp_path / "kept.json").write_bytes((folder / "run" / "result.json").read_bytes())
    document = json.loads((tmp_path / "kept.json").read_text())
    at = document
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    at[key] = data.draw(
        scalar | st.lists(scalar, max_size=2) | st.dictionaries(st.text(max_size=4), scalar, max_size=2)
    )
    (folder / "run" / "result.json").write_text(json.dumps(document))
    said = ""
    try:
        read_submission(folder, references)
    except RefusedError as error:
        said = str(error)
    assert "\n" not in said


# Adding


def card_file(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text(CARD.format(name="My Model"))
    return path


def test_add_copies_only_result_files(tmp_path):
    run = tmp_path / "runs" / "first"
    write_run(run, 1, n_nouns=20)
    (run / "manifest.json").write_text("{}")
    board = board_at(tmp_path / "board")
    added = add_run(board, run, card_file(tmp_path), "my-model")
    assert [r.name for r in added.runs] == ["first"]
    files = sorted(str(p.relative_to(board.entries)) for p in board.entries.rglob("*") if p.is_file())
    assert files == ["my-model/card.yaml", "my-model/first/items.parquet", "my-model/first/result.json"]
    assert not list(board.root.glob(".adding*"))


def test_a_trajectory_comes_with_the_items_of_its_last_checkpoint(tmp_path):
    run = tmp_path / "curve"
    trajectory = fake_trajectory(1)
    for point in trajectory.points[-2:]:
        step = run / f"step-{point.step:06d}"
        write_run(step, 1 + point.step, point.result.gain.mean, n_nouns=40)
    last = write_run(step, 5, n_nouns=40, step=2000)
    points = (*trajectory.points[:-1], trajectory.points[-1].model_copy(update={"result": last}))
    trajectory.model_copy(update={"points": points}).save(run / "trajectory.json")
    (added,) = add_run(board_at(tmp_path / "board"), run, card_file(tmp_path), "my-model").runs
    assert added.cells.mean == pytest.approx(last.gain.mean)


def test_a_refused_run_changes_nothing(tmp_path):
    run = tmp_path / "first"
    fake_result(1).model_copy(update={"testbed": fake_result(1).testbed.model_copy(update={"hash": "0"})}).save(
        run / "result.json"
    )
    board = board_at(tmp_path / "board")
    with pytest.raises(RefusedError, match=r"testbed\.hash"):
        add_run(board, run, card_file(tmp_path), "my-model")
    assert board.slugs == []
    assert sorted(p.name for p in board.root.iterdir()) == ["entries"]


def test_a_run_is_never_overwritten(tmp_path):
    run = tmp_path / "first"
    fake_result(1).save(run / "result.json")
    board = board_at(tmp_path / "board")
    add_run(board, run, card_file(tmp_path), "my-model")
    with pytest.raises(BadInputError, match="stands there already"):
        add_run(board, run, card_file(tmp_path), "my-model")
    assert len(add_run(board, run, card_file(tmp_path), "my-model", "second").runs) == 2


@pytest.mark.parametrize("slug", ["../up", "/etc", "A", "", "a/b"])
def test_a_submission_stays_inside_the_board(tmp_path, slug):
    run = tmp_path / "first"
    fake_result(1).save(run / "result.json")
    with pytest.raises(RefusedError, match="cannot be used"):
        add_run(board_at(tmp_path / "board"), run, card_file(tmp_path), slug)


def test_board_yaml_names_the_hashes_it_accepts(tmp_path):
    board = board_at(tmp_path)
    text = f"testbeds:\n- {{name: childworld, version: '1', hash: {hash_of(40)}}}\n"
    (tmp_path / "board.yaml").write_text(text)
    write_submission(board.entries, "mine")
    (refused,) = list(board_at(tmp_path).read())
    assert isinstance(refused, RefusedError)
    assert f"has {hash_of(40)}" in str(refused)


# Scoring again


def test_recheck_finds_a_forgery_that_is_consistent(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=20)
    (run,) = read_submission(folder, references).runs
    truth = {i[:3]: i.surprisal for i in sample_items(run.tables["token"], 10**6, 0)}
    done = recheck(folder, run, lambda run, items: [truth[i[:3]] for i in items], n=40)
    assert (done.n_items, done.worst) == (40, 0.0)
    with pytest.raises(RefusedError, match=r"scoring it again gives .* \(40 of 40 differ\)"):
        recheck(folder, run, lambda run, items: [truth[i[:3]] + 0.5 for i in items], n=40)
    with pytest.raises(RefusedError):
        recheck(folder, run, lambda run, items: [float("nan")] * len(items), n=40)


def test_a_sample_is_seeded_and_without_repeats(tmp_path):
    folder = write_submission(tmp_path, "mine", 1, items=True, n_nouns=20)
    table = read_submission(folder, references).runs[0].tables["token"]
    one, two = (sample_items(table, 50, seed) for seed in (0, 1))
    assert one == sample_items(table, 50, 0)
    assert one != two
    assert len({i[:3] for i in one}) == 50

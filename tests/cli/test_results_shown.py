"""Results in the terminal: every measured number is there, and what was not measured is never a 0."""

from __future__ import annotations

import html
import io
import re

import pytest
from helpers.fake_results import fake_result, fake_trajectory
from hypothesis import given
from hypothesis import strategies as st

from groundbench.cli import console
from groundbench.cli.tables.result import show_result
from groundbench.cli.tables.trajectory import show_trajectories
from groundbench.results.run import FormRecord, GainRecord, Result
from groundbench.results.text.sentences import headline


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.mark.usefixtures("wide")
def test_everything_measured_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = fake_result()
    show_result(result)
    text = shown(capsys)
    gain = result.gain
    assert gain is not None
    for value in (gain.mean, gain.ci_low, gain.ci_high, gain.matched, gain.mismatched):
        assert value is not None
        assert f"{value:.3f}" in text
    for heads in result.heads:
        assert heads.kind in text
        assert f"{heads.mean_count:.2f}" in text
    for cut in result.ablations:
        assert f"{cut.gain_ablated:.2f}" in text
        assert cut.control in text
    assert all(f"{lens.kind.capitalize()} lens" in text for lens in result.lens)


@pytest.mark.usefixtures("wide")
def test_what_was_not_measured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    full = fake_result()
    form = FormRecord(
        env_form=full.testbed.env_form, n_nouns=full.testbed.n_nouns, n_items=9, gain=GainRecord(mean=None)
    )
    bare = Result(model=full.model, testbed=full.testbed, forms=(form,), environment=full.environment)
    show_result(bare)
    row = next(line for line in shown(capsys).splitlines() if re.match(rf"│ {full.testbed.env_form} ", line))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [
        full.testbed.env_form,
        str(full.testbed.n_nouns),
        *["not measured"] * 4,
        "not testable",
        "not measured",
    ]
    show_result(bare.with_headline(gain=None))
    assert "not measured" in shown(capsys)


UNKNOWN = {"prompts": 37, "of_prompts": 1000, "words": 41, "of_words": 14_203}
NONE = {**UNKNOWN, "prompts": 0, "words": 0}


@pytest.mark.usefixtures("wide")
def test_words_the_tokenizer_does_not_know_have_a_line_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    result = fake_result()
    show_result(result)  # as those written before: not measured
    assert "unknown to the tokenizer" not in shown(capsys)
    show_result(result.model_copy(update={"protocol": {"unknown_words": {"token": UNKNOWN, "plain": NONE}}}))
    lines = [line for line in shown(capsys).splitlines() if "unknown to the tokenizer" in line]
    assert lines == ["token: unknown to the tokenizer: 41 of 14,203 words, in 37 of 1,000 prompts"]
    for other in ("some", {"token": {"prompts": -1}}, {"token": "many"}):  # a protocol is free of form
        show_result(result.model_copy(update={"protocol": {"unknown_words": other}}))
        assert "unknown to the tokenizer" not in shown(capsys)


def table_rows(text: str, title: str) -> list[list[str]]:
    """The cells of the table under a title."""
    table = text[text.index(title) :]
    lines = table[: table.index("└")].splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def dashed(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


@pytest.mark.usefixtures("wide")
def test_a_trajectory_has_a_row_for_every_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    run = fake_trajectory()
    show_trajectories([run])
    rows = table_rows(shown(capsys), f"\n{run.name} ")
    assert [int(row[0]) for row in rows] == [p.step for p in run.points]
    for row, point in zip(rows, run.points, strict=True):
        ablations, heads, gain = point.result.ablations, point.result.heads, point.result.gain
        assert row[5:7] == [dashed(gain.matched), dashed(gain.mismatched)] if gain else ["-", "-"]
        assert row[7] == dashed(heads[0].mean_count)
        assert row[8] == dashed(ablations[0].gain_ablated if ablations else None)
        assert row[10] == dashed(heads[0].mean_layer)


@pytest.mark.usefixtures("wide")
def test_a_trajectory_shows_the_cuts_the_lens_and_the_regressions(capsys: pytest.CaptureFixture[str]) -> None:
    run = fake_trajectory()
    show_trajectories([run])
    text = shown(capsys)
    cuts = [(p.step, a) for p in run.points for a in p.result.ablations]
    rows = table_rows(text, "matched surprisal and gain (nats) with heads cut")
    assert sorted(r[:6] for r in rows) == sorted(
        [str(s), a.selection, *map(dashed, (a.n_heads, a.original, a.ablated, a.control_mean))] for s, a in cuts
    )
    lens = table_rows(text, "gain (nats) by layer, tuned lens")
    read = [p.result.lens[0] for p in run.points if p.result.lens]
    assert [row[1:] for row in lens] == [[dashed(x.layers[n].gain) for x in read] for n in range(len(read[0].layers))]
    regressions = table_rows(text, "adjusted R² of the gain on co-occurrence")
    for row, point in zip(regressions, [p for p in run.points if p.result.cooccurrence], strict=True):
        over_nouns = [r for r in point.result.cooccurrence.regressions if r.unit == "noun"]  # type: ignore[union-attr]
        assert row == [
            str(point.step),
            *(f"{r.r2_adjusted:.2f} [{r.ci_low:z.2f}, {r.ci_high:z.2f}]" for r in over_nouns),
            "0.80",
        ]


@pytest.mark.usefixtures("wide")
def test_what_a_run_has_not_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_trajectories([fake_trajectory(7, name="lstm", final=0.4, layers=0)], explain=False)
    text = shown(capsys)
    assert "-" not in {cell for row in table_rows(text, "\nlstm ") for cell in row}
    assert "heads" not in text
    assert text.count("└") == 1


NUMBER = re.compile(r"[-\u2212]?\d+\.\d+")


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
def test_tables_fit_and_break_no_number(width: int, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """A narrow terminal shows only numbers that the wide one shows too, and names what it leaves out."""
    monkeypatch.setenv("COLUMNS", "300")
    show_result(fake_result())
    show_trajectories([fake_trajectory()])
    whole = set(NUMBER.findall(shown(capsys)))
    monkeypatch.setenv("COLUMNS", str(width))
    show_result(fake_result())
    show_trajectories([fake_trajectory()])
    text = shown(capsys)
    assert max(map(len, text.splitlines())) <= width
    assert set(NUMBER.findall(text)) <= whole
    gain = fake_result().gain
    assert gain is not None
    assert f"[{gain.ci_low:.3f}, {gain.ci_high:.3f}]" in text
    assert "< 0.001" in text
    assert ("not shown at this width" in text) == (width < 120)


@given(
    rows=st.lists(
        st.tuples(st.text("ab ", max_size=20), st.floats(-1e6, 1e6), st.floats(0, 9)), min_size=1, max_size=4
    ),
    width=st.integers(40, 90),
)
def test_any_table_fits_or_becomes_blocks(rows, width: int) -> None:
    cells = [(name or "x", f"{a:.3f}", f"[{b:.2f}, {b:.2f}]") for name, a, b in rows]
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setattr("sys.stdout", stream)
        console.show_table(("some words", "value", "95 %"), cells, right=("value",), title="t")
    text = stream.getvalue()
    assert all(cell in text for row in cells for cell in row[1:])
    assert all(len(line) <= width for line in text.splitlines())


@pytest.mark.usefixtures("wide")
def test_the_sentence_is_that_of_the_page_and_of_print(capsys: pytest.CaptureFixture[str]) -> None:
    from groundbench.report.pages import render_run

    for form in ("word", "gloss"):
        result = fake_result()
        result = result.model_copy(update={"testbed": result.testbed.model_copy(update={"env_form": form})})
        show_result(result, explain=True)
        text = " ".join(shown(capsys).split())
        said = " ".join(headline(result).split())
        assert text.startswith(said)
        assert said in " ".join(html.unescape(render_run(result)).split())
        assert " ".join(str(result).split()).startswith(said)
        assert ("Copying" in said) == (form == "word")
        assert "two-sided, clustered by noun and frame" in text
        assert "L3H3" in text


def test_what_was_asked_for_and_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    full = fake_result()
    asked = {"protocol": {"measures": ["gain", "lens"]}}
    show_result(full.with_headline(lens=()).model_copy(update=asked))
    assert "lens: not measured" in shown(capsys)


WORD = st.text("abc0\u2009\u202f%", min_size=1, max_size=12).filter(lambda w: w.strip() == w)


@given(st.lists(WORD, min_size=1, max_size=30), st.integers(4, 40))
def test_a_line_of_text_is_broken_at_plain_spaces_only(words: list[str], width: int) -> None:
    """A number's thousands and its per cent sign are parted by narrow spaces, at which no line may end."""
    text = " ".join(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setattr("sys.stdout", written := io.StringIO())
        console.say(console.bold(text[:5]), text[5:])
        console.out().print(text)
    lines = written.getvalue().splitlines()
    assert " ".join(line.rstrip(" ") for line in lines) == f"{text} {text}"
    assert all(console.cell_len(line) <= width or " " not in line for line in lines)


@given(st.floats(-3, 3), st.integers(0, 4))
def test_no_number_is_a_negative_zero(value: float, digits: int) -> None:
    text = console.nats(value, digits)
    assert float(text) == pytest.approx(value, abs=0.51 * 10**-digits)
    assert text.startswith("-") == (float(text) < 0)
    assert console.interval(value, value, digits) == f"[{text}, {text}]"

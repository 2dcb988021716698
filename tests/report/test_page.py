"""Pages: what they say, that they say nothing that was not measured, that a stranger's strings stay inert."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from helpers.cards import made_up_card
from helpers.fake_results import fake_result, fake_trajectory

from groundbench.api.errors import BadInputError
from groundbench.report import render_run, render_trajectories
from groundbench.report.elements import Table
from groundbench.report.from_directory import page_of
from groundbench.report.pages import render_card
from groundbench.report.sections.training_gain import checkpoints_table
from groundbench.results.run import (
    AblationRecord,
    CopyCorrected,
    EnvironmentRecord,
    Excluded,
    Failure,
    FormRecord,
    GainRecord,
    HeadForms,
    HeadsRecord,
    ModelRecord,
    Result,
)
from groundbench.results.run import TestbedRecord as BedRecord
from groundbench.results.text.numbers import number
from groundbench.results.trajectory import Trajectory

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}"


class Reader(HTMLParser):
    """Collects elements with their attributes, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", "".join(self.words))


def svgs(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(s) for s in re.findall(r'<svg class="plot.*?</svg>', page, re.S)]


def bare(**parts: object) -> Result:
    """A result in which nothing was measured, but for the parts given."""
    form = {name: parts.pop(name) for name in ("gain", "heads", "ablations", "lens", "image") if name in parts}
    return Result(
        model=ModelRecord(name="m", family="f", architecture="A", parameters=1000, dtype="float32", fingerprint="x"),
        testbed=BedRecord(name="t", version="1", hash="h", frames="shared", env_form="word", n_nouns=7, n_items=9),
        forms=(FormRecord(env_form="word", n_nouns=7, n_items=9, **form),),
        environment=EnvironmentRecord(versions={}, device="cpu"),
        **parts,
    )


def evil(value: object) -> object:
    """The same JSON with every free string made hostile; enumerations and numbers stay."""
    keep = {
        "1.0",
        "1.1",
        "shared",
        "attention",
        "row",
        "share",
        "crossfit",
        "instance",
        "layer",
        "zero",
        "all",
        "tuned",
    }
    keep |= {"logit", "aggregate", "gather", "noun", "pair", "chunk", "utterances", "log-count", "pmi"}
    if isinstance(value, dict):
        return {k: evil(v) for k, v in value.items()}
    if isinstance(value, list):
        return [evil(v) for v in value]
    return EVIL if isinstance(value, str) and value not in keep else value


@pytest.fixture(scope="module")
def full() -> str:
    return render_run(fake_result(1))


@pytest.fixture(scope="module")
def together() -> str:
    runs = [fake_trajectory(0), fake_trajectory(5, name="null", final=0.0), fake_trajectory(7, name="lstm", layers=0)]
    return render_trajectories(runs)


def test_the_gain_with_its_interval_comes_first(full):
    gain = fake_result(1).gain
    text = Reader(full).text
    ends = f"{gain.ci_low:.2f}\u00a0to\u00a0{gain.ci_high:.2f}"
    said = text.index(f"gain of {gain.mean:.2f} nats (95\u202f% interval {ends}")
    assert said < text.index("Noun by noun")


@pytest.mark.parametrize("which", ["full", "together"])
def test_pages_stand_alone(which, request):
    page = request.getfixturevalue(which)
    found = Reader(page).elements
    assert not [t for t, _ in found if t == "script"]
    assert not [a for _, a in found for k in a if k.startswith("on")]
    refs = [a[k] for _, a in found for k in ("src", "href", "xlink:href", "action") if a.get(k)]
    assert all(r.startswith(("#", "data:")) for r in refs)
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.parametrize("which", ["full", "together"])
def test_every_plot_is_named_described_and_has_its_numbers(which, request):
    page = request.getfixturevalue(which)
    plots = svgs(page)
    assert len(plots) >= 8
    ids = []
    for svg in plots:
        assert svg.get("role") == "img"
        named = svg.get("aria-labelledby").split()
        inside = {e.get("id"): "".join(e.itertext()) for e in svg if e.tag in ("title", "desc")}
        assert set(named) == set(inside)
        assert all(inside.values())
        ids += named
    assert page.count("<figure") == page.count("<summary>Data")


def test_ids_are_unique(full, together):
    for page in (full, together):
        ids = [a["id"] for _, a in Reader(page).elements if a.get("id")]
        assert len(ids) == len(set(ids))


def test_an_unmeasured_result_shows_no_number():
    page = render_run(bare())
    text = Reader(page).text
    assert "The grounding gain was not measured." in text
    assert text.count("not measured") >= 8
    body = text[text.index("The grounding gain was not") : text.index("Protocol and environment")]
    body = body.replace("1.0\u202fk", "")  # the number of parameters, which is known
    assert not re.search(r"\d\.\d", body)
    assert not svgs(page)


def test_a_model_without_heads_is_not_given_zero_heads():
    text = Reader(render_run(fake_result(3, gain=0.0, layers=0))).text
    assert "GroundLSTM has no heads" in text
    assert "no heads" in text[: text.index("Noun by noun")]
    assert "0 of 0 heads" not in text


def test_null_counts_inside_measured_records_are_not_zero():
    heads = HeadsRecord(kind="aggregate", denominator="row", threshold=0.3, selection="share", mean_count=None)
    cut = AblationRecord(selection="crossfit", control="layer", mode="zero", positions="all", n_draws=20)
    model = fake_result(0).model
    text = Reader(render_run(bare(heads=(heads,), ablations=(cut,)).model_copy(update={"model": model}))).text
    assert "The head count could not be measured." in text
    assert "0.00" not in text


def test_hostile_strings_are_inert():
    result = Result.model_validate(evil(fake_result(1).model_dump(mode="json")))
    trajectory = Trajectory.model_validate(evil(fake_trajectory(1).model_dump(mode="json")))
    for page in (render_run(result), render_trajectories([trajectory])):
        reader = Reader(page)
        assert not [t for t, _ in reader.elements if t in ("script", "img")]
        assert not [a for _, a in reader.elements for k in a if k.startswith("on")]
        assert "alert(1)" in reader.text  # shown, as text
        assert "{{7*7}}" in reader.text
        assert svgs(page)  # still well-formed


def test_a_trajectory_page_tells_its_runs_apart(together):
    text = Reader(together).text
    assert "lstm: no heads, so nothing is drawn." in text
    for name in ("gpt2-mini", "null", "lstm"):
        assert name in text
    hero = svgs(together)[0]
    lines = [e for e in hero.iter() if (e.get("class") or "").startswith("line")]
    assert len(lines) == 3


def test_a_gain_that_the_clustered_test_does_not_find_is_not_claimed():
    wide = GainRecord(mean=0.4, ci_low=0.1, ci_high=0.7, p_cluster=0.2)
    text = Reader(render_run(bare(gain=wide))).text
    assert "No grounding was found" in text
    sure = wide.model_copy(update={"p_cluster": 0.01})
    assert "49\u202f% more probable" in Reader(render_run(bare(gain=sure))).text


def test_failures_are_listed_not_scored():
    failures = tuple(Failure(where=f"item {i}", reason="NaN logits") for i in range(70))
    text = Reader(render_run(bare(failures=failures))).text
    assert "70 failed; none is counted as a score." in text
    assert "item 49" in text
    assert "20 more are in result.json." in text


def test_page_of_a_run_a_trajectory_and_a_folder_of_them(tmp_path):
    run, runs = tmp_path / "run", tmp_path / "demo"
    fake_result(1).save(run / "result.json")
    fake_trajectory(1, name="one").save(runs / "one" / "trajectory.json")
    fake_trajectory(2, name="two").save(runs / "two" / "trajectory.json")
    assert "synthetic-1" in page_of(run)
    assert page_of(run / "result.json") == page_of(run)
    assert "one" in page_of(runs / "one")
    both = Reader(page_of(runs)).text
    assert "one" in both
    assert "two" in both


def test_every_cell_of_a_checkpoint_stands_under_its_own_name(tmp_path):
    trajectory = fake_trajectory(0)
    table = checkpoints_table(trajectory)
    last = dict(zip(table.head, table.rows[-1], strict=True))
    gain = trajectory.last.gain
    assert (last["Gain"], last["Matched"]) == (number(gain.mean), number(gain.matched))
    assert last["Mismatched"] == number(gain.mismatched)
    assert last["Heads"] == number(trajectory.last.heads[0].mean_count)
    with pytest.raises(ValueError, match="2 cells under 1 heads"):
        Table("t", ("a",), (("1", "2"),))


def test_no_number_is_broken_by_the_end_of_a_line(tmp_path):
    page = render_trajectories([fake_trajectory(0)])
    assert "95\u202f% interval" in page
    assert re.search(r"\d\u202f\d{3}\b", page)
    assert not re.search(r"\d(?: %|\u2009\d)", page)


def test_a_screening_has_its_page_too(tmp_path):
    card = made_up_card()
    card.save(tmp_path / "card.json")
    assert page_of(tmp_path) == render_card(card)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds neither result.json, trajectory.json nor card.json"),
        ("{", "Invalid JSON"),
        ("{}", "field model: Field required"),
    ],
)
def test_bad_directories_are_refused_in_one_sentence(tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(BadInputError) as raised:
        page_of(tmp_path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_steps_of_a_trajectory_must_rise(tmp_path):
    data = fake_trajectory(1).model_dump(mode="json")
    data["points"].reverse()
    path = tmp_path / "trajectory.json"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="points must have rising steps"):
        Trajectory.load(path)


def test_the_ladder_shows_every_form_with_heads_and_ablation():
    result = fake_result(1)
    token, word, gloss, *others = result.forms
    cut = result.ablations[0].model_copy(update={"nouns": ("cup", "dog"), "note": "tested on 2 of 100 nouns"})
    gloss = gloss.model_copy(
        update={"heads": result.heads, "ablations": (cut,), "excluded": (Excluded(noun="egg", reason="no gloss"),)}
    )
    shared = (HeadForms(layer=3, head=1, forms=("word", "gloss")), HeadForms(layer=1, head=0, forms=("word",)))
    result = result.model_copy(update={"forms": (token, word, gloss, *others), "head_forms": shared})
    text = Reader(render_run(result)).text
    ladder = text[text.index("Heads and ablation by form") :]
    row = ladder[ladder.index("gloss") :]
    for value in (result.heads[0].mean_count, result.heads[0].null_count, cut.gain_original, cut.gain_ablated):
        assert f"{value:.2f}" in row
    assert "Heads that serve several forms" in ladder
    assert "3.1" in ladder[ladder.index("Heads that serve several forms") :]
    assert "2 heads are detected in at least half of the items of some form, 1 of them of several forms." in text
    assert "“gloss” leaves out egg; result.json gives the reasons." in text
    assert "Ablation (gloss): tested on 2 of 100 nouns." in text


def test_a_copy_corrected_gain_that_does_not_exist_is_no_number():
    result = fake_result(1)
    none = result.model_copy(update={"copy_corrected": CopyCorrected(ratio=None, gain_gloss=1.0, gain_word=0.1)})
    assert "There is no copy-corrected gain" in Reader(render_run(none)).text
    assert "a copy-corrected gain of 0.62" in Reader(render_run(result)).text


def chart_named(page: str, title: str) -> ElementTree.Element:
    """The one plot of that title."""
    (found,) = [s for s in svgs(page) if s.find("title").text == title]
    return found


def lines_of(svg: ElementTree.Element, kind: str = "line c") -> list[str]:
    return [e.get("class") for e in svg.iter() if (e.get("class") or "").startswith(kind)]


def test_a_trajectory_shows_matched_surprisal_with_heads_cut_beside_the_gain(together):
    run = fake_trajectory(0)
    for what in ("gain", "matched surprisal"):
        plot = chart_named(together, f"gpt2-mini: {what} with heads cut")
        assert lines_of(plot) == ["line c1", "line c2", "line c3 dashed"]
        assert lines_of(plot, "band") == ["band c3"]  # the spread of the control draws
    text = Reader(together).text
    table = text[text.index("gpt2-mini: matched surprisal (nats), as in the paper's table") :]
    for point in run.points:
        for cut in point.result.ablations:
            row = f"{cut.n_heads:.2f}{point.result.heads[0].mean_layer:.1f}"
            assert f"{row}{cut.ablated:.2f}{cut.control_mean:.2f}{cut.original:.2f}" in table
    assert "instance (selection-biased)" in table


def test_a_trajectory_shows_the_lens_by_layer_and_every_regression_with_its_interval(together):
    for what in ("gain", "matched surprisal"):
        assert len(lines_of(chart_named(together, f"gpt2-mini: {what} by layer"))) == 6
    last = fake_trajectory(0).last.cooccurrence
    names = {"log-count": "log count", "pmi": "PMI", "chunk": "within a chunk", "utterances": "within 5 utterances"}
    for r in last.regressions:
        title = f"Adjusted R²: {names[r.statistic]}, {names[r.window]}"
        assert "band c1" in lines_of(chart_named(together, title), "band")
        found = f"{r.r2_adjusted:.2f} [{r.ci_low:.2f},\u00a0{r.ci_high:.2f}]".replace("-", "\u2212")
        assert found in Reader(together).text


def test_the_mean_layer_of_a_trajectory_has_its_interval(together):
    assert lines_of(chart_named(together, "Their mean layer"), "band") == ["band c1", "band c2"]


@pytest.mark.parametrize("other", ["some", {"token": {"prompts": EVIL}}])
def test_words_the_tokenizer_does_not_know_stand_with_the_protocol(other: object) -> None:
    counts = {"prompts": 37, "of_prompts": 1000, "words": 41, "of_words": 14_203}
    run = fake_result()
    text = Reader(render_run(run.model_copy(update={"protocol": {"unknown_words": {"token": counts}}}))).text
    assert "unknown to the tokenizer: 41 of 14,203 words, in 37 of 1,000 prompts" in text
    assert "unknown to the tokenizer" not in Reader(render_run(run)).text
    page = render_run(run.model_copy(update={"protocol": {"unknown_words": other}}))
    assert "unknown to the tokenizer" not in page
    assert EVIL not in page

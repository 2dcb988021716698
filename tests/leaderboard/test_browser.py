"""The site and the report in a real browser: sort, search, filter, open, compare; light and dark, wide and narrow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.browser import axe_source, complaints, faults, look, requested, start_browser
from helpers.cards import made_up_card
from helpers.fake_results import fake_result, fake_trajectory
from helpers.image_records import record
from helpers.submissions import board_at, edit, write_submission

from groundbench.evaluation.seeds import mean_over_seeds
from groundbench.leaderboard import build_site
from groundbench.report import render_run, render_trajectories
from groundbench.report.pages import render_card, render_flow, render_seeds
from groundbench.report.sections.flow import FlowPage, Layer
from groundbench.results.image import ImageRecord
from groundbench.util.atomic_files import write_text

LOOKS = [(1280, False), (1280, True), (390, False), (390, True)]
looks = pytest.mark.parametrize(("width", "dark"), LOOKS, ids=["light", "dark", "light-phone", "dark-phone"])
EVIL = "<img src=x onerror=\"document.title='cra'+'cked'\"><script>document.title='cra'+'cked'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def axe(request):
    return axe_source(request.config.cache.mkdir("axe-core"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("board")
    board = board_at(root)
    for i in range(12):
        options = {"layers": 0} if i % 5 == 4 else {}
        write_submission(board.entries, f"m{i:02d}", i, gain=0.5 * i, n_nouns=30, **options)
    evil = write_submission(board.entries, "evil", 20, gain=1.2, n_nouns=30)
    card = (evil / "card.yaml").read_text()
    (evil / "card.yaml").write_text(card.replace("Synthetic evil", json.dumps(EVIL)))
    result = evil / "run" / "result.json"
    result.write_text(result.read_text().replace('"Apache-2.0"', json.dumps(EVIL)))
    edit(evil, "model.family", EVIL)
    curve = write_submission(board.entries, "curve", 21)
    (curve / "run" / "result.json").unlink()
    fake_trajectory(21).save(curve / "run" / "trajectory.json")
    assert build_site(board, root / "site") == []
    return root / "site"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    write_text(folder / "run.html", render_run(fake_result(1)))
    write_text(folder / "headless.html", render_run(fake_result(3, gain=0.0, layers=0)))
    runs = [fake_trajectory(0), fake_trajectory(5, name="null", final=0.0), fake_trajectory(7, name="lstm", layers=0)]
    write_text(folder / "demo.html", render_trajectories(runs))
    write_text(folder / "image.html", render_run(with_image(fake_result(4, n_nouns=30))))
    write_text(folder / "card.html", render_card(made_up_card()))
    same = mean_over_seeds([of_seed(i) for i in (0, 1, 2)], name="gpt2-mini")
    write_text(folder / "seeds.html", render_seeds([same, same]))
    layers = tuple(Layer(n, [[0.1 * n, 0.0, 0.0], [0.2, 0.3, 0.0], [0.1, 0.9, 0.2]]) for n in (1, 2))
    tokens, facts = ("<CHI>", "a-noun-of-many-letters", "the"), (("Loss", "first"),)
    page = FlowPage("From", "a", "s", tokens, frozenset({1}), layers, facts)
    write_text(folder / "flow.html", render_flow(page))
    return folder


def of_seed(seed):
    """A trajectory of one model's seed."""
    made = fake_trajectory(seed)

    def point(p):
        model = p.result.model.model_copy(update={"seed": seed, "parameters": 1_300_000})
        return p.model_copy(update={"result": p.result.model_copy(update={"model": model})})

    return made.model_copy(update={"points": tuple(map(point, made.points))})


def with_image(result):
    """The result with a record of what was seen of images."""
    first = result.forms[0]
    seen = ImageRecord.model_validate(record(first.env_form))
    return result.model_copy(update={"forms": (first.model_copy(update={"image": seen}), *result.forms[1:])})


@pytest.fixture(autouse=True)
def nothing_leaks(browser, request):
    """After every test: nothing on the console, no address asked for but files of the page's own folder."""
    complaints(browser)
    requested(browser)
    yield
    assert complaints(browser) == []
    folders = [request.getfixturevalue(n).as_uri() for n in ("site", "reports") if n in request.fixturenames]
    # The browser's own first tab asks for its own images, at times after the test has begun.
    asked = {u for u in requested(browser) if not u.startswith("chrome://")}
    strangers = {u for u in asked if not any(u.startswith(f) for f in folders)}
    assert strangers == set()


def visible(browser) -> list[str]:
    """The ids of the rows that are shown, in their order."""
    return browser.execute_script(
        "return [...document.querySelectorAll('table.board tbody tr[id]')].filter(r => r.offsetParent).map(r => r.id)"
    )


def column(browser, key: str) -> list[str | None]:
    """A column's texts in the order shown; None where nothing was measured."""
    return browser.execute_script(
        "const table = [...document.querySelectorAll('table.board')].find(t => t.offsetParent);"
        "const i = [...table.tHead.rows[0].cells].findIndex(h => h.dataset.key === arguments[0]);"
        "return [...table.tBodies[0].rows].filter(r => r.id).map(r => r.cells[i]).map(c =>"
        " c.querySelector('.none') ? null : (c.querySelector('a') ?? c).firstChild.textContent)",
        key,
    )


def value(text: str) -> float:
    """The number that a cell shows."""
    return float(text.replace("\u2212", "-").replace("\u202f", "").replace("%", ""))


FILTER = 'section.tab:not([hidden]) [data-filter="{}"]'


def click(browser, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def type_into(browser, selector: str, value: str) -> None:
    browser.execute_script(
        "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('input', {bubbles: true}));",
        selector,
        value,
    )


def wait_for(browser, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 30).until(lambda b: b.execute_script(f"return {script}"))


@looks
def test_every_header_sorts_both_ways_with_the_unmeasured_last(browser, site, width, dark):
    look(browser, width, dark)
    browser.get((site / "index.html").as_uri())
    for key in ("heads", "gain", "removed", "rank"):
        for _ in range(2):
            click(browser, f'th[data-key="{key}"] .sort')
            direction = browser.execute_script(f"return document.querySelector('th[data-key=\"{key}\"]').ariaSort")
            values = column(browser, key)
            known = [value(v) for v in values if v is not None]
            assert known == sorted(known, reverse=direction == "descending")
            assert values[: len(known)] == [v for v in values if v is not None]
    assert browser.execute_script("return document.querySelectorAll('th[aria-sort]').length") == 1


def test_headers_work_from_the_keyboard_and_explain_themselves(browser, site):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    look(browser, 1280, False)
    browser.get((site / "index.html").as_uri())
    button = browser.find_element(By.CSS_SELECTOR, 'th[data-key="model"] .sort')
    button.send_keys(Keys.ENTER)
    names = column(browser, "model")
    assert [n.lower() for n in names] == sorted(n.lower() for n in names)
    tip = "const t = document.getElementById('tip'); return t.hidden ? '' : t.textContent"
    assert browser.execute_script(tip).startswith("The submitter")
    button.send_keys(Keys.ESCAPE)
    assert browser.execute_script(tip) == ""
    click(browser, 'th[data-key="heads"] .why')
    assert "beside it the count for other words" in browser.execute_script(tip)


@looks
def test_search_and_filters_narrow_the_table(browser, site, width, dark):
    look(browser, width, dark)
    browser.get((site / "index.html").as_uri())
    assert len(visible(browser)) == 14
    type_into(browser, FILTER.format("search"), "SYNTHETIC m0")
    assert set(visible(browser)) == {f"m0{i}~run" for i in range(10)}
    assert browser.execute_script("return document.querySelector('.count').textContent") == "10 results"
    type_into(browser, FILTER.format("family"), "lstm")
    assert set(visible(browser)) == {"m04~run", "m09~run"}
    type_into(browser, FILTER.format("search"), "no such model")
    assert visible(browser) == []
    type_into(browser, FILTER.format("search"), "")
    type_into(browser, FILTER.format("family"), "")
    type_into(browser, FILTER.format("steps"), "all")
    ready = "!document.querySelector('.count').textContent.startsWith('Reading')"
    wait_for(browser, ready)
    assert len(visible(browser)) == 14 + 9
    type_into(browser, FILTER.format("steps"), "")
    type_into(browser, FILTER.format("form"), "gloss")
    glosses = set(visible(browser))
    assert glosses
    assert all(row.endswith("~gloss") for row in glosses)
    type_into(browser, FILTER.format("form"), "token")
    assert len(visible(browser)) == 14
    type_into(browser, FILTER.format("form"), "*")
    assert len(visible(browser)) == 14 + 4 * len(glosses)


def test_what_was_chosen_is_in_the_address_and_the_page_follows_it(browser, site):
    look(browser, 1280, False)
    browser.get((site / "index.html").as_uri())
    type_into(browser, FILTER.format("search"), "m0")
    click(browser, 'th[data-key="heads"] .sort')
    address, rows = browser.current_url, visible(browser)
    browser.get("about:blank")
    browser.get(address)
    assert visible(browser) == rows
    browser.execute_script("location.hash = 'search=m11'")
    wait_for(browser, "document.querySelectorAll('table.board tbody tr[id]').length === 1")
    assert visible(browser) == ["m11~run"]


def test_the_theme_is_chosen_and_kept(browser, site):
    look(browser, 1280, False)
    browser.get((site / "index.html").as_uri())
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(paper)
    for _ in range(2):
        click(browser, "#theme")
    dark = browser.execute_script(paper)
    assert dark != light
    browser.get((site / "models" / "m11.html").as_uri())
    assert browser.execute_script(paper) == dark
    click(browser, "#theme")
    assert browser.execute_script(paper) == light


def test_paper_shows_the_table_and_no_controls(browser, site):
    look(browser, 1280, False)
    browser.get((site / "index.html").as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).length"
    assert browser.execute_script(shown, "table.board tbody tr[id]") == 14
    assert browser.execute_script(shown, ".controls, .tabs, #theme, .why, .pick") == 0
    paper = "document.documentElement.dataset.theme = 'dark'; return getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(paper) == "rgb(255, 255, 255)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@looks
def test_a_model_opens_from_its_row(browser, site, width, dark):
    look(browser, width, dark)
    browser.get((site / "index.html").as_uri())
    click(browser, 'tr[id="m11~run"] th a')
    wait_for(browser, "document.querySelector('h1')?.textContent === 'Synthetic m11'")
    text = browser.execute_script("return document.body.textContent")
    assert f"{fake_result(11, gain=5.5, n_nouns=30).gain.mean:.2f}" in text
    assert browser.execute_script("return document.querySelectorAll('svg[role=img]').length") >= 8


@looks
def test_two_models_compare_with_their_paired_difference(browser, site, width, dark):
    look(browser, width, dark)
    browser.get((site / "index.html").as_uri())
    for slug in ("m11", "m08"):
        click(browser, f'tr[id="{slug}~run"] input')
    click(browser, "#compare-link")
    wait_for(browser, "document.getElementById('compared')?.dataset.ready")
    a, b = (fake_result(i, gain=0.5 * i, n_nouns=30).gain for i in (11, 8))
    difference = np.mean([x.gain - y.gain for x, y in zip(a.by_noun, b.by_noun, strict=True)])
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#compared table')[1].rows[1].cells].map(c => c.textContent)"
    )
    assert cells[0] == "Synthetic m08"
    assert float(cells[1]) == pytest.approx(difference, abs=0.005)
    low, high = (float(v.replace("\u2212", "-")) for v in cells[2].split("\u00a0to\u00a0"))
    assert low < difference < high
    above = sum(x.gain > y.gain for x, y in zip(a.by_noun, b.by_noun, strict=True))
    assert cells[3:] == [str(above), "30"]
    marks = browser.execute_script("return document.querySelectorAll('#compared .panels .mark').length")
    assert marks == 2 * 30


def test_at_most_four_models_can_be_picked(browser, site):
    look(browser, 1280, False)
    browser.get((site / "index.html").as_uri())
    for i in range(4):
        click(browser, f'tr[id="m{i:02d}~run"] input')
    assert browser.execute_script("return document.querySelector('tr[id=\"m06~run\"] input').disabled")
    click(browser, "#compare-clear")
    assert not browser.execute_script("return document.querySelectorAll('input:checked').length")


@pytest.mark.parametrize("query", ["", "?m=", "?m=nobody~run&m=../../x", "?m=m01~run"])
def test_compare_asks_for_models_where_the_address_names_none(browser, site, query):
    look(browser, 1280, False)
    browser.get((site / "compare.html").as_uri() + query)
    wait_for(browser, "document.getElementById('state').textContent === 'Choose at least two models.'")
    assert browser.execute_script("return document.querySelectorAll('#choose select').length") == 4


def test_hostile_strings_run_nowhere(browser, site):
    look(browser, 1280, False)
    for page in ("index.html", "models/evil.html", "compare.html?m=evil~run&m=m08~run"):
        browser.get(f"{site.as_uri()}/{page}")
        if "compare" in page:
            wait_for(browser, "document.getElementById('compared')?.dataset.ready")
        assert "cracked" not in browser.title
        assert "onerror" in browser.execute_script("return document.body.textContent")
        assert browser.execute_script("return document.images.length") == 0


@looks
def test_nothing_is_wider_than_the_window(browser, site, reports, width, dark):
    look(browser, width, dark)
    pages = [site / "index.html", site / "models" / "m11.html", site / "models" / "curve.html"]
    for page in [*pages, *reports.glob("*.html")]:
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page.name


@pytest.mark.parametrize(
    ("width", "dark"),
    [LOOKS[0], *(pytest.param(*look, marks=pytest.mark.slow) for look in LOOKS[1:3])],
    ids=["light", "dark", "light-phone"],
)
def test_axe_finds_no_serious_fault(browser, site, reports, axe, width, dark):
    look(browser, width, dark)
    pages = [f"{site.as_uri()}/{p}" for p in ("index.html", "models/m11.html", "models/m04.html", "models/curve.html")]
    pages += [
        f"{site.as_uri()}/compare.html?m=m11~run&m=m08~run",
        *(p.as_uri() for p in sorted(reports.glob("*.html"))),
    ]
    found = {}
    for page in pages:
        browser.get(page)
        if "compare" in page:
            wait_for(browser, "document.getElementById('compared')?.dataset.ready")
        found[page.rsplit("/", 1)[1]] = faults(browser, axe)
    assert {k: v for k, v in found.items() if v} == {}


def test_axe_does_find_faults(browser, axe, reports):
    """The check can fail: the same page with its language and a name taken away."""
    page = (
        (reports / "run.html")
        .read_text()
        .replace('<html lang="en">', "<html>")
        .replace('role="img"', 'role="figure" tabindex="0" aria-nothing="1"')
    )
    write_text(reports / "broken.html", page)
    browser.get((reports / "broken.html").as_uri())
    found = faults(browser, axe)
    (reports / "broken.html").unlink()
    assert any(f.startswith("html-has-lang") for f in found)

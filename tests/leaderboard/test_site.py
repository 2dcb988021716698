"""The built site: complete, self-contained, hostile strings inert, strangers' faults left out and named."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import threading
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from helpers.fake_results import fake_result, fake_trajectory
from helpers.pages import Page, assert_inert
from helpers.submissions import CARD, board_at, edit, references, write_submission

from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.leaderboard import RefusedError, build_site, open_board
from groundbench.leaderboard.site.serve import server
from groundbench.results.items import read_items
from groundbench.results.run import Result

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A board of six models, one of them a trajectory, one hostile in every string, one refused."""
    root = tmp_path_factory.mktemp("board")
    board = board_at(root)
    for i, gain in enumerate((5.0, 4.9, 2.0, 0.0)):
        write_submission(board.entries, f"m{i}", i, items=i < 2, gain=gain, n_nouns=30)
    curve = write_submission(board.entries, "curve", 5)
    (curve / "run" / "result.json").unlink()
    fake_trajectory(5).save(curve / "run" / "trajectory.json")
    evil = write_submission(board.entries, "evil", 7, gain=1.5, n_nouns=30)
    (evil / "card.yaml").write_text(
        "".join(f"{k}: {json.dumps(EVIL)}\n" for k in ("model", "licence", "hardware", "submitter", "notes"))
        + "commit: abcdef1\nweights: https://example.org/weights\n"
    )
    for path in ("model.name", "model.family", "model.architecture", "model.dtype"):
        edit(evil, path, EVIL)
    edit(evil, "protocol", {EVIL: EVIL})
    edit(evil, "failures", [{"where": EVIL, "reason": EVIL}])
    refused = write_submission(board.entries, "wrong", 3)
    edit(refused, "gain.mean", 99.0)
    left_out = build_site(open_board(root, references), root / "site")
    return root / "site", left_out


def pages(site):
    return sorted(site.rglob("*.html"))


def test_what_is_refused_is_left_out_and_named(site):
    folder, left_out = site
    assert [str(e).split("/")[0] for e in left_out] == ["wrong"]
    assert not (folder / "models" / "wrong.html").exists()
    assert "wrong" not in (folder / "index.html").read_text()


def test_every_reference_stays_on_the_site_and_exists(site):
    folder, _ = site
    outward = []
    for page in pages(folder):
        found = Page(page.read_text())
        for tag, attributes in found.elements:
            for key in ("src", "href"):
                ref = attributes.get(key)
                if ref is None or ref.startswith(("#", "data:")):
                    continue
                if urlsplit(ref).scheme:
                    outward.append((tag, ref))
                    continue
                assert (page.parent / unquote(urlsplit(ref).path)).is_file(), f"{page}: {ref}"
    assert outward == [("a", "https://example.org/weights")]  # a link to follow, nothing that is loaded


def test_hostile_strings_are_inert_everywhere(site):
    folder, _ = site
    assert_inert(folder)
    assert "alert(1)" in Page((folder / "models" / "evil.html").read_text()).text


def test_the_table_says_what_the_results_say(site):
    folder, _ = site
    rows = list(csv.DictReader((folder / "board.csv").open(encoding="utf-8")))
    by_id = {r["id"]: r for r in rows}
    headlines = [r for r in rows if r["id"].count("~") == 1]
    assert len(headlines) == 6
    for i, gain in enumerate((5.0, 4.9, 2.0, 0.0)):
        result = fake_result(i, gain=gain, n_nouns=30)
        assert float(by_id[f"m{i}~run"]["gain_nats"]) == result.gain.mean
    assert by_id["m3~run"]["cut_minus_control_nats"] == ""
    assert by_id["m3~run"]["removed"] == ""
    ranks = [int(r["rank"]) for r in headlines if r["rank"]]
    assert ranks == sorted(ranks)
    assert (by_id["m3~run"]["rank"], by_id["m3~run"]["not_ranked"]) == ("", "not told from 0")
    aside = by_id["curve~run"]  # of 40 nouns, not ranked with the others' 30
    assert (aside["rank"], aside["not_ranked"]) == ("", "of other nouns")
    data = json.loads((folder / "board.json").read_text())
    assert data["units"]["gain_nats"] == "nats"
    assert {e["id"]: e["gain_nats"] for e in data["entries"]} == {r["id"]: float(r["gain_nats"]) for r in rows}
    assert {e["licence_of_weights"] for e in data["entries"]} == {"Apache-2.0", EVIL}


def rows_of(script: Path) -> list[list]:
    """The rows of a data file of the table."""
    text = script.read_text()
    found = json.loads(f"[{text[text.index('(') + 1 : -3]}]")
    return found[1] if isinstance(found[0], str) else found[0]["childworld-1"]


def test_only_the_last_checkpoint_stands_in_the_table_and_the_others_come_on_demand(site):
    folder, _ = site
    more = [row for row in rows_of(folder / "data" / "more-childworld-1.js") if row[1] == "curve"]
    assert {row[0] for row in more if row[2] == "f"} == {
        f"curve~run~{form}" for form in ("word", "gloss", "translation", "emoji")
    }
    assert sum(row[2] == "c" for row in more) == 9
    assert [row[0] for row in rows_of(folder / "data" / "board.js") if row[1] == "curve"] == ["curve~run"]
    page = (folder / "models" / "curve.html").read_text()
    for title in ("Grounding gain over training", "Held-out loss", "Heads over training", "Every checkpoint"):
        assert title in page
    assert "Every checkpoint" not in (folder / "models" / "m0.html").read_text()
    assert "Best and worst items" in (folder / "models" / "m0.html").read_text()
    assert "<!--rank:" not in page


def test_a_gain_near_nothing_keeps_its_digits(tmp_path):
    board = board_at(tmp_path)
    folder = write_submission(board.entries, "one", 1, gain=0.0, n_nouns=20)
    gain = Result.load(folder / "run").gain
    small = {"mean": 0.0038, "ci_low": 0.0014, "ci_high": 0.0064, "matched": 5.0, "mismatched": 5.0038}
    nouns = [
        n.model_copy(update={"gain": 0.0038 + d, "matched": 5.0, "mismatched": 5.0038 + d})
        for n, d in zip(gain.by_noun, [0.0057, -0.0057] * 10, strict=True)
    ]
    for key, value in (small | {"ci_nouns_low": 0.0014, "ci_nouns_high": 0.0064}).items():
        edit(folder, f"gain.{key}", value)
    edit(folder, "gain.by_noun", [n.model_dump() for n in nouns])
    edit(folder, "gain.by_category", [])
    edit(folder, "gain.same_category", None)
    assert build_site(board, tmp_path / "site") == []
    text = Page((tmp_path / "site" / "index.html").read_text()).text
    assert "0.0038" in text
    assert "0.0014\u00a0to\u00a00.0064" in text


def test_every_form_of_a_result_is_a_line_with_its_own_rank(tmp_path):
    board = board_at(tmp_path)
    for slug, seed in (("one", 1), ("two", 2)):
        write_submission(board.entries, slug, seed, items=True, gain=4.0 + seed, n_nouns=20)
    results = {e.slug: e.runs[0].last for e in board.read()}
    build_site(board, tmp_path / "site")
    rows = {r["id"]: r for r in csv.DictReader((tmp_path / "site" / "board.csv").open(encoding="utf-8"))}
    for slug, result in results.items():
        assert (rows[f"{slug}~run"]["testbed"], rows[f"{slug}~run"]["form"]) == ("childworld", "token")
        for form in result.forms[1:]:
            row = rows[f"{slug}~run~{form.env_form}"]
            assert float(row["gain_nats"]) == form.gain.mean
            assert row["form"] == form.env_form
            assert row["heads"] == ""  # measured in the headline form only
            assert (tmp_path / "site" / "data" / f"{slug}~run~{form.env_form}.js").is_file()
    page = Page((tmp_path / "site" / "models" / "one.html").read_text()).text
    assert "Where it stands" in page
    assert "Rank 2 of 2." in page


def test_a_model_page_offers_what_was_submitted(tmp_path):
    board = board_at(tmp_path)
    write_submission(board.entries, "one", 1, items=True, n_nouns=20)
    build_site(board, tmp_path / "site")
    data = tmp_path / "site" / "data"
    assert Result.load(data / "one~run.json") == fake_result(1, n_nouns=20)
    again, before = (read_items(p) for p in (data / "one~run.parquet", board.entries / "one" / "run" / "items.parquet"))
    assert np.array_equal(again.dense(), before.dense())
    shutil.rmtree(board.entries / "one")
    build_site(board, tmp_path / "site")
    assert sorted(p.name for p in data.iterdir()) == ["board.js", "index.js"]


def test_a_second_build_replaces_the_first_and_nobody_elses_files(tmp_path):
    board = board_at(tmp_path)
    folder = write_submission(board.entries, "one", 1, n_nouns=20)
    build_site(board, tmp_path / "site")
    folder.rename(board.entries / "two")
    build_site(board, tmp_path / "site")
    assert [p.name for p in (tmp_path / "site" / "models").iterdir()] == ["two.html"]
    other = tmp_path / "home"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(BadInputError, match="is not empty"):
        build_site(board, other)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]


def test_a_build_gives_the_same_bytes(tmp_path):
    board = board_at(tmp_path)
    write_submission(board.entries, "one", 1, n_nouns=20)
    for out in ("a", "b"):
        build_site(board, tmp_path / out)
    for page in sorted((tmp_path / "a").rglob("*.*")):
        if page.is_file():
            assert page.read_bytes() == (tmp_path / "b" / page.relative_to(tmp_path / "a")).read_bytes()


def test_an_empty_board_builds(tmp_path):
    assert build_site(board_at(tmp_path), tmp_path / "site") == []
    assert "No entry yet." in (tmp_path / "site" / "index.html").read_text()


def test_results_of_other_testbeds_are_not_ranked_together(tmp_path):
    board = board_at(tmp_path)
    write_submission(board.entries, "one", 1, gain=5.0, n_nouns=20)
    write_submission(board.entries, "two", 2, gain=1.0, n_nouns=20)
    for slug, form in (("one", "token"), ("two", "word")):
        path = board.entries / slug / "run" / "result.json"
        result = Result.load(path)
        result.of_form(result.headline.model_copy(update={"env_form": form})).save(path)
    build_site(board, tmp_path / "site")
    rows = csv.DictReader((tmp_path / "site" / "board.csv").open(encoding="utf-8"))
    assert [(r["rank"], r["not_ranked"]) for r in rows] == [("1", ""), ("", "of the form word")]


def raw_request(port: int, path: bytes) -> bytes:
    """The first line of the answer to a request for a path as it is."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(b"GET " + path + b" HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: s.recv(4096), b""))


def test_the_server_bears_odd_paths_and_many_visitors(site, capfd):
    folder, _ = site
    with server(folder, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            for path in (b"/%00", b"/../../etc/passwd", b"/data/", b"/models", b"/a" * 3000, b"//x", b"/%ff%fe"):
                answer = raw_request(running.server_port, path)
                assert answer[:12] in (b"HTTP/1.0 404", b"HTTP/1.0 301", b"HTTP/1.0 414"), (path[:20], answer[:60])
                assert b"root:" not in answer
            page = raw_request(running.server_port, b"/index.html")
            assert b"X-Content-Type-Options: nosniff" in page
            waiting = [socket.create_connection(("127.0.0.1", running.server_port), timeout=20) for _ in range(60)]
            for s in waiting:
                s.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            assert all(s.recv(15) == b"HTTP/1.0 200 OK" for s in waiting)
            for s in waiting:
                s.close()
        finally:
            running.shutdown()
            thread.join()
    assert "Traceback" not in capfd.readouterr().err


def test_the_server_serves_this_machine_only(site):
    folder, _ = site
    with server(folder, 0) as running:
        assert running.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{running.server_port}/index.html") as answer:
                assert answer.read() == (folder / "index.html").read_bytes()
        finally:
            running.shutdown()
            thread.join()


# The command


@pytest.fixture
def known_testbed(monkeypatch):
    monkeypatch.setattr("groundbench.leaderboard.submission.reference.installed_references", references)


def test_add_validate_build(tmp_path, capsys, known_testbed):
    run = tmp_path / "run"
    fake_result(1, n_nouns=20).save(run / "result.json")
    (tmp_path / "card.yaml").write_text(CARD.format(name="My Model 1.0"))
    board = tmp_path / "board"
    board.mkdir()
    on = ["--board", str(board)]
    assert main(["leaderboard", "add", str(run), "--card", str(tmp_path / "card.yaml"), *on]) == 0
    assert main(["leaderboard", "validate", *on]) == 0
    assert "my-model-1-0: valid, 1 run" in capsys.readouterr().out
    assert main(["leaderboard", "build", *on, "--out", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site" / "models" / "my-model-1-0.html").is_file()


def test_validate_ends_with_two_where_one_is_refused(tmp_path, capsys, known_testbed):
    board = board_at(tmp_path)
    write_submission(board.entries, "good", 1, n_nouns=20)
    edit(write_submission(board.entries, "bad", 1, n_nouns=20), "gain.mean", 99)
    assert main(["leaderboard", "validate", "--board", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "good: valid" in said.out
    assert "refused: bad/run: gain.mean is 99" in said.err
    assert main(["leaderboard", "validate", "good", "--board", str(tmp_path)]) == 0
    assert main(["leaderboard", "validate", "absent", "--board", str(tmp_path)]) == 2


def test_a_refusal_is_bad_input():
    assert RefusedError("x").exit_code == 2

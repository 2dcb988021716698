"""A card's verdict as JUnit XML and as GitHub's annotations."""

from __future__ import annotations

from xml.etree import ElementTree

from helpers.fake_models import always_yes, oracle, scene_questions

from groundbench import screen
from groundbench.export.card_checks import github_annotations, junit_xml
from groundbench.screening.policy import Policy
from groundbench.screening.screen import ScreenOptions

POLICY = Policy(max_risk=0.1, max_usual=0.5, min_questions=10)


def test_every_requirement_is_a_test_case_and_what_was_not_measured_fails() -> None:
    card = screen(always_yes(), scene_questions(), ScreenOptions(policy=POLICY, signals=("probability",)))
    suite = ElementTree.fromstring(junit_xml(card)).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    failed = {case.get("name"): case.find("failure") for case in suite.findall("testcase")}
    types = {name: None if f is None else f.get("type") for name, f in failed.items()}
    assert sorted(t for t in types.values() if t) == ["not measured", "requirement not met"]
    lines = github_annotations(card)
    assert len(lines) == 2
    assert all(line.startswith("::error title=groundbench screen ") for line in lines)
    assert not any("\n" in line for line in lines)


def test_a_card_that_passes_and_one_without_a_policy() -> None:
    options = ScreenOptions(policy=Policy(max_risk=0.1), signals=("probability",))
    card = screen(oracle(), scene_questions(), options)
    assert github_annotations(card)[0].startswith("::notice ")
    none = screen(oracle(), scene_questions(), ScreenOptions(signals=("probability",)))
    assert "no policy" in github_annotations(none)[0]
    suite = ElementTree.fromstring(junit_xml(none)).find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "0"


def test_names_and_reasons_of_any_characters_stay_inert() -> None:
    card = screen(always_yes(), scene_questions(), ScreenOptions(policy=POLICY, signals=("probability",)))
    evil = card.model.model_copy(update={"name": "a,b::c\n::error::x\x00<&>"})
    hostile = card.model_copy(update={"model": evil})
    assert all(line.count("\n") == 0 for line in github_annotations(hostile))
    assert len(github_annotations(hostile)) == 2
    ElementTree.fromstring(junit_xml(hostile))

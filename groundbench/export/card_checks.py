"""A card's verdict for pipelines: JUnit XML, which CI systems show as tests, and GitHub's annotations."""

from __future__ import annotations

from xml.etree import ElementTree

from groundbench.results.risk_card import RiskCard

SUITE = "groundbench.screen"
_NOT_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535), " ")
"""Control characters that XML 1.0 cannot hold."""


def junit_xml(card: RiskCard) -> str:
    """One test suite: a test case for each requirement of the policy; what was not measured fails like the rest."""
    checks = card.verdict.checks
    failed = [c for c in checks if not c.passed]
    suite = ElementTree.Element(
        "testsuite",
        name=SUITE,
        tests=str(len(checks)),
        failures=str(len(failed)),
        errors="0",
        skipped="0",
        time=f"{card.environment.seconds or 0:.2f}",
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"{SUITE}.{_clean_text(card.model.name)}",
            name=f"{check.name} {check.wanted}",
            time="0",
        )
        if not check.passed:
            kind = "requirement not met" if check.measured else "not measured"
            message = f"found {check.found}" if check.found is not None else kind
            failure = ElementTree.SubElement(case, "failure", type=kind, message=_clean_text(message))
            failure.text = _clean_text(check.reason)
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def github_annotations(card: RiskCard) -> list[str]:
    """Workflow commands: an error for each requirement that is not met, a notice where all are or none is made."""
    title = f"title=groundbench screen {card.model.name}"
    if card.verdict.passed is None:
        return [f"::notice {_property(title)}::no policy was given, so nothing was required"]
    failed = [c for c in card.verdict.checks if not c.passed]
    lines = [f"::error {_property(title)}::{_message(f'{c.name} {c.wanted}: {c.reason}')}" for c in failed]
    return lines or [f"::notice {_property(title)}::all {len(card.verdict.checks)} requirements are met"]


def _clean_text(text: str) -> str:
    return text.translate(_NOT_XML)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")

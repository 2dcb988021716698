"""Claims as findings: verdicts, the number in each reason, the plot; on planted runs and on the page that ships."""

from __future__ import annotations

import re

import pytest
from helpers.planted_runs import planted
from helpers.source_tree import ROOT

from groundbench.studies.paper.claims import claims_of
from groundbench.studies.paper.findings import SHOWN, findings, findings_table, markdown, number_of
from groundbench.studies.paper.image_claims import claims_on_images
from groundbench.studies.paper.verdict import Claim


def of_all_kinds() -> list[Claim]:
    return claims_of(
        [
            planted("gpt2-12l", "gpt2"),
            planted("mamba2-12l", "mamba2"),
            planted("gpt2-12l-shuffled", "gpt2", preset="gpt2-12l", shuffled=True, gain=[0, 0, 0, 0]),
            planted("lstm-4l", "groundbench_lstm", gain=[0, 0, 0, 0.4]),
        ]
    )


def test_every_verdict_has_its_number() -> None:
    claims = of_all_kinds()
    assert {c.id for c in claims} <= SHOWN.keys()
    decided = [c for c in claims if c.verdict != "not testable"]
    assert len(decided) > 10
    for claim in decided:
        number = number_of(claim)
        assert number is not None, claim
        assert number in claim.because


def test_the_number_is_the_one_that_the_criterion_is_about() -> None:
    def of(claim: str, because: str) -> str | None:
        return number_of(Claim(claim, "", "m", "", "reproduced", because))

    assert of("emerges", "G 0.00 [−0.01, 0.01] at step 0, 1.48 [1.43, 1.53] at step 2400") == "1.48 [1.43, 1.53]"
    assert of("emerges", "G 0.00 at step 0, 1.48 at step 9 (1 seed: intervals over nouns)") == "1.48"
    assert of(
        "ablation-grows", "ablated minus control 0.08 [0.02, 0.14] nats at step 4, 1.07 at step 9: −0.99 more"
    ) == ("−0.99")
    assert of(
        "architectures", "gpt2: G 1.48 [1, 2]; lstm-a: G 0.02, undecided; lstm-b: G 0.15 [0.1, 0.2], grounds"
    ) == ("0.15 [0.1, 0.2]")
    assert of("gather", "gather heads were not cut in every seed") is None


def test_models_stand_by_their_verdict_with_a_plot_that_was_drawn() -> None:
    claims = of_all_kinds()
    found = {f.claim: f for f in findings(claims, {"all-gain.svg", "mamba2-12l-surprisal.svg"})}
    assert list(found) == list(dict.fromkeys(c.claim for c in claims))
    for claim in claims:
        assert claim.model in found[claim.claim].verdicts[claim.verdict]
    plots = {f.claim: f.plot for f in found.values()}
    assert plots["A gap between matched and mismatched surprisal emerges"] == "all-gain.svg"
    assert plots["The gap grows with training"] == "mamba2-12l-surprisal.svg"
    assert plots["The lens shows the gain to appear in the middle layers"] is None
    text = markdown(list(found.values()), "plots/")
    assert text.count("**") == 2 * len(found)
    assert re.findall(r"\(plots/([\w-]+\.svg)\)", text) == [p for p in plots.values() if p]
    assert [row[0] for row in findings_table(list(found.values())).rows] == list(found)


def test_claims_on_images_are_findings_too() -> None:
    claims = claims_on_images([planted("vlm-mini", "llava")])
    assert {c.id for c in claims} <= SHOWN.keys()
    assert len(findings(claims, ())) == len({c.id for c in claims})


@pytest.mark.parametrize("part", ["findings", "findings on images"])
def test_the_page_that_ships_begins_with_findings(part: str) -> None:
    """Every verdict of the full tables that was decided is among them with a number."""
    page = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")
    inside = page.partition(f"<!-- generated: {part} -->\n")[2].partition("<!-- end -->")[0]
    blocks = [b for b in inside.split("\n\n") if b.startswith("**")]
    assert len(blocks) >= 10
    for block in blocks:
        decided = re.search(r"(?:Reproduced|[Nn]ot reproduced)\b", block)
        assert decided is None or re.search(r": .*\d", block), block
    assert page.index("generated: findings") < page.index("generated: verdicts")

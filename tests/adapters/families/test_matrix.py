"""The family matrix: a tiny random model of each family, every column against an oracle, none left out silently."""

from __future__ import annotations

import pytest
from helpers import tiny_models
from helpers.family_checks import COLUMNS, TOLERANCE, checked, refusals
from helpers.family_page import PAGE, TEST, page, row
from helpers.family_table import FAMILIES, Family
from helpers.lens_testbed import WordTestbed
from helpers.tiny_models import tiny_adapter

from groundbench.api.adapter import Capability
from groundbench.evaluation.evaluate import evaluate

CAPABILITY: dict[str, Capability] = {"cache": "prefix", "heads": "hooks", "ablation": "hooks", "lens": "hidden"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.model_type)
def test_family(family):
    found = checked(family.model_type)
    assert tuple(found) == COLUMNS
    assert {column for column, (said, _) in found.items() if said == "no"} == family.lacks
    for column, (_, error) in found.items():
        if error is not None:
            assert error < TOLERANCE[column], f"{column}: {error:.1e} from its oracle"
    assert bool(family.lacks) == bool(family.note)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.lacks], ids=lambda f: f.model_type)
def test_what_is_missing_is_refused_by_name(family):
    adapter = tiny_adapter(family.model_type)
    for column in family.lacks & CAPABILITY.keys():
        assert adapter.info.why_not(CAPABILITY[column])
    for sentence in refusals(adapter, family.lacks):
        assert family.model_type in sentence


@pytest.mark.parametrize("model_type", ["mamba", "rwkv", "groundbench_lstm"])
def test_without_heads_behaviour_is_measured_and_the_rest_is_null(model_type):
    result = evaluate(tiny_adapter(model_type), WordTestbed(), measures=("gain", "heads", "ablation"))
    assert result.gain.mean is not None
    assert (result.heads, result.ablations) == ((), ())
    assert [f.where for f in result.failures] == ["heads", "ablation"]
    assert all(f.reason.startswith(f"{model_type}: ") for f in result.failures)


def rows_of_the_page() -> dict[str, str]:
    """Each row of docs/families.md by its model type."""
    lines = PAGE.read_text(encoding="utf-8").split("## Vision-language models")[0].splitlines()
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def test_every_family_is_on_the_page_with_its_test(request):
    rows = rows_of_the_page()
    assert list(rows) == [f.model_type for f in FAMILIES]
    collected = {item.nodeid for item in request.session.items}
    for model_type, line in rows.items():
        test = line.split("`")[-2]
        assert test == f"{TEST}[{model_type}]"
        # Where the whole file runs, the id on the page is that of a test in it.
        assert test in collected or f"{TEST}[{FAMILIES[0].model_type}]" not in collected


@pytest.mark.parametrize("model_type", ["gpt2", "gptj", "mamba2", "rwkv", "groundbench_lstm"])
def test_the_page_is_what_the_generator_gives(model_type):
    (family,) = (f for f in FAMILIES if f.model_type == model_type)
    assert rows_of_the_page()[model_type] == row(family)
    assert PAGE.read_text(encoding="utf-8").startswith(page(families=()).rstrip("\n"))


def test_every_tiny_family_has_a_row():
    assert set(tiny_models.FAMILIES) == {f.model_type for f in FAMILIES}


def test_a_family_that_does_not_do_what_its_row_says_gets_no_row():
    with pytest.raises(AssertionError, match="rwkv, heads: found no"):
        row(Family("rwkv", "", "", frozenset({"cache", "ablation", "sweep"})))

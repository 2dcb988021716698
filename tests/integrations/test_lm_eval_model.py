"""`--model groundbench` against lm-eval's own backend, and the full tasks against `groundbench.evaluate`."""

from __future__ import annotations

import logging
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import pytest
import torch

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
huggingface = pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval's hf backend is not installed")

from helpers import tiny_backends as tiny  # noqa: E402
from helpers.loading_models import write_model  # noqa: E402
from helpers.loopback_hub import asked_by  # noqa: E402
from helpers.tolerances import nats  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

import groundbench  # noqa: E402
from groundbench.api.errors import BadInputError, UnsupportedModelError  # noqa: E402
from groundbench.integrations.lm_eval.model import GroundbenchLM  # noqa: E402
from groundbench.measures.ablation.options import AblationOptions  # noqa: E402
from groundbench.registry import load_testbed  # noqa: E402

logging.getLogger("lm_eval").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def theirs():
    return huggingface.HFLM(pretrained=tiny.gpt2(), tokenizer=tiny.english(), batch_size=8, device="cpu")


@pytest.fixture(scope="module")
def ours():
    return GroundbenchLM(tiny.adapter())


def requests(pairs):
    return [Instance("loglikelihood", {}, pair, i, metadata=("any", i, 1)) for i, pair in enumerate(pairs)]


PAIRS = [
    ("The girl looks at the", " cup"),
    ("The girl looks at the", " necklace of the giraffe"),
    ("The girl looks at the", " cup"),
    ("Mother: What do you think of that", " dog and the cat"),
    ("Mother: What do you think of that ", "dog"),
    ("x", "y z"),
    ("", "The girl looks at the cup"),
]


def test_log_likelihoods_are_those_of_lm_evals_backend(ours, theirs):
    for (a, greedy_a), (b, greedy_b), pair in zip(
        ours.loglikelihood(requests(PAIRS)),
        theirs.loglikelihood(requests(PAIRS), disable_tqdm=True),
        PAIRS,
        strict=True,
    ):
        assert a == nats(b, depth=64), pair
        assert greedy_a == greedy_b, pair


def test_greedy_continuations_are_known_for_such(ours, theirs):
    """The model's own continuations are greedy, of one and of several tokens; with another word they are not."""
    tokenizer, model = tiny.english(), tiny.gpt2()
    pairs = []
    for context in ("The girl looks at the", "Mother: Oh, you mean the"):
        ids = tokenizer(context, return_tensors="pt")["input_ids"]
        for length in (1, 3):
            written = model.generate(ids, max_new_tokens=length, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
            text = tokenizer.decode(written)
            if tokenizer(context + text)["input_ids"] == ids[0].tolist() + written.tolist():
                pairs += [(context, text), (context, text + " cup")]
    assert pairs
    answers = ours.loglikelihood(requests(pairs))
    assert [g for _, g in answers] == [g for _, g in theirs.loglikelihood(requests(pairs), disable_tqdm=True)]
    assert {g for _, g in answers} == {True, False}


def test_a_context_runs_once_whatever_is_asked_after_it(ours, monkeypatch):
    rows = []
    for name in ("prefill", "forward"):
        original = getattr(tiny.adapter(), name)

        def counted(batch, *args, _original=original, **more):
            rows.extend(r.ids for r in batch if len(r) > 12)
            return _original(batch, *args, **more)

        monkeypatch.setattr(tiny.adapter(), name, counted)
    bed = load_testbed("ladder")
    form = bed.form("word")
    texts = [bed.prompt(bed.frames(form)[0], n, form).text for n in bed.nouns[:6]]
    ours.loglikelihood(requests([(t, f" {n.word}") for t in texts for n in bed.nouns]))
    contexts = {r for r in rows if tiny.english().decode(r) in texts}
    assert len(contexts) == 6
    assert len([r for r in rows if r in contexts]) == 6


def test_text_that_the_model_cannot_hold_is_refused_and_never_cut(ours):
    with pytest.raises(BadInputError, match=r"task any, document 0.*nothing is truncated"):
        ours.loglikelihood(requests([("the cup " * 200, "dog")]))


def test_what_it_does_not_do_is_refused_in_one_sentence(ours):
    with pytest.raises(UnsupportedModelError, match="generated text; --model groundbench gives log-likelihoods only"):
        ours.generate_until(requests([("a", {})]))
    with pytest.raises(UnsupportedModelError, match="rolling log-likelihoods"):
        ours.loglikelihood_rolling(requests([("a",)]))
    with pytest.raises(BadInputError, match="no chat template"):
        ours.apply_chat_template([])


def test_lm_eval_finds_it_by_name_and_opens_a_folder(tmp_path):
    lm = get_model("groundbench").create_from_arg_string(
        f"pretrained={tiny.save_gpt2(tmp_path)},dtype=float32", {"batch_size": 4, "device": "cuda:0"}
    )
    assert isinstance(lm, GroundbenchLM)
    assert lm.get_model_info()["model_num_parameters"] == tiny.adapter().info.parameters
    assert lm.adapter.info.bos == "none"
    forced = get_model("groundbench").create_from_arg_string(f"pretrained={tmp_path},add_bos_token=True", {})
    assert forced.adapter.info.bos == "added"


@pytest.mark.parametrize("where", ["revision=2024,subfolder=part", "revision='2024',subfolder=part", "subfolder=part"])
def test_a_revision_and_a_folder_of_the_hub_are_opened_as_run_opens_them(where, tmp_path, monkeypatch):
    """lm-eval reads a revision of digits as a number; the model is that of the commit it names, as plainly computed."""
    plainly = {}
    with asked_by(monkeypatch, tmp_path / "cache") as hub:
        for seed, revision in enumerate(("2024", "main")):
            folder = tmp_path / revision
            model = write_model(folder / "part", seed=seed)
            hub.push("org/tiny", folder, revision)
            tokens = AutoTokenizer.from_pretrained(folder / "part")("w3 w7 w20", return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = model(tokens).logits[0].double().log_softmax(-1)
            plainly[revision] = float(logits[-2, tokens[0, -1]])
        lm = get_model("groundbench").create_from_arg_string(f"pretrained=org/tiny,{where}", {"device": "cpu"})
        asked = "2024" if "2024" in where else "main"
        ((answer, _),) = lm.loglikelihood(requests([("w3 w7", " w20")]))
    assert answer == nats(plainly[asked], depth=64)
    assert lm.adapter.info.name == ("org/tiny@2024:part" if asked == "2024" else "org/tiny:part")
    assert plainly["2024"] != nats(plainly["main"], depth=64)


# Short prompts: in a random model some heads then pass for aggregate heads, so that there is something to cut.
OWN = """\
name: own
version: "1"
natural_language: true
frame_kind: shared
nouns: [cup, dog, cow, bed, car, pig, cat, ear]
forms: {word: {template: "{noun}"}}
frames: {f1: "the {env} , my", f2: "a {env} ! the", f3: "my {env} . that", f4: "one {env} , this"}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own.yaml"
    path.write_text(OWN)
    return str(path)


@pytest.fixture(scope="module")
def full(ours, own):
    """A full task on a testbed of the user's, put in by metadata."""
    manager = tiny.our_tasks(testbed=own, env_form="word", hash=None, draws=3)
    return lm_eval.simple_evaluate(model=ours, tasks=["groundbench_full_word"], task_manager=manager)


@pytest.fixture(scope="module")
def direct(own):
    return groundbench.evaluate(
        tiny.adapter(),
        own,
        measures=["gain", "heads", "ablation"],
        ablation=AblationOptions(draws=3, selections=("crossfit",), controls=("layer",)),
    )


def test_full_tasks_give_the_numbers_of_a_run(full, direct):
    found = full["results"]["groundbench_full_word"]
    heads, cut = direct.heads[0], direct.ablations[0]
    assert cut.ablated is not None, "a head was to be cut, or the test tests nothing"
    assert heads.mean_count > 0
    for name, value in {
        "grounding_gain": direct.gain.mean,
        "same_category_gain": direct.gain.same_category,
        "matched_surprisal": direct.gain.matched,
        "mismatched_surprisal": direct.gain.mismatched,
        "aggregate_heads": heads.mean_count,
        "aggregate_heads_null": heads.null_count,
        "ablation_surprisal_delta": cut.ablated - cut.original,
        "ablation_gain_delta": cut.gain_ablated - cut.gain_original,
        "control_surprisal_delta": cut.control_mean - cut.original,
        "control_gain_delta": cut.gain_control - cut.gain_original,
    }.items():
        assert found[f"{name},none"] == pytest.approx(value, abs=1e-6), name
        assert isinstance(found[f"{name}_stderr,none"], float)


def test_full_samples_are_items(full):
    samples = full["samples"]["groundbench_full_word"]
    assert len({(s["doc"]["noun"], s["doc"]["frame"]) for s in samples}) == 32
    assert all(float(s["aggregate_heads"]).is_integer() for s in samples)


def test_a_model_without_heads_has_no_head_metrics(tmp_path):
    lm = GroundbenchLM(str(tiny.save_lstm(tmp_path)))
    run = lm_eval.simple_evaluate(
        model=lm, tasks=["groundbench_full_childworld_token"], task_manager=tiny.our_tasks(limit_nouns=4)
    )
    found = run["results"]["groundbench_full_childworld_token"]
    assert "grounding_gain,none" in found
    assert not [k for k in found if "heads" in k or "delta" in k]


def test_the_entry_point_names_the_model(root):
    """The entry point is the one that lm-eval's main branch reads."""
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["lm_eval.models"]
    assert EntryPoint("groundbench", declared["groundbench"], "lm_eval.models").load() is GroundbenchLM


def test_lm_evals_own_models_are_still_found_beside_ours() -> None:
    """In a process of its own: here something else has imported them already."""
    code = (
        "import groundbench.integrations.lm_eval.model\n"
        "from lm_eval.api.registry import get_model\n"
        "print(get_model('groundbench').__name__, get_model('hf').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "GroundbenchLM HFLM\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("pretrained=nowhere,dtyp=float32", "unknown option of loading 'dtyp'.*did you mean 'dtype'"),
        ("pretrained=nowhere,foo=3", "unknown option of loading 'foo': expected one of .*trust_remote_code"),
        ("pretrained=nowhere,batch_tokens=many", "batch_tokens='many': expected a whole number"),
        ("pretrained=org/tiny,revision=1e5", "revision=100000.0: expected text; put it in quotation marks"),
        ("pretrained=org/tiny,subfolder=True", "subfolder=True: expected text"),
        ("dtype=float32", "lacks pretrained=MODEL"),
    ],
)
def test_arguments_that_no_adapter_knows(arguments, said):
    with pytest.raises(BadInputError, match=said):
        GroundbenchLM.create_from_arg_string(arguments)

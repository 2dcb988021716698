"""Models of a hub (one on the loopback address): whatever the cache holds, the numbers are those of all its files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loading_models import write_model
from helpers.loopback_hub import LoopbackHub
from huggingface_hub import constants, hf_hub_download, snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer

from groundbench.adapters.loading.hub import HubId, parse_hub_id
from groundbench.adapters.loading.source import names_object
from groundbench.api.adapter import Encoded
from groundbench.api.errors import BadInputError
from groundbench.registry import open_model

REPO = "org/tiny"
WORDS = "w3 w7 w7 w20 w41"


def ours(adapter: Any) -> torch.Tensor:
    ids = tuple(adapter.tokenizer(WORDS, add_special_tokens=False)["input_ids"])
    return adapter.forward([Encoded(ids)]).logits[0]


def plain(folder: Path) -> torch.Tensor:
    """The last position's logits as transformers alone computes them from a folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(WORDS, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        return model(input_ids=tokens["input_ids"]).logits[0, -1]


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_an_empty_cache_is_filled(hub: LoopbackHub, folder: Path) -> None:
    commit = hub.push(REPO, folder)
    adapter = open_model(REPO)
    same(ours(adapter), plain(folder))
    assert (adapter.info.name, adapter.info.fingerprint) == (REPO, f"hub:{commit[:16]}")
    assert adapter.tokenizer.chat_template


@pytest.mark.parametrize(
    "there",
    [(), ("tokenizer.json",), ("config.json", "tokenizer.json"), ("model.safetensors",), ("chat_template.jinja",)],
)
def test_a_partial_cache_is_completed(hub: LoopbackHub, folder: Path, there: tuple[str, ...]) -> None:
    hub.push(REPO, folder)
    for name in there:
        hf_hub_download(REPO, name)
    adapter = open_model(REPO, chat=True)
    same(ours(adapter), plain(folder))
    wanted = AutoTokenizer.from_pretrained(folder)
    assert adapter.tokenizer.get_vocab() == wanted.get_vocab()
    assert adapter.tokenizer.chat_template == wanted.chat_template


@pytest.mark.parametrize("there", [("tokenizer.json", "config.json", "model.safetensors"), ("config.json",)])
def test_a_partial_cache_is_refused_offline(
    hub: LoopbackHub, folder: Path, there: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(REPO, folder)
    for name in there:
        hf_hub_download(REPO, name)
    offline(monkeypatch)
    with pytest.raises(BadInputError, match=r"org/tiny: the cache holds a part .* TRANSFORMERS_OFFLINE forbids"):
        open_model(REPO)


def test_a_cache_without_weights_is_refused_offline(
    hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(REPO, folder)
    snapshot_download(REPO, ignore_patterns=["*.safetensors"])
    offline(monkeypatch)
    with pytest.raises(BadInputError, match="org/tiny: the cache holds a part of the repository only"):
        open_model(REPO)


@pytest.mark.parametrize("filled_by", ["groundbench", "transformers", "snapshot_download", "an older download"])
def test_a_whole_cache_opens_offline_without_a_request(
    hub: LoopbackHub, folder: Path, filled_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(REPO, folder)
    if filled_by == "groundbench":
        open_model(REPO)
    elif filled_by == "transformers":
        AutoModelForCausalLM.from_pretrained(REPO)
        AutoTokenizer.from_pretrained(REPO)
    else:
        snapshot_download(REPO)
    if filled_by == "an older download":  # older versions of huggingface_hub kept no listing
        shutil.rmtree(tmp_path / "cache" / "models--org--tiny" / "trees")
    offline(monkeypatch)
    hub.log.clear()
    same(ours(open_model(REPO)), plain(folder))
    assert not hub.log


def test_the_hub_is_asked_for_what_is_new(hub: LoopbackHub, folder: Path, tmp_path: Path) -> None:
    hub.push(REPO, folder)
    first = open_model(REPO)
    write_model(tmp_path / "new", seed=1)
    hub.push(REPO, tmp_path / "new")
    second = open_model(REPO)
    same(ours(second), plain(tmp_path / "new"))
    assert first.info.fingerprint != second.info.fingerprint


def test_a_hub_that_cannot_be_reached(hub: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.push(REPO, folder)
    open_model(REPO)
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")
    same(ours(open_model(REPO)), plain(folder))
    with pytest.raises(BadInputError, match="org/other: the repository is not in the local cache, and the hub cannot"):
        open_model("org/other")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("org/nothing", {}, "org/nothing: the hub has no such repository, or it is private"),
        ("org/gated", {}, "org/gated: the repository is gated: ask for access"),
        ("org/tiny@step9", {}, "org/tiny@step9: the repository has no revision 'step9'"),
        (REPO, {"revision": "step9"}, "org/tiny@step9: the repository has no revision 'step9'"),
        ("org/tiny@main", {"revision": "step9"}, "its revision is given twice, as 'main' and as 'step9'"),
        (REPO, {"subfolder": "none"}, r"the repository has no folder 'none' \(it has part\)"),
        (REPO, {"subfolder": "part"}, r"a repository without config.json is no model \(found notes.txt\)"),
        (REPO, {"subfolder": "../x"}, "leads out of the repository"),
        ("org/weightless", {}, "org/weightless: no weights; expected model.safetensors or pytorch_model.bin"),
        ("org/-bad-", {}, "org/-bad-: .*expected a hub id"),
    ],
)
def test_refused_in_one_sentence(
    hub: LoopbackHub, folder: Path, model: str, options: dict[str, str], said: str
) -> None:
    hub.push("org/gated", folder, gated=True)
    (folder / "part").mkdir()
    (folder / "part" / "notes.txt").write_text("nothing")
    hub.push(REPO, folder)
    (folder / "model.safetensors").unlink()
    hub.push("org/weightless", folder)
    with pytest.raises(BadInputError, match=said) as refusal:
        open_model(model, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "command",
    [("run",), ("screen",), ("models", "check"), ("flow", "--out", "nowhere"), ("run", "--dry-run")],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--revision", "step9"), "org/tiny@step9: the repository has no revision 'step9'"),
        (("--subfolder", "none"), "org/tiny:none: the repository has no folder 'none'"),
        ((), "org/tiny: no weights"),
    ],
)
def test_every_command_takes_revision_and_subfolder(
    hub: LoopbackHub, folder: Path, command: tuple[str, ...], options: tuple[str, ...], said: str, say: Any
) -> None:
    (folder / "model.safetensors").unlink()
    hub.push(REPO, folder)
    code, out, err = say(*command, REPO, *options)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_nothing_is_cached_and_the_network_is_forbidden(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(BadInputError, match=r"not in the local cache, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE"):
        open_model(REPO)
    assert not hub.log


def test_revisions_and_subfolders(hub: LoopbackHub, tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        write_model(tmp_path / "repo" / name, seed=seed)
    hub.push(REPO, tmp_path / "repo", "first")
    write_model(tmp_path / "repo" / "a", seed=7)
    hub.push(REPO, tmp_path / "repo", "refs/pr/1")
    opened = {
        "first a": open_model(f"{REPO}@first:a"),
        "first b": open_model(REPO, revision="first", subfolder="b"),
        "pr a": open_model(f"{REPO}:a", revision="refs/pr/1"),
    }
    same(ours(opened["pr a"]), plain(tmp_path / "repo" / "a"))
    same(ours(opened["first b"]), plain(tmp_path / "repo" / "b"))
    assert len({a.info.fingerprint for a in opened.values()}) == len({a.info.name for a in opened.values()}) == 3


def test_folders_have_subfolders_and_no_revisions(tmp_path: Path) -> None:
    write_model(tmp_path / "repo" / "a")
    same(ours(open_model(str(tmp_path / "repo"), subfolder="a")), plain(tmp_path / "repo" / "a"))
    with pytest.raises(BadInputError, match="a folder has no revision, but 'main' was given; expected a hub id"):
        open_model(str(tmp_path / "repo" / "a"), revision="main")
    with pytest.raises(BadInputError, match="it has no folder 'b'"):
        open_model(str(tmp_path / "repo"), subfolder="b")


def test_shards_and_pickles(hub: LoopbackHub, tmp_path: Path) -> None:
    model = write_model(tmp_path / "shards")
    (tmp_path / "shards" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    hub.push("org/shards", tmp_path / "shards")
    write_model(tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    hub.push("org/bin", tmp_path / "bin")
    same(ours(open_model("org/shards")), plain(tmp_path / "shards"))
    same(ours(open_model("org/bin")), plain(tmp_path / "shards"))


def test_other_files_are_left_on_the_hub(hub: LoopbackHub, folder: Path) -> None:
    for name in ("flax_model.msgpack", "pytorch_model.bin", "other.safetensors"):
        (folder / name).write_bytes(b"not asked for")
    hub.push(REPO, folder)
    open_model(REPO)
    fetched = {line.rpartition("/")[2] for line in hub.log if "/resolve/" in line}
    assert "model.safetensors" in fetched
    assert not fetched & {"flax_model.msgpack", "pytorch_model.bin", "other.safetensors"}


CODE = """\
from transformers import LlamaConfig, LlamaForCausalLM
from .settings import FACTOR
class MyConfig(LlamaConfig):
    model_type = "mine"
class MyForCausalLM(LlamaForCausalLM):
    config_class = MyConfig
    def forward(self, *args, **kwargs):
        found = super().forward(*args, **kwargs)
        found.logits = found.logits * FACTOR
        return found
"""


def test_code_on_the_hub_runs_only_if_trusted(hub: LoopbackHub, folder: Path) -> None:
    wanted = plain(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "architectures": ["MyForCausalLM"]}
    config["auto_map"] = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyForCausalLM"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(CODE)
    (folder / "settings.py").write_text("FACTOR = 3\n")
    hub.push(REPO, folder)
    with pytest.raises(BadInputError, match="pass --trust-remote-code if you trust it"):
        open_model(REPO)
    trusted = open_model(REPO, trust_remote_code=True)
    same(ours(trusted), 3 * wanted)
    assert set(trusted.info.identity["code"]) == {"mine.py", "settings.py"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpt2", HubId("gpt2")),
        ("org/name", HubId("org/name")),
        ("org/name@refs/pr/3", HubId("org/name", "refs/pr/3")),
        ("org/name@v1:a/b", HubId("org/name", "v1", "a/b")),
        ("org/name:a", HubId("org/name", None, "a")),
        ("a/b/c", None),
        ("org/na me", None),
        ("", None),
    ],
)
def test_hub_ids(text: str, found: HubId | None) -> None:
    assert parse_hub_id(text) == found
    assert found is None or str(found) == text
    assert not names_object(text)


@pytest.mark.parametrize(("said", "off"), [("1", True), ("TRUE", True), ("0", False), ("false", False), ("no", False)])
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_variables_are_read_as_the_hub_reads_them(said: str, off: bool, variable: str) -> None:
    program = "from groundbench.adapters.loading.hub import network_allowed; print(network_allowed())"
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_OFFLINE")} | {variable: said}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(not off)

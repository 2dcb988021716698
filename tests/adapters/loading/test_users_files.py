"""Damaged and foreign files: a model opens as it should, or one BadInputError names the file."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from groundbench.adapters.loading import users_files
from groundbench.adapters.loading.source import Source, locate
from groundbench.api.errors import BadInputError
from groundbench.api.testbed import EnvSegment, Prompt, TextSegment
from groundbench.registry import open_model

WORDS = ["?", "<s>", "</s>", "there", "is", "the", "ball", "doll", ".", "look", ","]
PROMPT = Prompt("f", "ball", "word", (TextSegment("there is the "), EnvSegment("ball"), TextSegment(" . look , the")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole model of one layer."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, bos_token_id=1
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?", bos_token="<s>").save_pretrained(folder)
    return folder


def copied(whole: Path, to: Path) -> Path:
    shutil.copytree(whole, to)
    return to


def logits(folder: Path | str, **options: Any) -> torch.Tensor:
    adapter = open_model(str(folder), **options)
    return adapter.forward(adapter.encode([PROMPT])).logits


def refusal(folder: Path | str, **options: Any) -> str | None:
    """The sentence of the refusal; None for a model that opens and reads a prompt. Any other error is not caught."""
    try:
        logits(folder, **options)
    except BadInputError as error:
        return str(error)
    return None


def said_of(folder: Path | str, *words: str, **options: Any) -> None:
    """The model is refused in one line that holds these words."""
    said = refusal(folder, **options)
    assert said is not None
    assert "\n" not in said
    assert [word for word in words if word not in said] == [], said


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda data, draw: b"",
    "git-lfs": lambda data, draw: users_files.POINTER + b"v1\noid sha256:0\nsize 5\n",
    "cut": lambda data, draw: data[: draw.randrange(1, len(data) - 1)],
    "noise": lambda data, draw: draw.randbytes(64),
    "a page": lambda data, draw: b"<!DOCTYPE html><html><body>404</body></html>",
    "a list": lambda data, draw: b"[1, 2]",
    "not UTF-8": lambda data, draw: b'{"a": "\xff\xfe"}',
    "no object": lambda data, draw: b"null",
}


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(whole: Path, tmp_path: Path, file: str, damage: str) -> None:
    folder = copied(whole, tmp_path / "m")
    found = set()
    for seed in range(3):
        data = DAMAGES[damage]((whole / file).read_bytes(), random.Random(seed))
        (folder / file).write_bytes(data)
        found.add(refusal(folder))
    assert all(said is not None and str(folder / file) in said for said in found), found


def test_a_pointer_of_git_lfs_says_how_to_get_the_file(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path / "m")
    (folder / "model.safetensors").write_bytes(DAMAGES["git-lfs"](b"", random.Random()))
    said_of(folder, "git lfs pull")


VALUES = ["x", "8", 0, -1, 1.5, [], [3], {}, {"a": 1}, True, None, 10**9]


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_any_value_of_any_key_opens_or_is_refused(whole: Path, tmp_path: Path, file: str) -> None:
    """No type and no number in a user's JSON ends in anything but a sentence; memory is never asked for in bulk."""
    folder = copied(whole, tmp_path / "m")
    right = json.loads((whole / file).read_text())
    sizes = {k for k in right if "size" in k or "num" in k or "dim" in k or "positions" in k}
    draw, refused = random.Random(0), 0
    for key in right:
        for value in draw.sample(VALUES, 4):
            if value == 10**9 and key in sizes:
                continue
            (folder / file).write_text(json.dumps({**right, key: value}))
            said = refusal(folder)
            refused += said is not None
            assert said is None or folder.name in said
    assert refused > 3


@pytest.mark.parametrize("value", [0, -2, "8"])
@pytest.mark.parametrize("key", ["num_attention_heads", "hidden_size", "vocab_size", "intermediate_size"])
def test_an_impossible_size_is_named_with_its_key(whole: Path, tmp_path: Path, key: str, value: int | str) -> None:
    folder = copied(whole, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    said_of(folder, str(folder / "config.json"), key)


class Stranger:
    """An object that a pickle may hold."""


@pytest.mark.parametrize("make", [dict, lambda: {"args": Path("x")}, lambda: {"args": Stranger()}])
def test_a_pickle_with_objects_is_not_run(whole: Path, tmp_path: Path, make: Callable[[], dict[str, Any]]) -> None:
    folder = copied(whole, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, **make()}, folder / "pytorch_model.bin")
    if make():
        said_of(folder, "pytorch_model.bin: holds Python objects")
    else:
        torch.testing.assert_close(logits(folder), logits(whole))


def test_weights_of_torch_beside_other_tensors(whole: Path, tmp_path: Path) -> None:
    """A file beside pytorch_model.bin is not taken for the weights."""
    folder = copied(whole, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    save_file({"step": torch.zeros(1)}, folder / "optimizer.safetensors")
    torch.testing.assert_close(logits(folder), logits(whole))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(whole: Path, tmp_path: Path, value: float) -> None:
    folder = copied(whole, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"][0, 0] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    said_of(folder, "model.layers.0.mlp.down_proj.weight", "NaN or infinite")


CONFIGURATION = "from transformers import LlamaConfig\nclass MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
MODELLING = """\
from transformers import LlamaForCausalLM
from .configuration_mine import MyConfig
{imports}
class Mine(LlamaForCausalLM):
    config_class = MyConfig
    def forward(self, input_ids=None, attention_mask=None, labels=None):
        {body}
"""


def with_code(whole: Path, folder: Path, body: str, imports: str = "") -> Path:
    copied(whole, folder)
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "configuration_mine.MyConfig", "AutoModelForCausalLM": "modeling_mine.Mine"}
    config |= {"model_type": "mine", "architectures": ["Mine"], "auto_map": names}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_mine.py").write_text(CONFIGURATION)
    (folder / "modeling_mine.py").write_text(MODELLING.format(body=body, imports=imports))
    return folder


def test_code_with_few_keywords(whole: Path, tmp_path: Path) -> None:
    folder = with_code(whole, tmp_path / "few", "return super().forward(input_ids=input_ids)")
    torch.testing.assert_close(logits(folder, trust_remote_code=True), logits(whole))
    assert "--trust-remote-code" in str(refusal(folder))


@pytest.mark.parametrize(
    ("body", "imports", "words"),
    [
        ("return 1 / 0", "", ("modeling_mine.py, line 7", "ZeroDivisionError")),
        ("return self.nothing", "", ("modeling_mine.py, line 7", "nothing")),
        ("return (1, 2)", "", ("tuple", "logits")),
        ("return None", "import not_a_package_at_all", ("not_a_package_at_all",)),
        ("return (", "", ("modeling_mine.py",)),
    ],
)
def test_faults_of_code_beside_the_weights(
    whole: Path, tmp_path: Path, body: str, imports: str, words: tuple[str, ...]
) -> None:
    folder = with_code(whole, tmp_path / f"code{abs(hash((body, imports)))}", body, imports)
    said_of(folder, *words, trust_remote_code=True)


@pytest.mark.parametrize("name", ["a.gguf", "B.GGUF", "c.Gguf"])
@pytest.mark.parametrize("data", [b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\x01" * 30, b"ggml", b""])
def test_a_broken_gguf_file(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    said_of(tmp_path / name, str(tmp_path / name))


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("https://huggingface.co/org/name", "org/name"),
        ("http://huggingface.co/org/name/tree/main?x=1#y", "org/name"),
        ("https://huggingface.co/gpt2", "a hub id"),
    ],
)
def test_an_address_is_answered_with_the_id(address: str, instead: str) -> None:
    said_of(address, f"{address}: an address on the web is no model; expected", f" {instead}")


def test_names_tell_checkpoints_apart(whole: Path, tmp_path: Path) -> None:
    for path, name in {
        "run-a/checkpoint-500": "run-a/checkpoint-500",
        "run-b/checkpoint-500": "run-b/checkpoint-500",
        "run-b/final": "run-b/final",
        "tiny/seed-1/step-000010": "tiny/seed-1/step-000010",
        "hub/models--org--name/snapshots/0123456789abcdef": "org/name@0123456",
        "hub/models--gpt2/snapshots/fedcba9876543210": "gpt2@fedcba9",
        "my-model": "my-model",
    }.items():
        folder = tmp_path / path
        folder.parent.mkdir(parents=True, exist_ok=True)
        assert locate(str(copied(whole, folder))).name == name


def test_errors_of_our_own_stay_errors(tmp_path: Path) -> None:
    """Only what others raise is told as a fault of the files; memory that runs out is nobody's."""
    source = Source("m", tmp_path)
    with pytest.raises(MemoryError), users_files.opening(source, "config.json"):
        raise MemoryError
    ours: dict[str, Any] = {"__name__": "groundbench.engine.made_up"}
    exec("def wrong(): return {}['x']", ours)
    with pytest.raises(KeyError), users_files.opening(source, "config.json"):
        ours["wrong"]()
    theirs: dict[str, Any] = {"__name__": "transformers.made_up"}
    exec("def wrong(): return {}['x']", theirs)
    with pytest.raises(BadInputError, match="KeyError"), users_files.opening(source, "config.json"):
        theirs["wrong"]()

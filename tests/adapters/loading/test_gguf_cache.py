"""A GGUF file is converted once: what is opened from the cache is the same, and nothing broken is trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gguf")

from helpers.tiny_gguf import write_gguf
from helpers.tolerances import DEPTH, nats

from groundbench.adapters.loading import gguf_cache
from groundbench.adapters.loading import load as loading
from groundbench.registry import open_model
from groundbench.util import notices
from groundbench.util.cache_folder import cache_folder, entries


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROUNDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(notices, "_told", set())
    return write_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a .gguf file itself is read for its weights."""
    seen: list[str] = []
    original = loading.from_pretrained

    def counted(loader, source, folder=None, **more):
        if "gguf_file" in more and "config" in more:
            seen.append(more["gguf_file"])
        return original(loader, source, folder, **more)

    monkeypatch.setattr(loading, "from_pretrained", counted)
    return seen


def without_cache(file: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(loading, "with_plain_weights", lambda source, options: source)
        return open_model(str(file))


def test_a_file_is_read_once_and_gives_the_same_model(file: Path, reads: list[str], monkeypatch) -> None:
    plain = without_cache(file, monkeypatch)
    reads.clear()
    first, second = open_model(str(file)), open_model(str(file))
    assert reads == ["tiny.gguf"]
    for found in (first, second):
        assert found.info == plain.info  # name, fingerprints, whole config, abilities, notes
        rows = found.encode_targets([" dog"], _prompt())
        assert rows == plain.encode_targets([" dog"], _prompt())
        for name, tensor in plain.model.state_dict().items():
            assert torch.equal(found.model.state_dict()[name], tensor), name
        ids = torch.tensor([[5, 9, 70, 3]])
        with torch.no_grad():
            assert torch.equal(found.model(ids).logits, plain.model(ids).logits)


def _prompt():
    from groundbench.registry import load_testbed

    bed = load_testbed("ladder")
    form = bed.form("word")
    return bed.prompt(bed.frames(form)[0], bed.nouns_of(form)[0], form)


def test_the_name_of_the_file_is_not_part_of_its_key(file: Path, reads: list[str]) -> None:
    open_model(str(file))
    moved = file.rename(file.with_name("other.gguf"))
    assert open_model(str(moved)).info.name == "other"
    assert reads == ["tiny.gguf"]


def test_another_file_dtype_or_library_is_another_entry(file: Path, reads: list[str], monkeypatch) -> None:
    a = open_model(str(file)).model.state_dict()
    write_gguf(file, seed=1)  # the same path
    b = open_model(str(file)).model.state_dict()
    assert not torch.equal(a["model.embed_tokens.weight"], b["model.embed_tokens.weight"])
    assert open_model(str(file), dtype="bfloat16").model.dtype == torch.bfloat16
    monkeypatch.setattr(gguf_cache, "installed_versions", lambda names: {"transformers": "0"})
    open_model(str(file))
    assert len(reads) == 4
    assert len(entries()) == 4


def _entry() -> Path:
    return entries()[0].folder


def _replace(path: Path, data: bytes) -> None:
    """Another file in the place of one that an open model may still be mapped to."""
    path.unlink()
    path.write_bytes(data)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    _replace(path, bytes(data))


def _cut(path: Path) -> None:
    _replace(path, path.read_bytes()[:40])


DAMAGES = {
    "a bit of the weights": lambda e: _flip(e / "model.safetensors"),
    "weights cut short": lambda e: _cut(e / "model.safetensors"),
    "no weights": lambda e: (e / "model.safetensors").unlink(),
    "another tokenizer": lambda e: (e / "tokenizer.json").write_text("{}"),
    "another config": lambda e: (e / "config.json").write_text((e / "config.json").read_text() + " "),
    "a file too many": lambda e: (e / "added_tokens.json").write_text("{}"),
    "no record": lambda e: (e / "about.json").unlink(),
    "half a record": lambda e: _cut(e / "about.json"),
    "a record of another kind": lambda e: (e / "about.json").write_text("[]"),
    "an empty folder": lambda e: [p.unlink() for p in e.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_entry_is_converted_again(file: Path, reads: list[str], damage: str) -> None:
    whole = open_model(str(file)).model.state_dict()
    DAMAGES[damage](_entry())
    again = open_model(str(file)).model.state_dict()
    assert len(reads) == 2
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    open_model(str(file))
    assert len(reads) == 2


def test_what_a_killed_process_left_is_never_opened(file: Path, reads: list[str], monkeypatch) -> None:
    def killed(temporary: Path, folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_cache, "_move_into_place", killed)
        patch.setattr(gguf_cache.shutil, "rmtree", lambda *_, **__: None)  # killed before it could clear up
        with pytest.raises(KeyboardInterrupt):
            open_model(str(file))
    assert [e.whole for e in entries()] == [False]
    open_model(str(file))
    assert len(reads) == 2
    assert sorted(e.whole for e in entries()) == [False, True]


def test_a_cache_that_cannot_be_written_is_told_once(file: Path, reads: list[str], capsys, monkeypatch) -> None:
    (file.parent / "cache").write_text("a file, where the folder should be")
    for _ in range(2):
        open_model(str(file))
    said = capsys.readouterr().err
    assert said.count("is converted each time it is opened") == 1
    assert str(cache_folder()) in said
    assert len(reads) == 2


def test_a_full_disk_is_told_and_the_model_opens(file: Path, capsys, monkeypatch) -> None:
    from transformers import PreTrainedModel

    def full(self, folder, *args, **kwargs):
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    found = open_model(str(file))
    assert found.info.parameters > 0
    assert "No space left on device" in capsys.readouterr().err
    assert entries() == []


def test_what_does_not_survive_saving_is_not_kept(file: Path, capsys, monkeypatch) -> None:
    original = gguf_cache.difference
    monkeypatch.setattr(gguf_cache, "difference", lambda a, b: original(a, b) or "its weight x")
    open_model(str(file))
    assert "its weight x does not survive being saved" in capsys.readouterr().err
    assert entries() == []


def test_any_difference_is_found(file: Path) -> None:
    """The comparison that guards an entry sees one changed bit of one weight, a config's key, a tokenizer's token."""
    adapter = open_model(str(file))
    again = open_model(str(file))
    whole = gguf_cache.Whole(adapter.model, adapter.tokenizer, ())
    other = gguf_cache.Whole(again.model, again.tokenizer, ())
    assert gguf_cache.difference(whole, other) is None
    weight = again.model.model.layers[1].mlp.up_proj.weight
    with torch.no_grad():
        weight.view(torch.int32)[3, 4] ^= 1
    assert "layers.1.mlp.up_proj" in str(gguf_cache.difference(whole, other))
    with torch.no_grad():
        weight.view(torch.int32)[3, 4] ^= 1
    again.model.config.rms_norm_eps *= 2
    assert gguf_cache.difference(whole, other) == "its config"
    again.model.config.rms_norm_eps /= 2
    again.tokenizer.add_tokens(["zebra"])
    assert gguf_cache.difference(whole, other) == "its tokenizer"


def test_results_are_the_same_with_and_without_the_cache(file: Path, monkeypatch, tmp_path: Path) -> None:
    from groundbench.evaluation.evaluate import evaluate

    asked = {"forms": ("word",), "measures": ("gain",), "limit": 3}
    plain = evaluate(without_cache(file, monkeypatch), "ladder", **asked)
    kept = [evaluate(str(file), "ladder", **asked) for _ in range(2)]
    for found in kept:
        # weights in a file's memory and in memory of their own are not aligned alike, so sums can round differently
        size = max(plain.gain.matched, plain.gain.mismatched)
        assert found.gain.mean == nats(plain.gain.mean, size, depth=4 * DEPTH)
        assert found.gain.matched == nats(plain.gain.matched, depth=4 * DEPTH)
        a, b = (json.loads(r.model_dump_json()) for r in (found, plain))
        assert a["model"] == b["model"]
    assert np.isfinite(plain.gain.mean)

"""Training a model that sees: the loss is LLaVA's own, frozen weights stay, and what is shown decides what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toy_images import ToyImages, image_preset, make_encoder, make_language
from helpers.toy_training import ToyCorpus, toy_preset, weights, without_speed
from transformers import AutoProcessor, Dinov2Model, LlavaForConditionalGeneration

from groundbench.adapters.architectures.llava import source_fingerprint
from groundbench.api.errors import BadInputError
from groundbench.cli import main
from groundbench.training import train
from groundbench.training.image_train_module import ImageTrainModule
from groundbench.training.objective import heldout_loss
from groundbench.training.partial_checkpoints import FROZEN, TRAINED
from groundbench.training.presets import Preset
from groundbench.training.run_folder import SeedFolder
from groundbench.training.trainer import train_seed

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "vision": make_encoder(folder / "vision"),
        "tied": make_language(folder / "tied", tied=True),
        "untied": make_language(folder / "untied", tied=False),
    }


def preset_of(kind: str, sources: Mapping[str, str], cache: Path) -> Preset:
    """`embedded`: all is trained; `frozen-vision`: the encoder is not; `tied`, `untied`: only the projection is."""
    given = {} if kind == "embedded" else {"pictures.vision": sources["vision"]}
    if kind in ("tied", "untied"):
        given["pictures.language"] = sources[kind]
    return image_preset(cache, **given)


def their_loss(folder: Path, corpus: ToyImages, rows: np.ndarray) -> float:
    """Transformers' own loss of the checkpoint on the raw images, row by row, the image's tokens not counted."""
    model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    total, count = 0.0, 0
    for number, *ids in rows.tolist():
        text = [i for i in ids if i != processor.tokenizer.pad_token_id]
        seen = processor(text="<image>", images=corpus.image(number).load(), return_tensors="pt")
        whole = torch.cat([seen["input_ids"], torch.tensor([text])], dim=1)
        labels = whole.clone()
        labels[:, : seen["input_ids"].shape[1] + 1] = -100
        with torch.no_grad():
            loss = model(input_ids=whole, pixel_values=seen["pixel_values"], labels=labels).loss
        total, count = total + float(loss) * (len(text) - 1), count + len(text) - 1
    return total / count


@pytest.mark.parametrize("kind", ["embedded", "frozen-vision", "tied", "untied"])
def test_a_checkpoint_read_by_transformers_has_the_loss_that_training_saw(
    kind: str, sources: dict[str, str], tmp_path: Path
) -> None:
    preset = preset_of(kind, sources, tmp_path / "cache")
    paths = train(preset.override({"steps": 6}), ToyImages(), tmp_path / "out", device="cpu")
    module = ImageTrainModule(preset, ToyImages(), 42, CPU)
    for path in (paths[0], paths[-1]):
        logged = json.loads((path / "training.json").read_text())["heldout_loss"]
        assert logged == pytest.approx(their_loss(path, ToyImages(), module.heldout), abs=2e-4)  # patches are fp16


@pytest.mark.parametrize("kind", [pytest.param("embedded", marks=pytest.mark.slow), "frozen-vision"])
def test_it_learns_to_say_what_it_sees(kind: str, sources: dict[str, str], tmp_path: Path) -> None:
    found = {}
    for blind in (False, True):
        preset = preset_of(kind, sources, tmp_path / "cache").override({"steps": 130, "checkpoints": [{"every": 130}]})
        path = train(preset, ToyImages(blind=blind), tmp_path / str(blind), device="cpu")[-1]
        found[blind] = json.loads((path / "training.json").read_text())["heldout_loss"]
    chance = np.log(4) / 12  # a row's first naming of four colours; 12 tokens are predicted
    assert found[False] < 0.6 * chance
    assert found[True] > 0.9 * chance


def test_frozen_weights_are_the_sources_own_and_lie_on_disk_once(sources: dict[str, str], tmp_path: Path) -> None:
    preset = preset_of("tied", sources, tmp_path / "cache").override({"steps": 6})
    first, last = train(preset, ToyImages(), tmp_path / "out", device="cpu")
    assert (first / FROZEN).stat().st_ino == (last / FROZEN).stat().st_ino
    assert (first / TRAINED).read_bytes() != (last / TRAINED).read_bytes()
    model = LlavaForConditionalGeneration.from_pretrained(last)
    theirs = Dinov2Model.from_pretrained(sources["vision"]).state_dict()
    for name, tensor in model.model.vision_tower.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    model.save_pretrained(tmp_path / "again")  # the names are those that transformers itself would write
    names = json.loads((last / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(names) == set(weights(tmp_path / "again"))
    said = weights(Path(sources["tied"]))
    embedding = model.get_input_embeddings().weight.numpy(force=True)
    before = np.frombuffer(said["model.embed_tokens.weight"], np.float32).reshape(-1, embedding.shape[1])
    assert np.array_equal(embedding[: len(before)], before)
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_the_state_of_a_run_has_no_frozen_weights(sources: dict[str, str], tmp_path: Path) -> None:
    preset = preset_of("untied", sources, tmp_path / "cache")
    folder = SeedFolder(tmp_path / "out", 3, {})
    _train_until(preset, folder, 10)
    state = torch.load(folder.path / "state.pt", weights_only=True)
    assert {name.split(".")[1] for name in state["model"]} == {"multi_modal_projector"}


class Stop(Exception):
    """The run is cut off here."""


def _train_until(preset: Preset, folder: SeedFolder, step: int) -> None:
    def report(seed: int, record: Mapping[str, Any]) -> None:
        if record["step"] == step:
            raise Stop

    with pytest.raises(Stop):
        train_seed(preset, ToyImages(), folder, 3, device="cpu", report=report)


@pytest.mark.parametrize("kind", ["embedded", "untied"])
def test_stopped_it_goes_on_to_the_same_bits(kind: str, sources: dict[str, str], tmp_path: Path) -> None:
    preset = preset_of(kind, sources, tmp_path / "cache").override({"pictures.turns": 1, "pictures.captions": 0.5})
    for out, stops in ((tmp_path / "whole", ()), (tmp_path / "cut", (10, 20))):
        folder = SeedFolder(out, 3, {})
        for stop in stops:
            _train_until(preset, folder, stop)
        train_seed(preset, ToyImages(), folder, 3, device="cpu", report=lambda seed, record: None)
    for step in ("step-000015", "step-000030"):
        for file in (tmp_path / "whole/seed-3" / step).glob("*.safetensors"):
            assert file.read_bytes() == (tmp_path / "cut/seed-3" / step / file.name).read_bytes(), (step, file.name)
    a, b = (without_speed(tmp_path / which / "seed-3/log.jsonl") for which in ("whole", "cut"))
    assert a == b


def test_rows_are_captions_or_windows_of_turns(tmp_path: Path) -> None:
    preset = image_preset(tmp_path, **{"pictures.turns": 1, "pictures.captions": 0.5, "batch_size": 24})
    module = ImageTrainModule(preset, ToyImages(), 3, CPU)
    words = module._processor.tokenizer
    seen = set()
    for step in range(4):
        rows = module.rows(step)
        assert sorted(rows[:, 0]) == list(range(24))  # one epoch
        assert np.array_equal(rows, module.rows(step))
        for number, *ids in rows.tolist():
            text = words.decode([i for i in ids if i])
            options = [ToyImages().caption(number), *ToyImages().turns(number)]
            seen.add([" ".join(words.tokenize(o)) for o in options].index(text))
    assert seen == {0, 1, 2}
    assert not np.array_equal(module.rows(0), ImageTrainModule(preset, ToyImages(), 4, CPU).rows(0))


def test_patches_are_whitened_and_the_checkpoint_reads_them_as_they_are(
    sources: dict[str, str], tmp_path: Path
) -> None:
    module = ImageTrainModule(preset_of("frozen-vision", sources, tmp_path), ToyImages(), 3, CPU)
    loss = module.objective
    epoch = np.concatenate([module.rows(step) for step in range(3)])
    batch = module.batch(epoch, CPU)
    read = (batch.seen - loss.mean) @ loss.whiten
    spread = torch.cov(read.flatten(0, 1).T)
    torch.testing.assert_close(spread, torch.diag(spread.diag()), atol=1e-3, rtol=0)
    assert 0.9 < spread.diag().max() <= 1
    before = heldout_loss(module, CPU, 8)
    with loss.fold_whitening():
        linear = module.model.model.multi_modal_projector.linear_1
        folded = linear(batch.seen)
    torch.testing.assert_close(folded, linear(read), atol=1e-4, rtol=1e-4)
    assert heldout_loss(module, CPU, 8) == before  # put back to the bit


class Unknown(ToyImages):
    def words(self) -> tuple[str, ...]:
        return ("What", "color", "?")


@pytest.mark.parametrize(
    ("changes", "corpus", "said"),
    [
        ({"config.vision_config": None}, ToyImages(), "give one .`--vision`."),
        ({"pictures.pixels": 30}, ToyImages(), "30 pixels: expected a multiple of the patch size 14"),
        ({"config.text_config": {"model_type": "no"}}, ToyImages(), "text_config.model_type is 'no'"),
        ({"config.text_config": {"model_type": "llama", "n": 1}}, ToyImages(), "a llama config has no option 'n'"),
        ({"config.depth": 3}, ToyImages(), "llava: its config has no option 'depth'"),
        ({"pictures.vision": "./nowhere"}, ToyImages(), "nowhere: no such folder"),
        ({}, Unknown(), r"toy-pictures: words\(\) lacks a word of 'Caption: it is red\.'"),
        ({}, ToyCorpus(), "corpus toy: it has no images"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(
    changes: dict[str, object], corpus: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=said):
        train(image_preset(tmp_path, **changes), corpus, tmp_path / "out", device="cpu")


def test_a_text_model_refuses_pictures(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="toy-pictures: of images, but the preset toy reads text only"):
        train(toy_preset(), ToyImages(), tmp_path, device="cpu")


def test_other_pretrained_weights_are_another_run(sources: dict[str, str], tmp_path: Path) -> None:
    preset = preset_of("frozen-vision", sources, tmp_path / "cache").override({"steps": 2})
    train(preset, ToyImages(), tmp_path / "out", device="cpu")
    with pytest.raises(BadInputError, match=r"pretrained\.vision"):
        train(preset.override({"pictures.vision": None}), ToyImages(), tmp_path / "out", device="cpu")


FEW = ["--images", "4", "--steps", "1", "--batch-size", "2", "--set", "heldout_rows=2", "--device", "cpu"]


def test_the_command_says_when_it_trains_an_encoder_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    words = ["train", "vlm-mini", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), *FEW]
    assert main([*words, "--shuffle-env"]) == 0
    assert "training vlm-mini-embedded instead" in capsys.readouterr().err
    record = json.loads((tmp_path / "out/seed-42/step-000001/training.json").read_text())
    assert record["preset"]["name"] == "vlm-mini-embedded"
    assert record["corpus"]["name"] == "image-dialogue"
    assert record["corpus"]["shuffle_env"] is True
    assert record["corpus"]["pictures"] == 4


def test_the_command_takes_an_encoder_and_a_language_model(sources: dict[str, str], tmp_path: Path) -> None:
    vision = make_encoder(tmp_path / "vision", layers=12)
    words = ["train", "vlm-smol", "--out", str(tmp_path / "out"), "--vision", vision, "--language", sources["tied"]]
    assert main([*words, "--cache", str(tmp_path / "cache"), *FEW]) == 0
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert "vision" not in run["preset"]["pictures"]
    assert run["pretrained"] == {
        "vision": source_fingerprint(vision),
        "language": source_fingerprint(sources["tied"]),
    }


def test_an_encoder_is_refused_where_nothing_is_seen(
    sources: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "gpt2-mini", "--vision", sources["vision"], "--out", str(tmp_path)]) == 2
    assert "pictures.vision" in capsys.readouterr().err

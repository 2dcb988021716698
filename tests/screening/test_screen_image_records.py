"""Users' own images: records that name image files, with the signals of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers.tiny_vlms import tiny_adapter
from PIL import Image

from groundbench import screen
from groundbench.screening.screen import ScreenOptions

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))
WORDS = ("w31", "w32", "w33", "w34")


def test_pictures_of_a_users_own_file_are_screened_with_the_signals_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        pixels = np.full((28, 28, 3), COLOURS[i % 4], np.uint8)
        pixels[:4] = rng.integers(0, 255, 3)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append({"prompt": f" w1 w{2 + i % 3} w5", "image": f"{i}.png", "candidates": WORDS, "truth": i % 4})
    path = tmp_path / "my.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    signals = ("svar", "internal-confidence", "glsim", "gain", "perplexity", "context-shift")
    card = screen(tiny_adapter("llava"), [str(path)], ScreenOptions(signals=signals))
    assert card.questions.forms == ("image",)
    assert {s.name: s.missing for s in card.signals if s.missing} == {}
    assert {g.against for g in card.gains} == {"without", "mismatched"}

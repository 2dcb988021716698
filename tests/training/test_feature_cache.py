"""The cache of what an encoder makes of images: each computed once, whatever is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.toy_images import Plain
from PIL import Image

from groundbench.api.errors import GroundbenchError
from groundbench.training.feature_cache import BLOCK, ImageFeatureCache

PICTURES = [Plain("red", i) for i in range(2 * BLOCK + 5)]


class Encoder:
    """The mean colour of each image; counts what it is asked, and may break off."""

    def __init__(self, most: int = 10**6) -> None:
        self.seen, self.most = 0, most

    def __call__(self, pictures: list[Image.Image]) -> Any:
        if self.seen + len(pictures) > self.most:
            raise KeyboardInterrupt
        self.seen += len(pictures)
        return np.stack([np.asarray(p, dtype=np.float64).mean(axis=(0, 1)) for p in pictures])


def test_each_picture_is_encoded_once_and_read_back(tmp_path: Path) -> None:
    encoder, cache = Encoder(), ImageFeatureCache(tmp_path, (3,), {"encoder": "a"})
    cache.fill([*PICTURES, *PICTURES[:3]], encoder)
    again = ImageFeatureCache(tmp_path, (3,), {"encoder": "a"})
    again.fill(PICTURES[::-1], encoder)
    assert encoder.seen == len(PICTURES)
    read = again.read(again.rows(PICTURES))
    assert read.dtype == np.float32
    assert np.array_equal(read, Encoder()([p.load() for p in PICTURES]).astype(np.float16))


def test_another_encoder_or_shape_is_another_cache(tmp_path: Path) -> None:
    folders = {ImageFeatureCache(tmp_path, s, {"encoder": e}).folder for s in [(3,), (1, 3)] for e in "ab"}
    assert len(folders) == 4


def test_killed_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    cache = ImageFeatureCache(tmp_path, (3,), {})
    with pytest.raises(KeyboardInterrupt):
        cache.fill(PICTURES, Encoder(most=2 * BLOCK))
    with (cache.folder / "values.f16").open("ab") as file:  # an array whose key was never written, and half a one
        file.write(b"\x01" * 9)
    with (cache.folder / "keys.bin").open("ab") as file:
        file.write(b"\x02" * 5)
    rest, again = Encoder(), ImageFeatureCache(tmp_path, (3,), {})
    again.fill(PICTURES, rest)
    assert rest.seen == 5
    assert np.array_equal(again.read(again.rows(PICTURES)), Encoder()([p.load() for p in PICTURES]).astype(np.float16))


def test_more_pictures_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    cache, encoder = ImageFeatureCache(tmp_path, (3,), {}), Encoder()
    cache.fill(PICTURES[:4], encoder)
    before = cache.read(cache.rows(PICTURES[:4]))
    cache.fill(PICTURES, encoder)
    assert encoder.seen == len(PICTURES)
    assert np.array_equal(cache.read(cache.rows(PICTURES[:4])), before)


def test_a_picture_that_was_never_given_is_not_guessed(tmp_path: Path) -> None:
    cache = ImageFeatureCache(tmp_path, (3,), {})
    cache.fill(PICTURES[:1], Encoder())
    with pytest.raises(KeyError):
        cache.rows([Plain("blue", 0)])


def test_what_does_not_fit_half_precision_is_refused(tmp_path: Path) -> None:
    cache = ImageFeatureCache(tmp_path, (3,), {})
    with pytest.raises(GroundbenchError, match="not finite in half precision"):
        cache.fill(PICTURES, lambda pictures: np.full((len(pictures), 3), 1e6))
    with pytest.raises(GroundbenchError, match=r"arrays \(16, 2\) for 16 images"):
        cache.fill(PICTURES, lambda pictures: np.zeros((len(pictures), 2)))

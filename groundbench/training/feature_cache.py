"""Features of images from a frozen encoder, computed once: arrays on disk by image, read by memory map."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundbench.api.errors import GroundbenchError
from groundbench.training.run_folder import writing
from groundbench.util.atomic_files import write_text
from groundbench.util.cache_folder import cache_folder
from groundbench.util.progress import Progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from groundbench.api.testbed import ImageSource

Values = npt.NDArray[np.float16]
BLOCK = 16
KEY_BYTES = 16


def default_cache() -> Path:
    """Return `pictures` in the cache folder."""
    return cache_folder() / "pictures"


class ImageFeatureCache:
    """One array of `shape` in fp16 for each image, under everything that decides it.

    FOLDER/<hash of `about`>/about.json   encoder, layer, preprocessing
    .../keys.bin, values.f16              an image's key and its array, in the order in which they were computed

    A run that is killed while it computes loses at most one block of images; runs side by side wait for each other.

    Args:
        about: what decides an array besides the image, as JSON values.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], about: Mapping[str, object]) -> None:
        text = json.dumps({**about, "shape": shape}, sort_keys=True, indent=1)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.shape, self._about = shape, text + "\n"
        self._keys, self._values = self.folder / "keys.bin", self.folder / "values.f16"
        self._record = int(np.prod(shape)) * 2
        self._row: dict[bytes, int] = {}
        self._map: Values | None = None

    def fill(self, images: Sequence[ImageSource], encode: Callable[[list[Image]], npt.NDArray[Any]]) -> None:
        """Compute the arrays of the images that have none yet.

        Args:
            encode: RGB images to arrays [n, *shape].

        Raises:
            GroundbenchError: an array is not finite in fp16, or the disk is full.
        """
        with writing(self.folder), self._lock():
            if not (self.folder / "about.json").exists():
                write_text(self.folder / "about.json", self._about)
            known = self._trim()
            missing = list({_key(p): p for p in images if _key(p) not in known}.items())
            with (
                Progress("encoding images", len(missing)) as bar,
                self._values.open("ab") as values,
                self._keys.open("ab") as keys,
            ):
                for start in range(0, len(missing), BLOCK):
                    block = missing[start : start + BLOCK]
                    values.write(self._check_arrays(encode([p.load() for _, p in block]), len(block)).tobytes())
                    values.flush()
                    os.fsync(values.fileno())  # a key on disk stands for an array on disk
                    keys.write(b"".join(key for key, _ in block))
                    keys.flush()
                    bar.advance(len(block))
            self._row = self._trim()
        self._map = None

    def rows(self, images: Sequence[ImageSource]) -> npt.NDArray[np.int64]:
        """Return [n] the rows of the images' arrays. Raises KeyError for one that `fill` was never given."""
        return np.array([self._row[_key(p)] for p in images], dtype=np.int64)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return [n, *shape] the arrays at these rows, in fp32."""
        if self._map is None:
            self._map = np.memmap(self._values, np.float16, "r", shape=(len(self._row), *self.shape))
        return self._map[rows].astype(np.float32)

    def _trim(self) -> dict[bytes, int]:
        """Drop what a killed process left half written; return the row of each image."""
        data = self._keys.read_bytes() if self._keys.exists() else b""
        size = self._values.stat().st_size if self._values.exists() else 0
        n = min(len(data) // KEY_BYTES, size // self._record)
        for path, length in ((self._keys, n * KEY_BYTES), (self._values, n * self._record)):
            with path.open("ab") as file:
                file.truncate(length)
        return {data[i * KEY_BYTES : (i + 1) * KEY_BYTES]: i for i in range(n)}

    def _check_arrays(self, arrays: npt.NDArray[Any], n: int) -> Values:
        with np.errstate(over="ignore"):
            found: Values = np.ascontiguousarray(arrays, dtype=np.float16)
        if found.shape != (n, *self.shape):
            raise GroundbenchError(f"{self.folder}: arrays {found.shape} for {n} images; expected {self.shape} each")
        if not np.isfinite(found).all():
            raise GroundbenchError(f"{self.folder}: the encoder's output is not finite in half precision")
        return found

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _key(image: ImageSource) -> bytes:
    return hashlib.sha256(image.key.encode()).digest()[:KEY_BYTES]

"""Image files of every kind become upright RGB, with their boxes; broken ones are named."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groundbench.api.errors import BadInputError
from groundbench.tasks.corpora.importing.faults import FaultError
from groundbench.tasks.photos import image_store
from groundbench.tasks.photos.decode import decode, upright_box
from groundbench.tasks.photos.image_store import ImageFiles, open_image_files


def corner() -> Image.Image:
    """60 x 40, white, with a red mark at (0.1 .. 0.3, 0.2 .. 0.4)."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    pixels[8:16, 6:18] = (220, 20, 30)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def red(image: Image.Image) -> np.ndarray:
    r, g, b = np.asarray(image, dtype=int).transpose(2, 0, 1)
    return (r > 150) & (g < 110) & (b < 110)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_the_picture(orientation: int) -> None:
    """The red mark is inside the box, wherever EXIF turns the image."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(saved(corner(), "JPEG", quality=95, exif=exif), "a.jpg")
    assert found.orientation == orientation
    assert found.stored == (60, 40)
    assert found.image.size == ((40, 60) if orientation >= 5 else (60, 40))
    x0, y0, x1, y1 = upright_box((0.1, 0.2, 0.3, 0.4), orientation)
    w, h = found.image.size
    mark = red(found.image)
    inside = mark[round(y0 * h) : round(y1 * h), round(x0 * w) : round(x1 * w)]
    assert inside.size == 96
    assert inside.mean() > 0.9
    assert inside.sum() > 0.9 * mark.sum()


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1", "RGBA", "LA", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "I;16") else "PNG"
    if mode == "I;16":
        image = Image.fromarray(np.asarray(corner().convert("L")).astype(np.uint16) * 257)
    else:
        image = corner().convert(mode)
    found = decode(saved(image, kind), "a").image
    assert found.mode == "RGB"
    pixels = np.asarray(found, dtype=int)
    assert pixels[30, 50].min() > 240
    assert pixels[12, 12].min() < 130
    if mode in ("CMYK", "P", "RGBA", "YCbCr"):
        assert red(found)[12, 12]


def test_a_cmyk_photo_keeps_its_colors() -> None:
    found = decode(saved(corner().convert("CMYK"), "JPEG", quality=95), "a.jpg").image
    assert red(found)[12, 12]
    assert np.asarray(found)[30, 50].min() > 240


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert np.asarray(decode(saved(clear), "a").image).min() == 255
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([0, 0, 0] * 256)
    assert np.asarray(decode(saved(palette, transparency=3), "a").image).min() == 255


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"<html>404 not found</html>", "is no image"),
        (saved(corner(), "JPEG")[:400], "damaged image"),
        (saved(corner(), "PNG")[:60], "image"),
    ],
)
def test_broken_files_are_named(data: bytes, said: str) -> None:
    with pytest.raises(FaultError, match=r"photos/000000000009\.jpg: .*" + said):
        decode(data, "photos/000000000009.jpg")


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]),
    cut=st.floats(0.05, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_in_a_file_it_is_a_picture_or_a_named_fault(kind: str, cut: float, flips: list) -> None:
    data = bytearray(saved(corner(), kind))
    data = data[: max(1, int(cut * len(data)))]
    for place, value in flips:
        data[int(place * len(data))] = value
    said = "some.file: "
    try:
        assert decode(bytes(data), "some.file").image.mode == "RGB"
    except FaultError as error:
        said = str(error)
    assert said.startswith("some.file: ")


def test_a_picture_that_claims_too_much_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundbench.tasks.photos.decode.PIXELS", 1000)
    with pytest.raises(FaultError, match="60 x 40 pixels, expected at most 1,000"):
        decode(saved(corner()), "a.png")


# where they lie

NAMES = ("val2017/000000000009.jpg", "val2017/000000000025.jpg", "notes.txt", ".hidden.jpg")


@pytest.fixture(params=["folder", "zip", "tar"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files = {name: saved(corner(), "JPEG") + bytes([i]) for i, name in enumerate(NAMES)}
    if request.param == "folder":
        for name, data in files.items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "photos"
    path = tmp_path / f"photos.{request.param}"
    if request.param == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_pictures_are_found_by_name_or_number(place: Path) -> None:
    photos = ImageFiles(place)
    first, second = NAMES[:2]
    assert photos.find(first, 0) == first
    assert photos.find("000000000025.jpg", 0) == second
    assert photos.find("COCO_train2014_000000000025.jpg", 25) == second
    assert photos.find("elsewhere.jpg", 77) is None
    assert photos.find("notes.txt", 0) is None
    assert photos.find(".hidden.jpg", 0) is None
    assert photos.read(second)[-1] == 1
    with pytest.raises(FaultError, match=r"photos.*/nothing\.jpg: no such image"):
        photos.read("nothing.jpg")


def test_a_file_that_claims_too_much_is_refused_unread(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_store, "FILE_BYTES", 100)
    with pytest.raises(FaultError, match=r"claims .* bytes, expected at most 100"):
        ImageFiles(place).read(NAMES[0])


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"x" * 1000)
    data = bytearray(path.read_bytes())
    data[100:200] = b"y" * 100
    path.write_bytes(bytes(data))
    with pytest.raises(FaultError, match=r"photos\.zip/a\.jpg: cannot be read: Bad CRC-32"):
        ImageFiles(path).read("a.jpg")


def test_what_holds_no_pictures_is_refused(tmp_path: Path) -> None:
    empty, text, packed = tmp_path / "empty", tmp_path / "a.txt", tmp_path / "a.tar.gz"
    empty.mkdir()
    text.write_text("no archive")
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(text, "a.txt")
    for path, said in (
        (tmp_path / "none", "no such file or folder"),
        (empty, "holds no image"),
        (text, "expected a folder"),
        (packed, "unpack it first"),
    ):
        with pytest.raises(BadInputError, match=said):
            open_image_files(path)

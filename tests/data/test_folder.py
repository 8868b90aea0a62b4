"""A folder of PNG images: what is read of it, and what is refused, each with one sentence that names the file."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lwsam_ref import data
from lwsam_ref.data import folder
from lwsam_ref.errors import UserError
from support.cifar_files import lwsam, refused


def draw(path: Path, seed: int, shape: tuple[int, ...] = (6, 5, 3), mode: str | None = None) -> np.ndarray:
    """A random image, written; its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return pixels


def flat(root: Path, per_class: int = 5, shape: tuple[int, ...] = (6, 5, 3)) -> dict[str, np.ndarray]:
    """Two classes, written last first; the pixels by path."""
    names = [f"{kind}/{i:02}.png" for kind in ("dog", "cat") for i in range(per_class)]
    return {name: draw(root / name, seed, shape) for seed, name in enumerate(names)}


def parted(root: Path) -> None:
    for part, n in (("train", 4), ("test", 2)):
        flat(root / part, n)


def png(width: int, height: int) -> bytes:
    """A header that promises so many pixels, and next to no data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# -- what is read --------------------------------------------------------------------------------------------


def load(root: Path) -> data.Images:
    return folder.load(str(root))


def test_classes_and_images_are_in_order_of_name_and_every_fifth_image_is_for_the_test(tmp_path: Path) -> None:
    pixels = flat(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / "._00.png").write_text("of the Finder")
    (tmp_path / ".thumbnails").mkdir()
    found = load(tmp_path)
    names = sorted(pixels)
    assert found.shape == (6, 5, 3)
    assert found.outputs == 2
    assert found.test.targets.tolist() == [0, 1]
    assert found.train.targets.tolist() == [0] * 4 + [1] * 4
    assert found.train.targets.dtype == np.int64
    assert np.array_equal(found.test.inputs, [pixels[name] for name in names[4::5]])
    assert np.array_equal(found.train.inputs, [pixels[name] for i, name in enumerate(names) if i % 5 != 4])
    assert found.digest() == load(tmp_path).digest()


def test_folders_named_train_and_test_are_the_splits(tmp_path: Path) -> None:
    for part, kind, i in [("train", "b", 0), ("train", "b", 1), ("train", "a", 2), ("test", "a", 3), ("test", "b", 4)]:
        draw(tmp_path / part / kind / f"{i}.PNG", i)
    found = load(tmp_path)
    expected = [draw(tmp_path / "again.png", i) for i in range(5)]
    assert found.train.targets.tolist() == [0, 1, 1]
    assert found.test.targets.tolist() == [0, 1]
    assert np.array_equal(found.train.inputs, [expected[i] for i in (2, 0, 1)])
    assert np.array_equal(found.test.inputs, [expected[i] for i in (3, 4)])


def test_grey_images_have_one_channel_and_other_modes_are_read_as_what_they_show(tmp_path: Path) -> None:
    pixels = flat(tmp_path, 5, (6, 5))
    found = load(tmp_path)
    assert found.shape == (6, 5, 1)
    assert np.array_equal(found.test.inputs[0, :, :, 0], pixels["cat/04.png"])
    Image.fromarray(pixels["cat/04.png"] > 99).save(tmp_path / "cat" / "04.png")
    assert np.array_equal(load(tmp_path).test.inputs[0, :, :, 0], np.where(pixels["cat/04.png"] > 99, 255, 0))
    coloured = tmp_path / "palette"
    flat(coloured)
    draw(coloured / "cat" / "04.png", 0, mode="P")
    with Image.open(coloured / "cat" / "04.png") as image:
        assert image.mode == "P"
        assert np.array_equal(load(coloured).test.inputs[0], np.asarray(image.convert("RGB")))


def test_two_epochs_of_training(tmp_path: Path) -> None:
    for seed in range(20):  # the classes differ by brightness
        pixels = np.random.default_rng(seed).integers(0, 100, (8, 8, 3), np.uint8) + 155 * (seed % 2)
        path = tmp_path / "images" / ("dark", "light")[seed % 2] / f"{seed:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    found = load(tmp_path / "images")
    assert (found.pad, found.flip) == (1, False)  # an eighth of the side, as for the digits
    options = ("--dataset", "folder", "--folder", tmp_path / "images", "--model", "mlp", "--k", 1)
    said = lwsam("train", *options, "--epochs", 2, "--batch-size", 8, "--lr", 0.01, "--out", tmp_path / "run")
    assert said.status == 0, said
    summary = (tmp_path / "run" / "summary.json").read_text()
    assert '"final_accuracy": 1.0' in summary, summary


# -- what is refused -----------------------------------------------------------------------------------------


def no_folder(root: Path) -> None:
    root.rmdir()


def one_class(root: Path) -> None:
    draw(root / "cat" / "0.png", 0)


def an_empty_class(root: Path) -> None:
    flat(root)
    (root / "cow").mkdir()


def too_few_for_a_test(root: Path) -> None:
    flat(root, 2)


def only_training(root: Path) -> None:
    flat(root / "train")


def other_classes_in_the_test(root: Path) -> None:
    parted(root)
    (root / "test" / "dog").rename(root / "test" / "wolf")


def text(root: Path) -> None:
    flat(root)
    (root / "cat" / "03.png").write_text("not an image")


def a_jpeg(root: Path) -> None:
    flat(root)
    Image.new("RGB", (5, 6)).save(root / "cat" / "03.png", format="JPEG")


def cut_off(root: Path) -> None:
    flat(root)
    path = root / "cat" / "03.png"
    path.write_bytes(path.read_bytes()[:-40])


def another_size(root: Path) -> None:
    parted(root)
    draw(root / "test" / "cat" / "01.png", 0, (5, 6, 3))


def a_grey_one(root: Path) -> None:
    flat(root)
    draw(root / "dog" / "00.png", 0, (6, 5))


def transparent(root: Path) -> None:
    flat(root)
    draw(root / "cat" / "00.png", 0, (6, 5, 4))


def promising(width: int, height: int) -> Callable[[Path], None]:
    def large(root: Path) -> None:
        flat(root)
        (root / "cat" / "00.png").write_bytes(png(width, height))

    return large


REFUSED: list[tuple[Callable[[Path], None], str]] = [
    (no_folder, r"'\S+images', which is no folder: name one"),
    (one_class, r"classes in \S+images, but the sub-folders in it are 1: make"),
    (only_training, r"classes in \S+images, but the sub-folders in it are 1: make"),
    (an_empty_class, r"images in \S+images/cow, but no .png is there: put"),
    (too_few_for_a_test, r"every fifth image in \S+images for the test, but it has 4: put"),
    (other_classes_in_the_test, r"\S+images, but 'dog' is in one of train and test only: make"),
    (text, r"cat/03.png, but it is no use \(cannot identify .*\): mend"),
    (a_jpeg, r"cat/03.png, but it is no use \(cannot identify .*\): mend"),
    (cut_off, r"cat/03.png, but it is no use \(.*truncated.*\): mend"),
    (another_size, r"test/cat/01.png, but it is no use \(6 x 5 RGB, where the first is 5 x 6 RGB\): mend"),
    (a_grey_one, r"dog/00.png, but it is no use \(5 x 6 L, where the first is 5 x 6 RGB\): mend"),
    (transparent, r"cat/00.png, but it is no use \(of mode RGBA, where grey or RGB is needed\): mend"),
    (promising(4097, 4096), r"cat/00.png, but it is no use \(4097 x 4096, where 16777216 pixels are the most\): mend"),
    (promising(10_000, 10_000), r"cat/00.png, but it is no use \(Image size \(100000000 pixels\) .*\): mend"),
    (promising(60_000, 60_000), r"cat/00.png, but it is no use \(Image size \(3600000000 pixels\) .*\): mend"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_folder_that_is_no_data_set_is_refused(
    tmp_path: Path, make: Callable[[Path], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "images"
    root.mkdir()
    make(root)
    loads = []
    monkeypatch.setattr(Image.Image, "convert", lambda image, mode: loads.append(image.size))
    if make.__name__ == "large":  # judged by its header: not decoded
        assert "cat/00.png" in refused("train", "--dataset", "folder", "--folder", root, "--out", tmp_path / "run")
        assert not loads
    monkeypatch.undo()
    said = refused("train", "--dataset", "folder", "--folder", root, "--out", tmp_path / "run")
    assert re.fullmatch(rf"lwsam: asked for .*{sentence}[^:]*\n", said), said
    assert not (tmp_path / "run").exists()


def test_an_image_of_the_most_pixels_is_read_and_of_one_pixel_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flat(tmp_path)
    monkeypatch.setattr(folder, "PIXELS", 30)
    assert load(tmp_path).shape == (6, 5, 3)
    monkeypatch.setattr(folder, "PIXELS", 29)
    with pytest.raises(UserError, match="29 pixels are the most"):
        load(tmp_path)


def test_without_the_option_the_option_is_named() -> None:
    assert "name one with --folder" in refused("train", "--dataset", "folder")


def test_without_pillow_the_sentence_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat(tmp_path)
    monkeypatch.setattr(folder, "find_spec", lambda _: None)
    assert "pip install 'lwsam-ref[images]'" in refused("train", "--dataset", "folder", "--folder", tmp_path)


@given(st.lists(st.tuples(st.integers(8, 160), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_file_is_read_or_refused(damage: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as root, warnings.catch_warnings(action="ignore"):
        path = Path(root) / "damaged.png"
        draw(path, 1)
        content = bytearray(path.read_bytes())
        for at, value in damage:
            content[at % len(content)] = value
        path.write_bytes(content)
        with suppress(UserError):
            assert folder.decoded([path]).dtype == np.uint8

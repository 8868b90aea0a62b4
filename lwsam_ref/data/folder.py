"""A folder of the user's own PNG images: a sub-folder a class, and the classes in order of name.

Either ``train/CLASS/*.png`` and ``test/CLASS/*.png``, or ``CLASS/*.png``; then every fifth image, the 5th, 10th, ...
in order of class and name, is for the test. Images are grey or RGB and all of one size, 8 bits a channel (of 16 the
upper 8 are read). What an image would decode to is in its header, and judged before anything is decoded. Hidden files
and folders are left aside.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.data.dataset import Images, Split
from lwsam_ref.errors import UserError

PIXELS = 2**24
"""The most that an image may have: 4096 x 4096."""
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""Pillow's modes without transparency, each with what it is read as: bilevel is grey, a palette is RGB."""


def classes(place: Path) -> dict[str, list[Path]]:
    """The images of each sub-folder, all in order of name: at least two sub-folders, none of them empty."""
    folders = sorted(p for p in place.iterdir() if p.is_dir() and p.name[0] != ".")
    if len(folders) < 2:
        raise UserError(f"asked for classes in {place}, but the sub-folders in it are {len(folders)}: make two or more")
    found = {f.name: sorted(p for p in f.iterdir() if p.suffix.lower() == ".png" and p.name[0] != ".") for f in folders}
    for name in found:
        if not found[name]:
            raise UserError(f"asked for images in {place / name}, but no .png is there: put some there, or remove it")
    return found


def decoded(paths: list[Path]) -> np.ndarray[Any, Any]:
    """The images (N, H, W, C), uint8, C = 1 or 3."""
    from PIL import Image

    images, first = [], ""
    for path in paths:
        try:
            bomb = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
            with bomb, Image.open(path, formats=["PNG"]) as image:
                if image.mode not in MODES:
                    raise ValueError(f"of mode {image.mode}, where grey or RGB is needed")
                if image.width * image.height > PIXELS:
                    raise ValueError(f"{image.width} x {image.height}, where {PIXELS} pixels are the most")
                size = f"{image.width} x {image.height} {MODES[image.mode]}"
                first = first or size
                if size != first:
                    raise ValueError(f"{size}, where the first is {first}")
                images.append(np.asarray(image.convert(MODES[image.mode])))
        except Exception as error:  # a decoder may meet anything in a broken file
            raise UserError(f"asked for the image {path}, but it is no use ({error}): mend or remove it") from None
    return np.stack(images).reshape(len(images), *images[0].shape[:2], -1)


def load(folder: str) -> Images:
    """The images under ``folder``, split, with labels by the order of the classes."""
    root = Path(folder)
    if not folder or not root.is_dir():
        raise UserError(f"asked for the images in {folder!r}, which is no folder: name one with --folder")
    if find_spec("PIL") is None:
        raise UserError("asked for PNG images, but Pillow is not installed: pip install 'lwsam-ref[images]'")
    parted = (root / "train").is_dir() and (root / "test").is_dir()
    parts = [classes(root / "train"), classes(root / "test")] if parted else [classes(root)]
    if differ := sorted(parts[0].keys() ^ parts[-1].keys()):
        raise UserError(f"asked for {root}, but {differ[0]!r} is in one of train and test only: make the classes equal")
    groups = [(place, label, paths) for place, part in enumerate(parts) for label, paths in enumerate(part.values())]
    labels = np.array([label for _, label, paths in groups for _ in paths], np.int64)
    places = np.array([place for place, _, paths in groups for _ in paths])
    is_test = places == 1 if parted else np.arange(len(labels)) % 5 == 4
    if not is_test.any():
        raise UserError(f"asked for every fifth image in {root} for the test, but it has {len(labels)}: put more there")
    images = decoded([path for *_, paths in groups for path in paths])
    train, test = (Split(images[m], labels[m]) for m in (~is_test, is_test))
    return Images("folder", train, test, outputs=len(parts[0]), pad=min(images.shape[1:3]) // 8)

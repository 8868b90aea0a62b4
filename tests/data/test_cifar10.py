"""CIFAR-10's binary version: read as it is written, found where it lies, and one sentence for whatever is not right."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lwsam_ref import data
from lwsam_ref.data import Images, Split, cifar10
from lwsam_ref.errors import UserError
from lwsam_ref.training import loop as train
from lwsam_ref.training.trainer import Trainer
from support.cifar_files import (
    FOLDER,
    NAMES,
    RECORD,
    batch,
    lwsam,
    overwrite,
    place,
    refused,
    tree,
    unreachable,
    use_records,
    use_source,
)

RECORDS = 10_000
SIZE = RECORDS * RECORD


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One file of the true size, 30 MB; every name of every test is a link to it or to a changed copy."""
    path = tmp_path_factory.mktemp("cifar10") / "batch.bin"
    path.write_bytes(batch(RECORDS))
    yield path
    path.unlink()


@pytest.fixture
def base(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder with all six files; the archive's address is one where nobody answers."""
    base = tmp_path / "data"
    folder = place(base / FOLDER, dict.fromkeys(NAMES, whole))
    with unreachable() as url:
        use_source(monkeypatch, replace(cifar10.SOURCE, url=url))
        yield base
    for path in folder.glob("*.bin"):  # pytest keeps the folders of three sessions
        path.rmdir() if path.is_dir() else path.unlink()


def record_by_hand(content: bytes, i: int) -> tuple[list[list[list[int]]], int]:
    """Image [row][column][colour] and label: a byte, then the red, the green and the blue plane, each row by row."""
    record = content[i * RECORD : (i + 1) * RECORD]
    pixels = range(32)
    image = [[[record[1 + 1024 * c + 32 * y + x] for c in range(3)] for x in pixels] for y in pixels]
    return image, record[0]


def test_the_files_at_their_true_size_are_read_as_they_are_written(base: Path, whole: Path) -> None:
    found, written = data.load("cifar10", base), whole.read_bytes()
    assert isinstance(found, Images)
    assert (found.name, found.outputs, found.pad, found.flip) == ("cifar10", 10, 4, True)
    assert found.train.inputs.shape == (50_000, 32, 32, 3)
    assert found.test.inputs.shape == (10_000, 32, 32, 3)
    for split, files in ((found.train, 5), (found.test, 1)):
        assert (split.inputs.dtype, split.targets.dtype) == (np.uint8, np.int64)
        assert np.bincount(split.targets).tolist() == [1000 * files] * 10
        for i in (0, 1, 4711, RECORDS - 1):
            image, label = record_by_hand(written, i)
            for file in range(files):
                assert split.inputs[file * RECORDS + i].tolist() == image
                assert split.targets[file * RECORDS + i] == label


def test_the_files_follow_one_another_in_the_order_of_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_records(monkeypatch, 10)
    written = {name: batch(10, seed) for seed, name in enumerate(NAMES)}
    for name, bytes_ in reversed(written.items()):
        (tmp_path / name).write_bytes(bytes_)
    found = data.load("cifar10", tmp_path)
    for split, names in ((found.train, NAMES[:5]), (found.test, NAMES[5:])):
        records = [record_by_hand(written[name], i) for name in names for i in range(10)]
        assert split.inputs.tolist() == [image for image, _ in records]
        assert split.targets.tolist() == [label for _, label in records]


def test_the_folder_may_be_named_itself_or_the_one_that_holds_it(base: Path) -> None:
    folder = base / FOLDER
    said = {lwsam("data", "verify", "cifar10", "--data-dir", where) for where in (base, folder)}
    line = "cifar10: 50000 images to train on and 10000 to test with, 32 x 32 x 3, 10 classes, in"
    assert said == {(0, f"{line} {folder}\n", "")}
    for where in (base, folder):
        assert cifar10.SOURCE.path(where) == cifar10.SOURCE.checked(where) == folder
        assert lwsam("data", "path", "cifar10", "--data-dir", where) == (0, f"{folder}\n", "")


def test_the_data_folder_is_the_one_asked_for_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path(*options: object) -> Path:
        said = lwsam("data", "path", "cifar10", *options)
        assert (said.status, said.err) == (0, "")
        return Path(said.out.removesuffix("\n"))

    for variable in ("LWSAM_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert path() == tmp_path / "home" / ".cache" / "lwsam-ref" / FOLDER
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert path() == tmp_path / "cache" / "lwsam-ref" / FOLDER
    monkeypatch.setenv("LWSAM_DATA_DIR", "")  # set to nothing is not set
    assert path() == tmp_path / "cache" / "lwsam-ref" / FOLDER
    monkeypatch.setenv("LWSAM_DATA_DIR", str(tmp_path / "variable"))
    assert path() == tmp_path / "variable" / FOLDER
    assert path("--data-dir", tmp_path / "asked") == tmp_path / "asked" / FOLDER
    assert not list(tmp_path.iterdir())  # to tell a path makes none


def test_files_are_found_by_the_variable_and_the_option_beats_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LWSAM_DATA_DIR", str(base))
    assert data.load("cifar10").train.inputs.dtype == np.uint8
    assert str(tmp_path / "empty" / FOLDER) in refused("data", "verify", "cifar10", "--data-dir", tmp_path / "empty")
    monkeypatch.setenv("LWSAM_DATA_DIR", str(tmp_path / "empty"))
    assert str(tmp_path / "empty" / FOLDER) in refused("train", "--dataset", "cifar10")
    assert lwsam("data", "path", "cifar10", "--data-dir", base).out == f"{base / FOLDER}\n"


def test_a_run_gets_the_images_as_bytes(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Trainer] = []

    def run(trainer: Trainer, *_: object, **__: object) -> None:
        seen.append(trainer)

    monkeypatch.setattr(train, "run", run)
    options = ("--dataset", "cifar10", "--model", "mlp", "--k", 1, "--data-dir", base)
    assert lwsam("train", *options).status == 0
    assert seen[0].data.name == "cifar10"
    assert {split.inputs.dtype for split in (seen[0].data.train, seen[0].data.test)} == {np.dtype(np.uint8)}


def sized(name: str, size: int) -> Callable[[Path], None]:
    """The file at another length, its end cut off or zeros; a sparse file, which takes no space."""

    def change(folder: Path) -> None:
        overwrite(folder / name, b"")
        os.truncate(folder / name, size)

    return change


def labelled(name: str, record: int, label: int | None) -> Callable[[Path], None]:
    """One record with another label, or (None) with that of the next class."""

    def change(folder: Path) -> None:
        table = np.frombuffer((folder / name).read_bytes(), np.uint8).reshape(RECORDS, RECORD).copy()
        table[record, 0] = (table[record, 0] + 1) % 10 if label is None else label
        overwrite(folder / name, table.tobytes())

    return change


def removed(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def as_folder(folder: Path) -> None:
    (folder / NAMES[2]).unlink()
    (folder / NAMES[2]).mkdir()


def as_link_to_nothing(folder: Path) -> None:
    (folder / NAMES[3]).unlink()
    (folder / NAMES[3]).symlink_to(folder / "nothing")


ABSENT = ["there is no", "lwsam data fetch cifar10", "--data-dir", "LWSAM_DATA_DIR"]
RESIZED = [f"where {SIZE} are right", "remove it", "lwsam data fetch cifar10"]
OUT_OF_RANGE = ["labels are 0 to 9", "binary version", "fetch it again"]


@pytest.mark.parametrize(
    ("change", "file", "words", "fetches"),
    [
        (removed(*NAMES), NAMES[0], ABSENT, True),
        (removed(NAMES[0]), NAMES[0], ABSENT, True),
        (removed(NAMES[2]), NAMES[2], ABSENT, True),
        (removed(NAMES[5]), NAMES[5], ABSENT, True),
        (as_folder, NAMES[2], ABSENT, True),
        (as_link_to_nothing, NAMES[3], ABSENT, True),
        (sized(NAMES[1], SIZE - 1), NAMES[1], [f"has {SIZE - 1} bytes", *RESIZED], False),
        (sized(NAMES[5], SIZE - RECORD), NAMES[5], [f"has {SIZE - RECORD} bytes", *RESIZED], False),
        (sized(NAMES[4], SIZE + 1), NAMES[4], [f"has {SIZE + 1} bytes", *RESIZED], False),
        (sized(NAMES[0], 2 * SIZE), NAMES[0], [f"has {2 * SIZE} bytes", *RESIZED], False),
        (sized(NAMES[3], 0), NAMES[3], ["has 0 bytes", *RESIZED], False),
        (labelled(NAMES[1], 7, 10), NAMES[1], ["record 7 ", "label 10", *OUT_OF_RANGE], False),
        (labelled(NAMES[5], 9999, 255), NAMES[5], ["record 9999 ", "label 255", *OUT_OF_RANGE], False),
        (labelled(NAMES[4], 0, None), ", ".join(NAMES[:5]), ["images of class", "has 5000: fetch them again"], False),
        (labelled(NAMES[5], 3, None), NAMES[5], ["images of class", "has 1000: fetch them again"], False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_files_that_are_not_those_of_cifar_10_are_refused_in_one_sentence(
    base: Path, change: Callable[[Path], None], file: str, words: list[str], fetches: bool
) -> None:
    folder = base / FOLDER
    change(folder)
    before = tree(base)
    path = str(folder / file) if "images of class" not in words else file
    with pytest.raises(UserError) as error:
        data.load("cifar10", base)
    asked: tuple[str, ...]
    for asked in (("data", "verify", "cifar10"), ("train", "--dataset", "cifar10"), ("data", "fetch", "cifar10")):
        said = refused(*asked, "--data-dir", base)
        if asked[1] == "fetch" and fetches:
            assert cifar10.SOURCE.url in said  # tried, in vain
            assert str(base / "cifar-10-binary.tar.gz") in said
        else:
            assert said == f"lwsam: {error.value}\n"
            assert all(word in said for word in [path, str(folder), *words]), said
    assert tree(base) == before


@pytest.mark.parametrize("missing", NAMES)
def test_whichever_file_is_missing_is_named(base: Path, missing: str) -> None:
    (base / FOLDER / missing).unlink()
    with pytest.raises(UserError, match=rf"there is no {base / FOLDER / missing}: "):
        cifar10.SOURCE.checked(base)


@pytest.mark.parametrize(
    "command", [("data", "verify"), ("data", "path"), ("data", "fetch"), ("train", "--dataset"), ("trace", "--dataset")]
)
def test_a_data_set_that_is_not_known_is_one_sentence(base: Path, command: tuple[str, ...]) -> None:
    said = refused(*command, "cifar11", "--data-dir", base)
    assert all(word in said for word in ("dataset 'cifar11'", "not known", "cifar10, digits")), said


@pytest.mark.parametrize("command", [("data", "verify", "cifar10"), ("data", "fetch", "cifar10")])
def test_a_file_in_the_place_of_the_data_folder_is_one_sentence(base: Path, command: tuple[str, ...]) -> None:
    file = base / FOLDER / NAMES[0]
    assert str(file) in refused(*command, "--data-dir", file)


def test_the_command_in_a_process_of_its_own_says_the_same(base: Path) -> None:
    sized(NAMES[1], 5)(base / FOLDER)
    command = [sys.executable, "-m", "lwsam_ref.cli", "data", "verify", "cifar10", "--data-dir", str(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == refused("data", "verify", "cifar10", "--data-dir", base)


def dataset(images: np.ndarray) -> Images:
    labels = np.zeros(len(images), np.int64)
    return Images("toy", Split(images, labels), Split(images[:1], labels[:1]), outputs=1, pad=0, flip=False)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(2), st.just(1), st.integers(1, 2))))
def test_moments_are_those_of_exact_arithmetic(images: np.ndarray) -> None:
    mean, deviation = dataset(images).moments
    assert (mean.dtype, deviation.dtype) == (np.float64, np.float64)
    for pixel in np.ndindex(images.shape[1:]):
        values = [int(image[pixel]) for image in images]
        n, total, squares = len(values), sum(values), sum(v * v for v in values)
        assert mean[pixel] == float(Fraction(total, n))  # one rounding: the nearest there is
        assert deviation[pixel] == math.sqrt(n * squares - total * total) / n
        assert (deviation[pixel] == 0) == (len(set(values)) == 1)


@pytest.mark.parametrize(("values", "mean", "deviation"), [([0, 2], 1, 1), ([3, 3], 3, 0), ([0, 255], 127.5, 127.5)])
def test_moments_of_whole_numbers_are_exact(values: list[int], mean: float, deviation: float) -> None:
    found = dataset(np.array(values * 700, np.uint8).reshape(-1, 1, 1, 1)).moments  # more than one piece of the sum
    assert [array.item() for array in found] == [mean, deviation]


def test_moments_and_standardised_images_are_those_of_all_images_in_float64() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2345, 3, 2, 3), np.uint8)
    images[:, 0, 0, 0] = 7  # never varies
    before, found = images.copy(), dataset(images)
    mean, deviation = found.moments
    exact = images.astype(np.float64)
    # NumPy's own sums round at each of 2,345 additions
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, exact.std(axis=0), rtol=1e-12)
    standardised = found.prepared(images[:50])
    varies = deviation > 0
    expected = ((exact[:50] - mean) / np.where(varies, deviation, 1.0)) * varies
    # times the reciprocal, which rounds once more than a division
    np.testing.assert_allclose(standardised, expected, rtol=5e-16)
    assert standardised.dtype == np.float64
    assert not standardised[:, 0, 0, 0].any()
    assert found.train.inputs.dtype == np.uint8
    assert np.array_equal(found.train.inputs, before)

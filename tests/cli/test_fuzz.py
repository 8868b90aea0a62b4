"""Hundreds of damaged config files, data files and archives: each is used as it says, or refused in one sentence."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms.optimizer import learning_rate
from lwsam_ref.analysis import compare
from lwsam_ref.autodiff.network import Network
from lwsam_ref.data import archive, digits
from lwsam_ref.data.source import Source
from lwsam_ref.errors import UserError
from lwsam_ref.training import loop as train
from lwsam_ref.training.config import OPTIONS, RENAMED, Config, parse
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.trainer import Trainer
from nets import mlp
from support.cifar_files import (
    FOLDER,
    NAMES,
    RECORD,
    Said,
    batch,
    is_refusal,
    lwsam,
    place,
    tree,
    unreachable,
    use_records,
)
from support.tables import use_models

# Each example makes what it needs, below a folder that a test has once.
many = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

TEXT = Config().toml()
RECORDS = 20


def cheap(shape: tuple[int, ...], classes: int, *, device: Any, seed: int, **options: Any) -> Network:
    """As many layers as ResNet-20, as small as can be; in the place of every network."""
    return mlp(shape, classes, hidden=(1,) * 22, device=device, seed=seed)


class Runs(list[Trainer]):
    """The runs that were reached, none of which trains."""

    def run(self, trainer: Trainer, *_: object) -> None:
        """In the place of the loop, with what that does with the config before the first step."""
        config = trainer.config
        assert Config.of(parse(config.toml().encode(), "its own text")).used() == config.used()
        learning_rate(config.lr, config.lr_drops, config.lr_factor, 0, config.epochs)
        self.append(trainer)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """The runs that the command reaches; CIFAR-10 lies nowhere and is to be had from nowhere."""
    runs = Runs()
    monkeypatch.setattr(train, "run", lambda *arguments, **_: runs.run(*arguments))
    use_models(monkeypatch, dict.fromkeys(MODELS, cheap))
    monkeypatch.setattr(digits, "read", cache(digits.read))
    monkeypatch.setenv("LWSAM_DATA_DIR", str(tmp_path / "nowhere"))
    with unreachable() as url:
        use_records(monkeypatch, RECORDS, url=url)
        yield runs


def used_or_refused(said: Said) -> bool:
    """Whether the command did what was asked; if not, it says so in one sentence, and nothing else happens."""
    if said.status == 0:
        assert said.err == ""
        return True
    assert is_refusal(said), said
    return False


def as_written(text: bytes) -> dict[str, Any]:
    """What a config file says, read without the code under test: hyphens, names of version 0.1."""
    said = {name.replace("-", "_"): value for name, value in tomllib.loads(text.decode()).items()}
    if said.pop("format", 1) == 1:
        said = {RENAMED.get(name, name): value for name, value in said.items()}
    default = {name: option.default for name, option in OPTIONS.items()}
    assert said.keys() <= default.keys()
    return default | said


def same(value: Any, written: Any) -> bool:
    """Equal, and of the type that the option has: a whole number stands for a float, a list for a tuple."""
    if isinstance(value, tuple):
        return len(value) == len(written) and all(map(same, value, written))
    if type(value) is float and type(written) is int:
        return value == float(written)
    return type(value) is type(written) and value == written


def outcome(file: Path, text: bytes, runs: Runs) -> str:
    """What ``lwsam train`` does with a config file: it uses it, and then as it says, or refuses it."""
    runs.clear()
    file.write_bytes(text)
    if used_or_refused(lwsam("train", "--config", file)):
        (run,), written = runs, as_written(text)
        wrong = {name for name in OPTIONS if not same(getattr(run.config, name), written[name])}
        assert not wrong, {name: (getattr(run.config, name), written[name]) for name in wrong}
        assert run.data.name == written["dataset"]
        return "used"
    assert not runs
    return "refused"


# Values as TOML has them: of other types, beyond any range, beyond what Python shows.
ODD = [
    *("0", "-1", "4", "24", "1e3", "-0.0", "0.5", "1.0000000000000002", "1e308", "1e400", "5e-324", "nan", "-inf"),
    *(f"{2**31}", f"{2**32}", f"{2**63}", "1" + 400 * "0", "1" + 5000 * "0", "0x" + 5000 * "f", "0o17", "0b1", "1_0"),
    *("true", "false", "''", '"4"', "'sgd'", '"\\u00e9\\n\\u2028"', "'''\n'''", "[]", "[1, 2.5]", "[0.5]", "[[0.5]]"),
    *("[true]", "['a']", "[" + "0x" + 5000 * "f" + "]", "{}", "{a = 1}", "{a.b.c = []}", 300 * "[" + 300 * "]"),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "", "=", "[", "#", "\x00", "\x85"),
]


def fitting(name: str) -> st.SearchStrategy[Any]:
    """A value that an option may have, at its limits as often as between them."""
    f = OPTIONS[name]
    low, high = f.at_least, f.at_most
    if isinstance(f.default, bool):
        return st.booleans()
    if isinstance(f.default, str):
        return st.sampled_from(f.choices or (f.default,))
    if isinstance(f.default, int):
        return st.integers(int(low or 0), int(high if high is not None else 2000))
    number = st.floats(low, high, allow_nan=False, allow_infinity=False) | st.integers(0, 1)
    return st.lists(number, max_size=3) if isinstance(f.default, tuple) else number


def close_to(value: Any) -> st.SearchStrategy[Any]:
    """The same value in another type, or a little beside it."""
    near: list[Any] = [str(value), [value], [[value]], {"value": value}]
    match value:
        case bool():
            near += [int(value), float(value), str(value).lower()]
        case int():
            near += [float(value), value + 0.5, value - 1, value + 1, -value, bool(value), value << 32, value << 64]
        case float():
            near += [int(value), -value, value + 1, bool(value), np.nextafter(value, -1.0).item(), value * 1e300]
        case str():
            near += [value.upper(), f"{value} ", f"{value}\n", value[:-1], ""]
        case list():
            near += [[*value, "1"], [*value, True], [*value, -1], [*value, float("nan")], [*value, 2], value[::-1]]
    return st.sampled_from(near)


@st.composite
def single_options(draw: st.DrawFn) -> bytes:
    """One option with a value that it may have, or nearly; nothing else that could be refused."""
    name = draw(st.sampled_from(sorted(OPTIONS)))
    value = draw(fitting(name))
    return tomli_w.dumps({name: value if draw(st.booleans()) else draw(close_to(value))}).encode()


@st.composite
def edited_configs(draw: st.DrawFn) -> bytes:
    """The default config with up to four edits of lines and then up to three of bytes."""
    lines = TEXT.splitlines()
    for _ in range(draw(st.integers(0, 4))):
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        name = lines[at].partition(" =")[0]
        match draw(st.sampled_from(("fitting", "odd", "drop", "double", "swap", "comment", "hyphen"))):
            case "fitting" if name in OPTIONS:
                lines[at] = tomli_w.dumps({name: draw(fitting(name))}).rstrip("\n")
            case "odd":
                lines[at] = f"{name} = {draw(st.sampled_from(ODD))}"
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "comment":
                lines[at] = f"# {lines[at]}"
            case "hyphen":
                lines[at] = lines[at].replace("_", "-")
    text = bytearray("\n".join(lines) + "\n", "utf-8")
    for _ in range(draw(st.sampled_from((0, 0, 1, 2, 3)))):
        at = draw(st.integers(0, len(text) - 1))
        match draw(st.sampled_from(("flip", "set", "insert", "delete", "cut"))):
            case "flip":
                text[at] ^= 1 << draw(st.integers(0, 7))
            case "set":
                text[at] = draw(st.sampled_from(b'0123456789-+.eE_=[]{}"#\n\r\t \x00\x7f\x80\xff'))
            case "insert":
                text[at:at] = draw(
                    st.binary(min_size=1, max_size=3) | st.sampled_from([b"0", b"\n", b'"', b"\xef\xbb"])
                )
            case "delete":
                del text[at : at + draw(st.integers(1, 9))]
            case "cut":
                del text[at + 1 :]
        text = text or bytearray(b" ")
    return bytes(text)


scalars = st.one_of(
    *(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.datetimes(), st.times()),
    st.sampled_from([*METHODS, *MODELS, 10**400, -(10**400), date(1979, 5, 27), datetime(1, 1, 1), time(7)]),
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))


@st.composite
def structured_configs(draw: st.DrawFn) -> bytes:
    """Any dictionary that TOML can hold: mostly of options, mostly of values that they may have."""
    config: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(sorted(OPTIONS)))
        value = draw(st.one_of(fitting(name), fitting(name), fitting(name), values))
        config[draw(st.sampled_from((name, name, name.replace("_", "-"))))] = value
    if draw(st.integers(0, 7)) == 0:
        config[draw(st.text(max_size=5))] = draw(values)
    return tomli_w.dumps(config).encode()


@many
@given(text=single_options())
def test_one_option_is_used_as_it_says_or_refused(tmp_path: Path, runs: Runs, text: bytes) -> None:
    event(outcome(tmp_path / "config.toml", text, runs))


@many
@given(text=edited_configs())
def test_an_edited_config_is_used_as_it_says_or_refused(tmp_path: Path, runs: Runs, text: bytes) -> None:
    event(outcome(tmp_path / "config.toml", text, runs))


@many
@given(text=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_and_any_text_are_used_as_they_say_or_refused(tmp_path: Path, runs: Runs, text: bytes) -> None:
    event(outcome(tmp_path / "config.toml", text, runs))


@many
@given(text=structured_configs())
def test_any_table_is_used_as_it_says_or_refused(tmp_path: Path, runs: Runs, text: bytes) -> None:
    event(outcome(tmp_path / "config.toml", text, runs))


@many
@given(text=structured_configs())
def test_any_table_is_compared_or_refused(tmp_path: Path, runs: Runs, text: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "compare", lambda *_: ([], []))
        options = ("--config", tmp_path / "config.toml", "--no-picture", "--out", tmp_path / "out")
        event("used" if used_or_refused(lwsam("compare", *options)) else "refused")


@pytest.mark.parametrize("make", [single_options, edited_configs, structured_configs])
def test_of_the_configs_a_fair_share_is_used(
    tmp_path: Path, runs: Runs, make: Callable[[], st.SearchStrategy[bytes]]
) -> None:
    """Or the tests above would compare nothing."""
    used: list[bool] = []

    @settings(many, max_examples=200, database=None, derandomize=True)
    @given(make())
    def ask(text: bytes) -> None:
        (tmp_path / "config.toml").write_bytes(text)
        used.append(lwsam("train", "--config", tmp_path / "config.toml").status == 0)

    ask()
    assert 0.1 < np.mean(used) < 0.9


HEX = "0x" + 5000 * "f"
DOTS = ".".join("a" * 3000)


@pytest.mark.parametrize(
    "text",
    [
        *(f"{name} = {HEX}" for name in ("k", "epochs", "batch_size", "seed", "r", "lr_drops", "method", "augment")),
        *(f"method = 'sgd'\n{name} = {value}" for name in ("k", "epochs") for value in (HEX, "1" + 400 * "0")),
        *(f"k = [{HEX}]", f"k.{DOTS} = 1", f"[r.{DOTS}]", f"{DOTS} = 1", f"'{'k' * 9999}' = 1"),
        *('"a\\n-" = 1\n"a\\n_" = 2', '"a\\n" = 1', 'method = "a\\nb\\r\\u2028\\u0085c"', '"\\u001b[31m" = 1'),
        *("weight_decay = 1e300", "weight_decay = 1e300\ndecay_in = 'loss'", "lr = 1e300", "r = 1e300"),
        *("method = [['sgd']]", "[method]\na = 1", "[[method]]\na = 1", "k = [[1]]", "[[k]]", "model = [1]"),
        *("label_smoothing = 1", "momentum = 1\nalpha = 0", "lr_drops = []", "lr_drops = [0, 1, 0, 1]", "k = 0"),
    ],
    ids=lambda text: text[:30].encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_config_at_the_limits_of_toml_or_python_is_used_as_it_says_or_refused(
    tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch, command: str, text: str
) -> None:
    if command == "train":
        assert outcome(tmp_path / "config.toml", text.encode(), runs) in ("used", "refused")
        return
    monkeypatch.setattr(compare, "compare", lambda *_: ([], []))
    (tmp_path / "config.toml").write_text(text)
    options = ("--config", tmp_path / "config.toml", "--no-picture", "--out", tmp_path / "out")
    used_or_refused(lwsam("compare", *options))


Files = dict[str, bytes | None]


def six_files() -> Files:
    """Each class as often as it has to be, in all training files together but not in each."""
    train = np.frombuffer(batch(5 * RECORDS, seed=1), np.uint8).reshape(5, RECORDS * RECORD)
    return dict(zip(NAMES, [*(file.tobytes() for file in train), batch(RECORDS, seed=2)], strict=True))


SIX = six_files()


@st.composite
def damaged_files(draw: st.DrawFn) -> Files:
    """The six files with up to three changes; None where there is no file."""
    files = dict(SIX)
    records, kinds = st.integers(0, RECORDS - 1), ["pixels", "exchange", "swap", "swap", "label", "label"]
    kinds += ["truncate", "extend", "delete", "noise", "text", "gzip", "turn"]
    for _ in range(draw(st.integers(0, 3))):
        name, other = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        old = bytearray(files[name] or b"")
        match draw(st.sampled_from(kinds)):
            case "pixels":
                for _ in range(draw(st.integers(1, 5))):
                    at = draw(records) * RECORD + draw(st.integers(1, RECORD - 1))
                    old[at : at + 1] = draw(st.binary(min_size=1, max_size=1)) if at < len(old) else b""
            case "exchange":  # the labels of two records of one file
                i, j = draw(records) * RECORD, draw(records) * RECORD
                if max(i, j) < len(old):
                    old[i], old[j] = old[j], old[i]
            case "swap":
                files[name], files[other] = files[other], files[name]
                continue
            case "label":
                at = draw(records) * RECORD
                old[at : at + 1] = draw(st.integers(0, 9) | st.integers(0, 255)).to_bytes() if at < len(old) else b""
            case "truncate":
                del old[draw(st.integers(0, len(old))) :]
            case "extend":
                old += draw(st.binary(min_size=1, max_size=9)) * draw(st.sampled_from((1, RECORD)))
            case "delete":
                files[name] = None
                continue
            case "noise":
                old[:] = np.random.default_rng(draw(st.integers(0, 99))).bytes(draw(st.sampled_from((9, len(old)))))
            case "text":
                old[:] = b"<html>Not found</html>\n" * draw(st.integers(1, 3000))
            case "gzip":
                old[:] = gzip.compress(old, 1)
            case "turn":  # every record begins a byte late
                old[:] = old[1:] + old[:1]
        files[name] = bytes(old)
    return files


def is_cifar10(files: Files) -> bool:
    """Sizes, labels and counts, by hand."""
    if not all(file is not None and len(file) == RECORDS * RECORD for file in files.values()):
        return False
    labels = [Counter(b"".join((files[name] or b"")[::RECORD] for name in names)) for names in (NAMES[:5], NAMES[5:])]
    return labels == [dict.fromkeys(range(10), 10), dict.fromkeys(range(10), 2)]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The six files as they should be, for examples to link to."""
    folder = tmp_path_factory.mktemp("six")
    for name, file in SIX.items():
        (folder / name).write_bytes(file or b"")
    return {name: folder / name for name in SIX}


@many
@given(files=damaged_files(), command=st.sampled_from(("verify", "train", "fetch")), inside=st.booleans())
def test_damaged_data_files_are_refused_unless_they_could_be_cifar_10(
    tmp_path: Path, runs: Runs, on_disk: dict[str, Path], files: Files, command: str, inside: bool
) -> None:
    with TemporaryDirectory(dir=tmp_path) as made:
        folder = Path(made) / FOLDER if inside else Path(made)
        place(folder, {name: on_disk[name] for name, file in files.items() if file == SIX[name]})
        for name, file in files.items():
            if file is not None and file != SIX[name]:
                (folder / name).write_bytes(file)
        before = tree(Path(made))
        asked = ("train", "--dataset", "cifar10") if command == "train" else ("data", command, "cifar10")
        runs.clear()
        said = lwsam(*asked, "--data-dir", made)
        assert used_or_refused(said) == is_cifar10(files), said
        event(f"{command} {said.status}")
        assert tree(Path(made)) == before
        if said.status == 0 and command == "train":
            for split, names in ((runs[0].data.train, NAMES[:5]), (runs[0].data.test, NAMES[5:])):
                table = np.frombuffer(b"".join(files[name] or b"" for name in names), np.uint8).reshape(-1, RECORD)
                assert split.targets.tolist() == table[:, 0].tolist()
                assert np.array_equal(split.inputs.transpose(0, 3, 1, 2).reshape(len(table), -1), table[:, 1:])
        elif said.status == 0:
            counted = "cifar10: 100 images to train on and 20 to test with, 32 x 32 x 3, 10 classes, in"
            assert said.out == f"{counted} {folder}\n"


def five_letters(size: int, seed: int) -> bytes:
    """Something that gzip makes shorter, by Huffman codes that a flipped bit changes."""
    return np.random.default_rng(seed).integers(97, 102, size, np.uint8).tobytes()


# Longer than what is read of a gzip file at once, so that damage is met on the way, too.
MEMBERS = {"one.bin": five_letters(60_000, 1), "two.bin": five_letters(90_000, 2)}
SIZES = {name: len(content) for name, content in MEMBERS.items()}


def archived() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive_:
        for name, content in {"read.me": b"hello", **MEMBERS}.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(content)
            archive_.addfile(info, io.BytesIO(content))
    return file.getvalue()


PLAIN = archived()
GZIP = gzip.compress(PLAIN, mtime=0)


def damaged_bytes(whole: bytes, at: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Bits flipped, a piece left out, doubled or put elsewhere, the end cut off."""

    def flip(bits: list[tuple[int, int]]) -> bytes:
        damaged = bytearray(whole)
        for i, bit in bits:
            damaged[i] ^= 1 << bit
        return bytes(damaged)

    flipped = st.lists(st.tuples(at, st.integers(0, 7)), max_size=4).map(flip)
    piece = st.tuples(at, st.integers(1, 2000))
    return st.one_of(
        *(flipped, flipped, at.map(lambda i: whole[:i])),
        piece.map(lambda p: whole[: p[0]] + whole[sum(p) :]),
        piece.map(lambda p: whole[: sum(p)] + whole[p[0] :]),
        st.tuples(piece, at).map(lambda p: whole[: p[1]] + whole[p[0][0] : sum(p[0])] + whole[p[1] :]),
    )


def extracted(below: Path, content: bytes) -> dict[str, bytes] | None:
    """What is unpacked, and it is ``SIZES`` to the byte and all that is written; or None, and nothing is written."""
    with TemporaryDirectory(dir=below) as made:
        (Path(made) / "archive").write_bytes(content)
        before, into = tree(Path(made)), Path(made) / "into"
        try:
            archive.extract(Path(made) / "archive", "folder", SIZES, into)
        except UserError as error:
            said: str | None = str(error)
        else:
            said = None
        if said is not None:
            assert len(said.splitlines()) == 1, said
            assert tree(Path(made)) == before
            event("refused")
            return None
        found = {path.name: path.read_bytes() for path in (into / "folder").iterdir()}
        assert {name: len(file) for name, file in found.items()} == SIZES
        assert tree(Path(made)).keys() == {
            *(*before, str(into), str(into / "folder")),
            *(str(into / "folder" / name) for name in SIZES),
        }
        event("unpacked")
        return found


in_gzip = st.integers(0, len(GZIP) - 1) | st.integers(0, 40) | st.integers(len(GZIP) - 40, len(GZIP) - 1)
headers = st.sampled_from((0, 1024, 1536 + 60_416))  # of the three members
in_plain = st.integers(0, len(PLAIN) - 1) | headers.flatmap(lambda start: st.integers(start, start + 511))


@many
@given(content=damaged_bytes(GZIP, in_gzip))
def test_a_damaged_gzip_is_refused_or_gives_the_right_files(tmp_path: Path, content: bytes) -> None:
    assert extracted(tmp_path, content) in (None, MEMBERS)


@many
@given(content=damaged_bytes(PLAIN, in_plain))
def test_a_damaged_tar_is_refused_or_gives_files_of_the_right_names_and_sizes(tmp_path: Path, content: bytes) -> None:
    extracted(tmp_path, content)  # a tar has no check sum of its contents


@many
@given(content=damaged_bytes(GZIP, in_gzip))
def test_a_source_unpacks_nothing_but_its_very_archive(tmp_path: Path, content: bytes) -> None:
    sums = hashlib.md5(GZIP, usedforsecurity=False).hexdigest()
    with TemporaryDirectory(dir=tmp_path) as made, unreachable() as url:
        toy = Source("toy", url, sums, "folder", SIZES)
        (Path(made) / toy.archive).write_bytes(content)
        before = tree(Path(made))
        if content == GZIP:
            folder = toy.fetch(Path(made), lambda *_: None)
            assert {path.name: path.read_bytes() for path in folder.iterdir()} == MEMBERS
            return
        with pytest.raises(UserError, match=sums):
            toy.fetch(Path(made), lambda *_: None)
        assert tree(Path(made)) == before


Member = tuple[str, bytes, bytes]
FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
OTHER_TYPES = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """Name, type and content; the two files that are expected, and up to three others, in any order."""
    odd = ["folder", "folder/x", "./folder/x", "folder/x/one.bin", "folder//one.bin", "folder/./one.bin", "folder/..x"]
    odd += ["x", "..", ".", "/", "/folder/one.bin", "../folder/one.bin", "folder/../one.bin", "folder2/one.bin"]
    names = (
        st.sampled_from([f"folder/{name}" for name in SIZES]) | st.sampled_from(odd) | st.text("./folder", max_size=9)
    )
    found: list[Member] = [(f"folder/{name}", tarfile.REGTYPE, file) for name, file in MEMBERS.items()]
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from((*FILE_TYPES, *OTHER_TYPES)))
        content = draw(st.sampled_from((b"", b"x", *MEMBERS.values()))) if kind in FILE_TYPES else b""
        found.append((draw(names), kind, content))
    return draw(st.permutations(found))[draw(st.sampled_from((0, 0, 0, 1))) :]


def expected(found: list[Member]) -> dict[str, bytes] | None:
    """What may be unpacked: every member below folder/, and both files there, each time it occurs, of their sizes."""
    files: dict[str, bytes] = {}
    for name, kind, content in found:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or parts[:1] != ["folder"]:
            return None
        if (inside := name.removeprefix("folder/")) in SIZES and name != inside:
            if kind not in FILE_TYPES or len(content) != SIZES[inside]:
                return None
            files[inside] = content
    return files if files.keys() == SIZES.keys() else None


@many
@given(found=members())
def test_whatever_members_an_archive_has_nothing_but_the_expected_is_written(
    tmp_path: Path, found: list[Member]
) -> None:
    file = io.BytesIO()
    for name, kind, content in found:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(content), "folder/one.bin"
        file.write(info.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * (-len(content) % 512))
    assert extracted(tmp_path, file.getvalue() + b"\0" * 1024) == expected(found)

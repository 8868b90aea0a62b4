"""Checkpoint files: every bit comes back, or the file is refused; the last two are kept; a full disk harms none."""

from __future__ import annotations

import ast
import errno
import io
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_resume import EIGHT, MLP, SHORT, bits, cut, drive, finished, outcome, resumed, small, steps

import lwsam_ref
from lwsam_ref.errors import UserError
from lwsam_ref.files import lock
from lwsam_ref.training import checkpoint
from lwsam_ref.training.trainer import Trainer
from support.cifar_files import lwsam, refused

# -- what is written is read ---------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z]{1,6}(\.[a-z_]{1,6})?", fullmatch=True).filter(lambda name: name != checkpoint.DIGEST)
ARRAYS = st.sampled_from(["float32", "float64", "bool", "int64", "int32", "uint8"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@given(written=st.dictionaries(NAMES, ARRAYS, max_size=5), turned=st.booleans())
def test_arrays_of_any_shape_and_type_come_back_bit_for_bit(
    folder: Path, written: dict[str, Any], turned: bool
) -> None:
    """Not a number stays the one it was, and a transposed array is what it was."""
    arrays = {name: array.T if turned else array for name, array in written.items()}
    checkpoint.write(folder, arrays)
    assert bits(checkpoint.read(folder)) == bits(arrays)
    assert bits(checkpoint.read(folder / "checkpoint.npz")) == bits(arrays)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in range(4):
        checkpoint.write(tmp_path, {"step": np.array(step)})
        assert steps(tmp_path) == [step, step - 1][: step + 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.before.npz", "checkpoint.npz"]


def test_between_two_renames_the_one_before_is_the_newest(tmp_path: Path) -> None:
    for step in range(2):
        checkpoint.write(tmp_path, {"step": np.array(step)})
    (tmp_path / "checkpoint.npz").unlink()
    assert int(checkpoint.read(tmp_path)["step"]) == 0
    checkpoint.replace(tmp_path, checkpoint.read(tmp_path))
    assert steps(tmp_path) == [0, 0]


CALLS = [(os, "fsync", 1), (os, "fsync", 2), (os, "open", 1), (Path, "replace", 1), (Path, "replace", 2)]


@pytest.mark.parametrize(("owner", "name", "number"), CALLS, ids=[f"{name} {i}" for _, name, i in CALLS])
def test_whatever_call_fails_a_whole_checkpoint_is_there_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int
) -> None:
    for step in range(2):
        checkpoint.write(tmp_path, {"step": np.array(step)})
    plain, calls = getattr(owner, name), []

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        with pytest.raises(OSError, match="space"):
            checkpoint.write(tmp_path, {"step": np.array(2)})
    assert len(calls) == number
    assert int(checkpoint.read(tmp_path)["step"]) in (1, 2)
    assert not list(tmp_path.glob("*.tmp"))


# -- what is damaged is refused ------------------------------------------------------------------------------

SMALL = {"weights": np.arange(5, dtype=np.float32), "step": np.array(3), "mask": np.array([True, False])}


def archive(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return stream.getvalue()


def npy(header: str) -> bytes:
    """A file of one array, with any header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)


def saved(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def patched(content: bytes, behind: bytes, offset: int, value: bytes) -> bytes:
    """Other bytes, so far behind the last occurrence of a mark."""
    at = content.rindex(behind) + offset
    return content[:at] + value + content[at + len(value) :]


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


ENTRY = b"PK\x01\x02"
"""Begins what a ZIP archive says about one member."""
HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"
LZMA = archive(zipfile.ZIP_LZMA, a=npy(HEADER % 3))

FOREIGN: dict[str, bytes] = {
    "nothing": b"",
    "a text": b"weights = 1\n",
    "an archive of nothing": archive(),
    "the beginning of an archive": b"PK\x03\x04",
    "a text in an archive": archive(a=b"weights = 1\n"),
    "arrays without a checksum": saved(**SMALL),
    "another's checksum": saved(**SMALL, sha256=np.zeros(32, np.uint8)),
    "a checksum of no array": saved(**SMALL, sha256=np.array({}, object)),
    "an array": npy(HEADER % 3),
    "an array too large for any memory": npy(HEADER % 10**15),
    "the same in an archive": archive(a=npy(HEADER % 10**15)),
    "an array of negative size": archive(a=npy(HEADER % -3)),
    "an array of no type": archive(a=npy(HEADER.replace("<f8", "quaternion") % 3)),
    "a header that does not end": archive(a=npy("{'descr': '<f8', 'shape': (3, ")),
    "a header without end": archive(a=npy("(" * 100)),
    "a header with a wrong key": archive(a=npy("{[]: 3}")),
    "a header of Python 2": archive(a=npy(HEADER % "3L")),
    "a member that is encrypted": patched(saved(**SMALL), ENTRY, 8, b"\x01"),
    "a member compressed in no known way": patched(saved(**SMALL), ENTRY, 10, b"\x63"),
    "a member that lies behind the end": patched(saved(**SMALL), ENTRY, 42, b"\xff\xff\xff\x7f"),
    "damage to what is compressed": patched(LZMA, b"a.npy", 14 - len(LZMA) + LZMA.rindex(b"a.npy"), b"\x55" * 20),
    "a pickle": pickle.dumps(SMALL),
}


def reading(path: Path) -> str:
    """How the file is refused, in one line; nothing if it is read as what was written."""
    try:
        found = checkpoint.read(path)
    except UserError as error:
        said = str(error)
    else:
        assert bits(found) == bits(SMALL)
        return ""
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    assert "no checkpoint or is damaged" in reading(path)


@given(content=st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: b"PK\x03\x04" + tail))
def test_any_bytes_are_refused(folder: Path, content: bytes) -> None:
    path = folder / "any.npz"
    path.write_bytes(content)
    assert "no checkpoint or is damaged" in reading(path)


def test_what_was_pickled_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for content in (pickle.dumps(Trap(trap)), saved(**SMALL, state=np.array([Trap(trap)], object))):
        path = tmp_path / "checkpoint.npz"
        path.write_bytes(content)
        assert reading(path)
    assert not trap.exists()


def test_nothing_in_the_package_reads_or_writes_pickles() -> None:
    """NumPy does only where it is told to."""
    trees = [ast.parse(path.read_text("utf-8")) for path in Path(lwsam_ref.__file__).parent.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    allowed = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "allow_pickle"]
    assert allowed
    assert all(isinstance(value, ast.Constant) and value.value is False for value in allowed)
    imported = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not [node for node in imported if "pickle" in ast.unparse(node)]


Damage = Callable[[bytes], bytes]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """A place, as a share of the file, and what happens there."""
    where = draw(st.floats(0, 1, exclude_max=True))
    kind, bit = draw(st.sampled_from(["cut", "flip", "flip", "foreign", "more"])), draw(st.integers(0, 7))
    other = draw(st.binary(min_size=1, max_size=40))

    def damage(content: bytes) -> bytes:
        at = int(where * len(content))
        if kind == "flip":
            return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        return {
            "cut": content[:at],
            "foreign": (content[:at] + other + content[at + len(other) :])[: len(content)],
            "more": content[:at] + other + content[at:],
        }[kind]

    return damage


@given(damage=damages())
@settings(max_examples=200)
def test_what_is_damaged_is_refused_or_means_the_same(folder: Path, damage: Damage) -> None:
    """A ZIP archive has bytes that mean nothing, like the time of day."""
    checkpoint.write(folder, SMALL)
    path = folder / "damaged.npz"
    path.write_bytes(damage((folder / "checkpoint.npz").read_bytes()))
    reading(path)


@pytest.mark.parametrize(
    "other",
    [
        {"weights": SMALL["weights"].view(np.int32)},
        {"weights": SMALL["weights"].reshape(5, 1)},
        {"weights": SMALL["weights"][::-1]},
        {"weights": -SMALL["weights"]},
        {"more": np.zeros(0)},
    ],
    ids=["type", "shape", "order", "sign of zero and others", "nothing more"],
)
def test_the_checksum_is_of_everything_about_an_array(tmp_path: Path, other: dict[str, Any]) -> None:
    checkpoint.write(tmp_path, SMALL)
    with np.load(tmp_path / "checkpoint.npz") as file:
        digest = file[checkpoint.DIGEST]
    for arrays in (SMALL | other, {"step": SMALL["step"], "mask": SMALL["mask"], "w": SMALL["weights"]}):
        (tmp_path / "checkpoint.npz").write_bytes(saved(**arrays, **{checkpoint.DIGEST: digest}))
        assert "its checksum is wrong" in reading(tmp_path / "checkpoint.npz")
    (tmp_path / "checkpoint.npz").write_bytes(saved(**SMALL, **{checkpoint.DIGEST: digest}))
    assert not reading(tmp_path / "checkpoint.npz")


@pytest.mark.slow
def test_every_flipped_bit_and_every_cut_is_refused_or_means_the_same(folder: Path) -> None:
    checkpoint.write(folder, SMALL)
    content, path, kept = (folder / "checkpoint.npz").read_bytes(), folder / "damaged.npz", 0
    for at in range(len(content)):
        path.write_bytes(content[:at])
        assert reading(path)
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            kept += not reading(path)
    assert kept < 0.3 * 8 * len(content)


# -- a run that goes on, or is refused -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``cut``, a run up to step 6 of 8, and ``whole``, the same to its end."""
    made = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        finished(made / "whole", *MLP, "--k", "2", *EIGHT)
        cut(6, made / "cut", *MLP, "--k", "2", *EIGHT)
    return made


@pytest.fixture
def out(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that was cut."""
    small(monkeypatch)
    return Path(shutil.copytree(runs / "cut", tmp_path / "run"))


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def refused_to_resume(asked: Path, *options: object) -> str:
    """The sentence; not a file is another than it was."""
    out = asked if asked.is_dir() else asked.parent
    before = files(out) if out.exists() else {}
    said = refused("train", "--resume", asked, *options)
    assert before == (files(out) if out.exists() else {})
    return said


def refused_or_gone_on_with(runs: Path, out: Path, damage: Damage) -> None:
    """The run in ``out``, of which the newest checkpoint is damaged; it ends with the same bits either way."""
    shutil.copytree(runs / "cut", out)
    newest = out / "checkpoint.npz"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        try:
            checkpoint.read(newest)
        except UserError:
            said = refused_to_resume(out)
            assert f"{newest}, which is no checkpoint or is damaged" in said
            assert f"name the one before it, {out / 'checkpoint.before.npz'}" in said
            assert refused_to_resume(newest) == said
            assert resumed(out / "checkpoint.before.npz") == outcome(runs / "whole")
        else:
            assert resumed(out) == outcome(runs / "whole")


@given(damage=damages())
@settings(max_examples=15)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_gone_on_from(
    runs: Path, tmp_path_factory: pytest.TempPathFactory, damage: Damage
) -> None:
    refused_or_gone_on_with(runs, tmp_path_factory.mktemp("damaged") / "run", damage)


@pytest.mark.slow
@given(damage=damages())
@settings(max_examples=300)
def test_many_times_a_damaged_checkpoint_is_refused_and_the_one_before_gone_on_from(
    runs: Path, tmp_path_factory: pytest.TempPathFactory, damage: Damage
) -> None:
    refused_or_gone_on_with(runs, tmp_path_factory.mktemp("damaged") / "run", damage)


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_bytes_in_the_place_of_a_checkpoint_are_one_sentence(out: Path, content: bytes) -> None:
    (out / "checkpoint.npz").write_bytes(content)
    assert f"name the one before it, {out / 'checkpoint.before.npz'}" in refused_to_resume(out)
    (out / "checkpoint.before.npz").unlink()
    assert "name another run" in refused_to_resume(out)


def test_from_the_checkpoint_before_a_whole_run_goes_on_too(runs: Path, out: Path) -> None:
    """Cut again behind that, it does not find the newest of old."""
    cut(1, out / "checkpoint.before.npz")
    assert steps(out) == [5, 4]
    assert resumed(out) == outcome(runs / "whole")


def test_where_the_checkpoint_before_cannot_be_made_the_newest_nothing_is_lost(runs: Path, out: Path) -> None:
    """The records behind it go only when nothing needs them."""
    before = files(out)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write_atomically", full)
        assert "No space left" in refused("train", "--resume", out / "checkpoint.before.npz")
    assert files(out) == before
    assert resumed(out) == outcome(runs / "whole")


def test_one_process_at_a_time_has_a_run(out: Path, runs: Path) -> None:
    """The other one touches nothing, whether it would begin, or go on."""
    before = files(out)
    descriptor = lock(out)
    assert "another process does so now" in refused("train", "--resume", out)
    os.close(descriptor)
    assert files(out) == before
    assert resumed(out) == outcome(runs / "whole")


def test_a_process_that_is_refused_leaves_the_folder_free(out: Path, runs: Path) -> None:
    metrics = (out / "metrics.jsonl").read_bytes()
    (out / "metrics.jsonl").write_bytes(metrics[:10])
    assert "shorter" in refused("train", "--resume", out)
    (out / "metrics.jsonl").write_bytes(metrics)
    assert resumed(out) == outcome(runs / "whole")


def test_from_any_copy_of_a_checkpoint_a_run_goes_on_and_can_be_killed(runs: Path, out: Path) -> None:
    """What was newer is not in the way then."""
    shutil.copy(out / "checkpoint.before.npz", out / "copy.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lwsam("train", "--resume", out / "copy.npz")
    (out / "copy.npz").unlink()
    assert resumed(out) == outcome(runs / "whole")


OTHERS = [
    (*MLP, *EIGHT, "--k", "2", "--seed", "1"),
    (*MLP, *EIGHT, "--method", "sgd"),
    (*MLP, *EIGHT, "--k", "2", "--epochs", "3"),
    (*MLP, *EIGHT, "--k", "2", "--dtype", "float64"),
]


@pytest.mark.parametrize("options", OTHERS, ids=["seed", "method", "epochs", "dtype"])
def test_the_checkpoint_of_another_run_is_refused(out: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    cut(6, tmp_path / "another", *options)
    shutil.copy(tmp_path / "another" / "checkpoint.npz", out)
    assert "is the checkpoint of another run" in refused_to_resume(out)
    shutil.copy(out / "checkpoint.npz", out / "checkpoint.before.npz")
    assert "is the checkpoint of another run" in refused_to_resume(out / "checkpoint.before.npz")


@pytest.mark.parametrize("name", ["config", "metrics", "weights", "buffers", "velocity", "norms", "step"])
def test_a_checkpoint_that_lacks_something_is_refused(out: Path, name: str) -> None:
    arrays = checkpoint.read(out)
    del arrays[name]
    checkpoint.write(out, arrays)
    refused_to_resume(out)


def test_a_config_that_was_changed_is_refused(out: Path) -> None:
    config = (out / "config.toml").read_text()
    (out / "config.toml").write_text(config.replace("epochs = 2", "epochs = 3"))
    assert "is the checkpoint of another run" in refused_to_resume(out)
    (out / "config.toml").write_bytes(config.encode()[:200] + b"\xff")
    assert "config.toml, which is not TOML" in refused_to_resume(out)


@pytest.mark.parametrize("keep", [0.0, 0.5, -1], ids=["empty", "half", "all but a byte"])
@pytest.mark.parametrize("name", ["", "checkpoint.before.npz"], ids=["newest", "before"])
def test_a_record_that_was_cut_short_is_refused(out: Path, name: str, keep: float) -> None:
    """Shorter than that checkpoint says: with the one before, more of it can be missing."""
    metrics, asked = out / "metrics.jsonl", out / name
    mark = int(checkpoint.read(asked)["metrics"])
    os.truncate(metrics, mark - 1 if keep == -1 else int(keep * mark))
    assert f"its metrics.jsonl is shorter than its checkpoint says ({mark} bytes)" in refused_to_resume(asked)


def test_a_record_that_is_gone_is_refused(out: Path) -> None:
    (out / "metrics.jsonl").unlink()
    assert "metrics.jsonl is shorter" in refused_to_resume(out)


def test_a_run_whose_checkpoints_are_gone_is_refused(out: Path) -> None:
    """It is not trained anew, over what there is."""
    for name in ("checkpoint.npz", "checkpoint.before.npz"):
        (out / name).unlink()
    assert "its checkpoints are gone" in refused_to_resume(out)


RECORDS = {
    "zeros": b"\x00" * 10_000,
    "a text": b"weights = 1\n" * 1000,
    "lists": b"[]\n" * 5000,
    "no kind": b"{}\n" * 5000,
    "no loss": b'{"kind": "step"}\n' * 1000,
}


@pytest.mark.parametrize("content", RECORDS.values(), ids=RECORDS)
def test_a_record_of_foreign_bytes_is_refused(out: Path, content: bytes) -> None:
    mark = int(checkpoint.read(out)["metrics"])
    metrics = out / "metrics.jsonl"
    metrics.write_bytes(content[:mark].rpartition(b"\n")[0].ljust(mark - 1) + b"\n")
    assert metrics.stat().st_size == mark
    assert "its metrics.jsonl is damaged" in refused_to_resume(out)


@pytest.mark.parametrize(
    "options",
    [
        ("--seed", "0"),
        ("--epochs", "9"),
        ("--no-probe",),
        ("--preset", "digits"),
        ("--config", "config.toml"),
        ("--out", "elsewhere"),
    ],
)
def test_other_options_besides_are_refused(out: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.chdir(out)
    assert "with other options besides" in refused_to_resume(out, *options)


def test_what_holds_no_run_is_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    for asked in (tmp_path / "nowhere", tmp_path / "empty", tmp_path / "empty" / "checkpoint.npz"):
        assert "there is no run" in refused_to_resume(asked)
    assert "which is not there" in refused_to_resume(out / "nothing.npz")
    assert "no checkpoint or is damaged" in refused_to_resume(out / "config.toml")


@pytest.mark.parametrize("name", ["", "checkpoint.npz", "checkpoint.before.npz"])
def test_a_finished_run_says_so_and_changes_no_file(runs: Path, tmp_path: Path, name: str) -> None:
    out = Path(shutil.copytree(runs / "whole", tmp_path / "run"))
    before, times = files(out), {path: path.stat().st_mtime_ns for path in out.iterdir()}
    said = lwsam("train", "--resume", out / name)
    assert (said.status, said.out, said.err) == (0, f"{out} is finished: nothing is left to do\n", "")
    assert files(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


# -- a full disk ---------------------------------------------------------------------------------------------

FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY))"
"""No file can be written beyond so many bytes."""
MOMENTS = {
    "the first checkpoint": ("write_atomically", 3, (0, 1000, 100_000), []),
    "the second checkpoint": ("write_atomically", 4, (0, 5000, 200_000), [0]),
    "the third checkpoint": ("write_atomically", 5, (0, 100_000), [2, 0]),
    "the records": ("Journal.mark", 3, (0, 1500), [2, 0]),
    "the summary": ("Journal.summary", 1, (0, 100), [4, 2]),
}
"""The call, its number, the room, and how far the checkpoints are that are there then."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcome(finished(tmp_path_factory.mktemp("short") / "run", *SHORT))


@pytest.mark.parametrize(("function", "number", "sizes", "kept"), MOMENTS.values(), ids=MOMENTS)
def test_a_full_disk_is_one_sentence_and_with_room_the_run_goes_on(
    tmp_path: Path, short: dict[str, Any], function: str, number: int, sizes: tuple[int, ...], kept: list[int]
) -> None:
    for size in sizes:
        out = tmp_path / f"{size}"
        moment = "call", (function,), number, FULL.format(size)
        ((full,),) = drive([(SHORT, out, [moment])])
        assert full.status == 2, full
        assert len(full.said.splitlines()) == 1
        assert "File too large" in full.said
        assert not list(out.glob("*.tmp"))
        assert steps(out) == kept
        assert resumed(out) == short


TINY_DISK = """
mount -t tmpfs -o size="$1" none "$2" || exit 99
shift
there=$1 copy=$2
shift 2
"$@" --out "$there/run"
status=$?
cp -r "$there/run" "$copy"
exit $status
"""
"""A file system of so many bytes, in which a run fails; what it left is copied from there."""


@pytest.mark.slow
@pytest.mark.parametrize(("checkpoints", "kept"), [(1.5, [0]), (2.5, [2, 0])])
def test_a_small_file_system_that_is_full_leaves_a_run_that_goes_on(
    tmp_path: Path, short: dict[str, Any], checkpoints: float, kept: list[int]
) -> None:
    """With as much room as so many checkpoints take, and the records."""
    one = finished(tmp_path / "whole", *SHORT) / "checkpoint.npz"
    there, copy = tmp_path / "there", tmp_path / "copy"
    there.mkdir()
    size = int(one.stat().st_size * checkpoints) + 2**15
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    train = [sys.executable, "-m", "lwsam_ref.cli", "train", *SHORT]
    command = [*namespace, "sh", "-c", TINY_DISK, "sh", f"{size}", there, copy, *train]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[-1].endswith("No space left on device")
    assert not list(copy.glob("*.tmp"))
    assert steps(copy) == kept
    assert resumed(copy) == short

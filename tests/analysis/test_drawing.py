"""A picture is refused before anything is computed, and written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lwsam_ref.analysis import drawing
from support.cifar_files import is_refusal, lwsam


@pytest.mark.parametrize("command", ["trace", "plot", "compare", "verify"])
def test_without_matplotlib_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    run = tmp_path / "run"
    options = ("--model", "mlp", "--k", 2, "--epochs", 1, "--batch-size", 1438)
    assert lwsam("train", *options, "--out", run).status == 0
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    arguments = {
        "trace": ("--picture", tmp_path / "new.png"),
        "plot": (run,),
        "compare": (*options, "--out", tmp_path / "new"),
        "verify": ("--picture", tmp_path / "new.png"),
    }
    said = lwsam(command, *arguments[command])
    assert is_refusal(said), said
    assert "matplotlib is not installed" in said.err
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert not (run / "run.png").exists()


def test_a_picture_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.svg"
    drawing.save(drawing.figure(1, 1), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        drawing.save(drawing.figure(2, 2), path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"picture.svg": before}


def test_layers_get_darker_towards_the_input() -> None:
    """As luminance, so also in grey; of any number of layers."""
    for count in (1, 2, 23):
        greys = drawing.by_depth(count)[:, :3] @ [0.299, 0.587, 0.114]
        assert len(greys) == count
        assert (greys[1:] > greys[:-1]).all()

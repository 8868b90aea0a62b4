"""The command line, as a user has it: the files of a run, and one sentence with status 2 for what cannot be done."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lwsam_ref import __version__
from lwsam_ref.analysis.figures import front
from lwsam_ref.cli import main as cli
from lwsam_ref.training import checkpoint
from lwsam_ref.training.config import Config, preset
from lwsam_ref.training.methods import METHODS
from support.command import QUICK, lwsam, refused


def metrics(out: Path, kind: str) -> list[dict]:
    return [r for r in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if r["kind"] == kind]


def test_a_run_leaves_the_files_of_the_contract(tmp_path: Path) -> None:
    done = lwsam("train", *QUICK, "--k", 2, "--probe", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no terminal, no progress bar
    out = tmp_path / "run"
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoint.before.npz",
        "checkpoint.npz",
        "config.toml",
        "metrics.jsonl",
        "summary.json",
    ]
    config = tomllib.loads((out / "config.toml").read_text())
    assert (config["k"], config["perturb"], config["decay_in"], config["bn_update"]) == (
        2,
        "kernels",
        "optimizer",
        "once",
    )
    summary = json.loads((out / "summary.json").read_text())
    steps, epochs = metrics(out, "step"), metrics(out, "epoch")
    assert len(steps) == 2 * (1438 // 64)
    assert sum(summary["perturbation_counts"].values()) == 2 * len(steps)
    assert steps[0]["selected"] == ["hidden2", "output"]  # all norms 0: the last k
    assert set(epochs[0]["gradient_norms"]) == set(summary["layers"])
    assert summary["final_accuracy"] == epochs[-1]["accuracy"] > 0.7
    saved = checkpoint.read(out / "checkpoint.npz")
    assert int(saved["step"]) == len(steps)
    assert np.array_equal(saved["state.descent_norms"] ** 0.5, list(steps[-1]["descent_norms"].values()))


def test_selection_follows_the_norms_of_the_step_before(tmp_path: Path) -> None:
    assert lwsam("train", *QUICK, "--k", 1, "--out", tmp_path / "run").returncode == 0
    steps = metrics(tmp_path / "run", "step")
    for before, after in pairwise(steps):
        norms = before["descent_norms"]
        assert after["selected"] == [max(norms, key=norms.__getitem__)]


def test_two_runs_with_the_same_config_and_seed_are_identical(tmp_path: Path) -> None:
    arguments = ("train", "--model", "resnet20", "--epochs", 1, "--batch-size", 256)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert lwsam(*arguments, "--seed", seed, "--out", tmp_path / name).returncode == 0
    a, b, c = (json.loads((tmp_path / n / "summary.json").read_text())["weights_sha256"] for n in "abc")
    assert a == b != c


def test_the_resolved_config_repeats_the_run(tmp_path: Path) -> None:
    assert lwsam("train", *QUICK, "--method", "sam", "--rho", 0.05, "--out", tmp_path / "a").returncode == 0
    assert lwsam("train", "--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b").returncode == 0
    assert (tmp_path / "a" / "config.toml").read_bytes() == (tmp_path / "b" / "config.toml").read_bytes()
    a, b = (json.loads((tmp_path / n / "summary.json").read_text())["weights_sha256"] for n in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "mnist"], ["dataset", "mnist", "digits"]),
        (["--model", "resnet21"], ["model", "resnet21", "resnet20"]),
        (["--method", "adam"], ["method", "adam", "layerwise-sam"]),
        (["--criterion", "best"], ["criterion", "best", "high"]),
        (["--k", "24"], ["k = 24", "23 layers"]),
        (["--k", "-1"], ["k = -1", "at least 0"]),
        (["--k", "four"], ["k = 'four'", "int"]),
        (["--r", "-0.1"], ["r = -0.1", "at least 0"]),
        (["--r", "nan"], ["r = nan", "finite"]),
        (["--alpha", "1.5"], ["alpha = 1.5", "between 0 and 1"]),
        (["--method", "sam", "--alpha", "0.5"], ["sam", "0.5", "generalized-sam"]),
        (["--batch-size", "2000"], ["batch_size = 2000", "1438"]),
        (["--method", "looksam", "--alpha", "0.5"], ["looksam", "0.5", "generalized-sam"]),
        (["--budget", "-0.5"], ["budget = -0.5", "at least 0"]),
        (["--method", "esam", "--esam-beta", "0"], ["beta = 0.0", "between 0.001 and 1"]),
        (["--method", "looksam", "--looksam-interval", "0"], ["interval = 0", "at least 1"]),
        (["--lr-drops", "half"], ["lr_drops", "half", "list"]),
        (["--preset", "cifar"], ["preset", "cifar", "digits"]),
        (["--config", "/nowhere/c.toml"], ["/nowhere/c.toml", "cannot be read"]),
        (["--device", "cuda"], ["cuda"]),
        (["--kk", "3"], ["--kk"]),
        (["--out", "/proc/run"], ["/proc/run", "cannot be written"]),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], words: list[str]) -> None:
    said = refused("train", *arguments)
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kk = 3", ["option", "kk", "momentum"]),
        ("k = 2.5", ["k = 2.5", "int"]),
        ("k = true", ["k = True", "int"]),
        ("k = [1]", ["k = [1]", "int"]),
        ("augment = 1", ["augment = 1", "bool"]),
        ("lr_drops = ['a']", ["lr_drops", "list of numbers"]),
        ("lr_drops = [1.5]", ["lr_drops = 1.5", "between 0 and 1"]),
        ("seed = -1", ["seed = -1", "between 0 and"]),
        ("augment = 'false'", ["augment = 'false'", "bool"]),
        ("batch-size = 8\nbatch_size = 9", ["batch_size", "twice"]),
        ("lr = 1" + 400 * "0", ["lr", "range"]),
        ("k = " + 5000 * "[", ["not TOML"]),
        ("k = ", ["not TOML"]),
        ("\udcff", ["not TOML"]),
    ],
)
def test_a_wrong_config_file_is_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    said = refused("train", "--config", path)
    assert all(word in said for word in words), said


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    assert lwsam("train", *QUICK, "--k", 2, "--out", tmp_path / "run").returncode == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert "already holds a run" in refused("train", *QUICK, "--k", 2, "--out", tmp_path / "run")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_a_loss_that_becomes_nan_stops_the_run_and_keeps_what_was_good(tmp_path: Path) -> None:
    said = refused("train", "--model", "mlp", "--k", 2, "--lr", 1e9, "--lr-drops", "", "--out", tmp_path / "run")
    assert "stopped at step" in said
    assert "smaller lr" in said
    assert not (tmp_path / "run" / "summary.json").exists()
    saved = checkpoint.read(tmp_path / "run" / "checkpoint.npz")
    assert all(np.isfinite(a).all() for a in saved.values())
    number = int(said.split("step ")[1].split(":")[0])
    assert len(metrics(tmp_path / "run", "step")) == number


@pytest.mark.parametrize("options", [("--lr", 1e39), ("--r", 1e37), ("--lr", 1e30, "--probe")])
def test_whatever_is_not_finite_stops_the_run(tmp_path: Path, options: tuple[object, ...]) -> None:
    quick = ("--model", "mlp", "--k", 1, "--epochs", 1, "--batch-size", 1438)
    assert "training stopped at step" in refused("train", *quick, *options, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()
    assert all(np.isfinite(a).all() for a in checkpoint.read(tmp_path / "run" / "checkpoint.npz").values())


def test_compare_runs_a_grid_once_each(tmp_path: Path) -> None:
    out = tmp_path / "grid"
    done = lwsam(
        "compare", *QUICK, "--method", "sgd,sam,layerwise-sam", "--k", "1,2", "--seed", "0,1", "--probe", "--out", out
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "comparison.json").read_text())
    assert [row["name"] for row in rows] == ["sgd", "sam", "layerwise-sam k=1", "layerwise-sam k=2"]
    assert all(len(row["runs"]) == 2 for row in rows)
    assert rows[0]["time_relative_to_sgd"] == 1.0
    assert rows[0]["ascent_nodes"] == 0
    assert all(row["accuracy_deviation"] > 0 for row in rows)
    assert (out / "comparison.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "layerwise-sam k=2" in done.stdout
    single = tmp_path / "single"
    assert lwsam("train", *QUICK, "--k", 1, "--seed", 1, "--probe", "--out", single).returncode == 0
    same = json.loads((out / "layerwise-sam_k=1_seed=1" / "summary.json").read_text())
    assert same["weights_sha256"] == json.loads((single / "summary.json").read_text())["weights_sha256"]


def test_compare_says_which_run_failed(tmp_path: Path) -> None:
    said = refused("compare", *QUICK, "--k", "1,9", "--no-picture", "--out", tmp_path / "grid")
    assert not (tmp_path / "grid").exists()  # said before anything ran
    assert "k = 9" in said
    assert "3 layers" in said


def test_a_run_that_diverges_leaves_the_others_in_the_table(tmp_path: Path) -> None:
    out = tmp_path / "grid"
    done = lwsam("compare", *QUICK, "--k", 1, "--r", "0.1,1e37", "--no-picture", "--out", out)
    assert done.returncode == 2
    assert "1 of 2 runs failed" in done.stderr
    assert "training stopped at step" in done.stderr
    assert [row["name"] for row in json.loads((out / "comparison.json").read_text())] == ["r=0.1"]


def test_a_picture_of_several_models_is_refused(tmp_path: Path) -> None:
    assert "several models" in refused("compare", *QUICK[2:], "--model", "mlp,resnet20", "--k", 1, "--out", tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "lwsam_ref.cli", "train", *QUICK, "--k", "1", "--out", str(tmp_path / "run")]
    command = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_a_probe_changes_nothing(tmp_path: Path) -> None:
    arguments = ("train", "--epochs", 1, "--batch-size", 359)
    for name, probe in (("a", "--probe"), ("b", "--no-probe")):
        assert lwsam(*arguments, probe, "--out", tmp_path / name).returncode == 0
    a, b = (checkpoint.read(tmp_path / n / "checkpoint.npz") for n in "ab")
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a.keys() - {"config", "metrics"})


def test_trace_shows_the_step(tmp_path: Path) -> None:
    environment = os.environ | {"COLUMNS": "160"}
    done = lwsam("trace", "--select", "fc", "--select", "stage3.block3.conv2", env=environment)
    assert done.returncode == 0, done.stderr
    assert "frontier stage3.block3.conv2: the ascent visited 6 of 74 nodes" in done.stdout
    assert "* fc" in done.stdout
    assert "layer 'conv9'" in refused("trace", "--select", "conv9")


def test_trace_of_named_layers_has_no_use_for_k() -> None:
    """The default k, 4, is more than the layers of this network."""
    assert "visited 3 of 6 nodes" in lwsam("trace", "--model", "mlp", "--select", "hidden2").stdout
    assert "k = 4" in refused("trace", "--model", "mlp")


def test_version_and_help() -> None:
    assert __version__ in lwsam("--version").stdout
    assert "--criterion" in lwsam("train", "--help").stdout


def test_cost_needs_no_data_and_prints_every_layer_and_every_method() -> None:
    done = lwsam("cost", "--model", "resnet20", "--dataset", "cifar10", "--k", 3)
    assert done.returncode == 0, done.stderr
    for word in ("stage1.block1.projection", "conv1", "looksam, interval 3", "esam", "sparse-sam", "last 3, resumed"):
        assert word in done.stdout
    assert re.search(r"generalized-sam .* 2\.000", done.stdout)
    assert re.search(r"last 1, resumed .* 1\.000", done.stdout)


def test_all_methods_are_compared_each_once_and_a_budget_beside_k(tmp_path: Path) -> None:
    lists = ("--methods", "all", "--k", "1,2", "--budget=-1,0.3", "--looksam-interval", "2,3", "--esam-gamma", 0.25)
    done = lwsam("compare", *QUICK, *lists, "--no-picture", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())
    several = {
        "looksam": ["looksam looksam_interval=2", "looksam looksam_interval=3"],
        "layerwise-sam": ["layerwise-sam k=1", "layerwise-sam budget=0.3", "layerwise-sam k=2"],
    }
    assert [row["name"] for row in rows] == [name for method in METHODS for name in several.get(method, [method])]
    cost = {row["name"]: row["cost"] for row in rows}
    assert cost["sgd"] == 1.0
    assert 1.98 < cost["sam"] <= 2.0  # the ascent asks for no gradient of a bias
    steps = metrics(tmp_path / "out" / "layerwise-sam_budget=0.3_seed=0", "step")
    assert all(step["cost"] <= 1.3 for step in steps)  # every one of them
    assert any(step["selected"] for step in steps)
    assert rows[0]["captured"] is None
    assert rows[1]["captured"] == pytest.approx(1.0)


def test_the_pareto_front_has_what_nothing_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (1.5, 0.5), (1.5, 0.7), (1.0, 0.3), (3.0, 0.8)]
    assert front(points) == [(1.0, 0.5), (1.5, 0.7), (3.0, 0.8)]


@pytest.mark.parametrize("name", ["digits", "cifar10"])
@pytest.mark.parametrize("method", METHODS)
def test_a_preset_goes_with_every_method(name: str, method: str) -> None:
    assert Config.of(preset(name) | {"method": method}).method == method


class Full:
    """Standard error, on a disk that is full."""

    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = write


def test_a_rank_that_can_tell_nobody_ends_the_others_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    comm = SimpleNamespace(rank=0, abort=ended.append)
    monkeypatch.setattr(cli, "launched", lambda: True)
    monkeypatch.setattr(cli, "world", lambda: comm)
    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(OSError, match="No space left"):
        cli._stop("words", 2)
    assert ended == [2]

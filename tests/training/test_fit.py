"""Training from Python: the same as the command line where both can do it; own data and networks; what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.network import Network
from lwsam_ref.data import Dataset, Images, arrays, load
from lwsam_ref.device import Device
from lwsam_ref.errors import UserError
from lwsam_ref.training import Config, fit, open_run
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.records import EpochRecord, StepRecord
from lwsam_ref.training.trainer import Trainer
from support.cifar_files import lwsam
from support.rich import rich
from support.tables import use_data

DRAW = np.random.default_rng(0)
QUICK = {"epochs": 2, "batch_size": 20, "lr": 0.05}


def vectors(n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(1).normal(size=(n, 5))
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def own_data() -> Dataset:
    x, y = vectors()
    return arrays("own", (x[:80], y[:80]), (x[80:], y[80:]))


def own_network(inputs: int = 5, outputs: int = 2, seed: int = 0, dtype: str = "float64") -> Network:
    b = Builder((inputs,))
    x = b.relu("relu", b.linear("hidden", b.input, 8))
    b.linear("output", x, outputs)
    return b.network(Device.of("cpu", dtype), seed)


@pytest.mark.parametrize("method", METHODS)
def test_any_method_trains_an_own_network_on_own_vectors(method: str) -> None:
    own = {"k": 1} if method == "layerwise-sam" else {}
    found = fit({**QUICK, "epochs": 8, "method": method, **own}, own_network(), own_data())
    assert found.summary.final > 0.7
    assert (found.summary.model, found.summary.dataset, found.summary.made_in) == ("python", "own", "python")
    x, y = vectors()
    assert np.mean(found.predict(x[80:]) == y[80:]) == found.summary.final
    assert [type(record) for record in found.records[:5]] == [StepRecord] * 4 + [EpochRecord]
    assert found.weights.keys() == {"hidden.kernel", "hidden.bias", "output.kernel", "output.bias"}


def test_it_is_the_run_of_the_command_line_bit_for_bit(tmp_path: Path) -> None:
    options = ("--model", "mlp", "--k", 2, "--epochs", 1, "--no-augment")
    assert lwsam("train", *options, "--out", tmp_path / "run").status == 0
    found = fit({"k": 2, "epochs": 1}, nets.mlp((8, 8, 1), 10), plain_digits())
    there = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert found.summary.weights_sha256 == there["weights_sha256"]
    opened = open_run(tmp_path / "run")
    assert all(np.array_equal(value, found.weights[name]) for name, value in opened.weights.items())
    inputs = load("digits").test.inputs
    assert np.array_equal(opened.output(inputs), found.output(inputs))
    assert opened.summary.made_in == "command line"


def plain_digits() -> Dataset:
    """As arrays: no crops."""
    digits = load("digits")
    return arrays("digits", digits.train, digits.test)


def stopped(out: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], network: Network) -> None:
    """A run that ends in its second epoch."""
    steps: list[int] = []
    step = Trainer.step

    def until(self: Trainer, *arguments: Any) -> Any:
        if len(steps) == 6:
            raise KeyboardInterrupt
        steps.append(1)
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", until)
        with pytest.raises(KeyboardInterrupt):
            fit(config, network, own_data(), out)


def test_what_was_made_in_python_continues_there_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit({**QUICK, "k": 1}, own_network(), own_data())
    stopped(tmp_path / "run", monkeypatch, {**QUICK, "k": 1}, own_network())
    said = lwsam("train", "--resume", tmp_path / "run")
    assert (said.status, "made in Python" in said.err) == (2, True)
    for config, network, data in (
        ({**QUICK, "k": 2}, own_network(), own_data()),
        ({**QUICK, "k": 1}, nets.mlp((5,), 2), own_data()),
        ({**QUICK, "k": 1}, own_network(dtype="float32"), own_data()),
        ({**QUICK, "k": 1}, own_network(), arrays("own", vectors(60), vectors(60))),
    ):
        with pytest.raises(UserError, match=r"asked to continue .* began with another"):
            fit(config, network, data, tmp_path / "run", resume=True)
    again = fit({**QUICK, "k": 1}, own_network(seed=9), own_data(), tmp_path / "run", resume=True)
    assert again.summary.weights_sha256 == whole.summary.weights_sha256
    assert len(again.records) == len(whole.records)
    with pytest.raises(UserError, match="is finished"):
        fit({**QUICK, "k": 1}, own_network(), own_data(), tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="give its network and data"):
        open_run(tmp_path / "run")
    opened = open_run(tmp_path / "run", own_network(), own_data())
    x, _ = vectors()
    assert np.array_equal(opened.output(x), again.output(x))


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    options = ("--model", "mlp", "--epochs", 1, "--batch-size", 718)
    assert lwsam("train", *options, "--k", 2, "--out", tmp_path / "one").status == 0
    said = lwsam("train", *options, "--from", tmp_path / "one", "--method", "sam", "--lr", 0, "--out", tmp_path / "two")
    assert said.status == 0, said
    one, two = (open_run(tmp_path / name).weights for name in ("one", "two"))
    assert all(np.array_equal(value, two[name]) for name, value in one.items())
    assert f'start = "{tmp_path / "one"}"' in (tmp_path / "two" / "config.toml").read_text()
    said = lwsam("train", "--model", "resnet20", "--from", tmp_path / "one")
    assert (said.status, "name a run of the same network" in said.err) == (2, True)


def test_tokens_with_a_label_a_position_and_numbers_as_targets() -> None:
    x, _ = vectors()
    numbers = arrays("line", (x[:80], x[:80, :2]), (x[80:], x[80:, :2]), loss="squared-error")
    found = fit({**QUICK, "epochs": 20, "method": "sam"}, own_network(), numbers)
    assert found.summary.metric == "mean_squared_error"
    assert found.summary.best == min(r.value for r in found.records if isinstance(r, EpochRecord)) < 0.2
    tokens = arrays("text", (np.ones((8, 3), int), np.ones((8, 3), int)), (np.ones((8, 3), int), np.ones((8, 3), int)))
    assert (tokens.shape, tokens.outputs, tokens.train.targets.shape) == ((3,), 2, (8, 3))


X = np.ones((40, 5))
BYTES = np.zeros((4, 8, 8, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1])
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "float images under Images": (
        lambda: Images("a", (s := load("digits").train)._replace(inputs=s.inputs / 16), s, 10),
        "images are bytes from 0 to 255",
    ),
    "channels first": (lambda: arrays("a", (np.zeros((4, 3, 8, 8)), LABELS), (BYTES, LABELS)), "channels come last"),
    "bytes that are no images": (lambda: arrays("a", (BYTES[:, 0], LABELS), (BYTES, LABELS)), "bytes are images"),
    "one-hot labels": (lambda: arrays("a", (BYTES, np.eye(4)), (BYTES, LABELS)), "labels are class numbers"),
    "negative labels": (lambda: arrays("a", (BYTES, LABELS - 1), (BYTES, LABELS)), "labels count from 0"),
    "labels out of range": (lambda: arrays("a", (BYTES, LABELS), (BYTES, LABELS), outputs=1), "there is a label 1"),
    "too few labels": (lambda: arrays("a", (BYTES, LABELS[:3]), (BYTES, LABELS)), "each input needs one"),
    "a list": (lambda: arrays("a", ([1, 2], LABELS), (BYTES, LABELS)), "give a NumPy array"),
    "objects": (lambda: arrays("a", (np.array([None]), LABELS), (BYTES, LABELS)), "give a NumPy array"),
    "nothing": (lambda: arrays("a", (BYTES[:0], LABELS[:0]), (BYTES, LABELS)), "give a NumPy array"),
    "not finite": (lambda: arrays("a", (np.array([[np.nan]]), LABELS[:1]), (BYTES, LABELS)), "not finite"),
    "test unlike training": (lambda: arrays("a", (BYTES, LABELS), (BYTES[:, :4], LABELS)), "make them alike"),
    "a network of other inputs": (lambda: fit({"k": 1}, own_network(4), own_data()), "make them alike"),
    "a network of other outputs": (lambda: fit({"k": 1}, own_network(5, 3), own_data()), "make them alike"),
    "an option of the model": (lambda: fit({"dropout": 0.1}, own_network(), own_data()), "leave it out"),
    "an option without effect": (lambda: fit({"method": "sgd", "k": 1}, own_network(), own_data()), "leave it out"),
    "continuing without a folder": (lambda: fit({"k": 1}, own_network(), own_data(), resume=True), "give out"),
    "continuing nothing": (lambda: fit({"k": 1}, own_network(), own_data(), "nowhere", resume=True), "there is no run"),
    "a loss that nobody knows": (
        lambda: fit({**QUICK, "k": 1}, own_network(5, 2), arrays("a", (X, X[:, :2]), (X, X[:, :2]), loss="hinge")),
        "use one of cross-entropy",
    ),
    "negative tokens": (lambda: arrays("a", (LABELS - 1, LABELS), (LABELS, LABELS)), "tokens count from 0"),
    "a label a sample where the network gives positions": (
        lambda: fit({"k": 1}, rich(), arrays("a", (np.ones((30, 3), int), np.ones(30, int)), (LABELS, LABELS)), None),
        "make them alike",
    ),
    "opening nothing": (lambda: open_run("nowhere"), "there is no finished run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_one_sentence(case: str) -> None:
    ask, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence) as error:
        ask()
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("asked ")


def test_a_config_may_be_given_as_a_value() -> None:
    config = Config.of({**QUICK, "method": "sgd"})
    hashes = {fit(c, own_network(), own_data()).summary.weights_sha256 for c in (config, {**QUICK, "method": "sgd"})}
    assert len(hashes) == 1


def with_backbone(seed: int, frozen: bool = True) -> Network:
    b = Builder((5,))
    if frozen:
        with b.frozen():
            x = b.linear("backbone", b.input, 4)
    else:
        x = b.linear("backbone", b.input, 4)
    b.linear("output", b.relu("relu", x), 2)
    network = b.network(Device.of("cpu", "float64"), 0)
    if frozen:
        network.frozen.data[...] = np.random.default_rng(seed).normal(size=network.frozen.data.shape)
    return network


def test_a_frozen_backbone_is_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the checkpoint: what continues, or is opened, has the one that the run began with."""
    config = {**QUICK, "method": "sgd"}
    whole = fit(config, with_backbone(0), own_data(), tmp_path / "whole")
    stopped(tmp_path / "run", monkeypatch, config, with_backbone(0))
    again = fit(config, with_backbone(1), own_data(), tmp_path / "run", resume=True)
    assert again.summary.weights_sha256 == whole.summary.weights_sha256
    x, _ = vectors()
    opened = open_run(tmp_path / "whole", with_backbone(2), own_data())
    assert np.array_equal(opened.output(x), whole.output(x))
    with pytest.raises(UserError, match="another network or data"):
        open_run(tmp_path / "whole", with_backbone(0, frozen=False), own_data())


def test_a_run_whose_files_are_not_its_own_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {**QUICK, "method": "sgd"}
    stopped(tmp_path / "run", monkeypatch, config, own_network())
    x, y = vectors()
    numbers = arrays(
        "own", (x[:80], y[:80].astype(float)[:, None]), (x[80:], y[80:].astype(float)[:, None]), loss="squared-error"
    )
    with pytest.raises(UserError, match="outputs"):
        fit(config, own_network(), numbers, tmp_path / "run", resume=True)
    for name in ("checkpoint.npz", "checkpoint.before.npz"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="checkpoints are gone"):
        fit(config, own_network(), own_data(), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_is_opened_at_the_weights_of_its_end_or_not_at_all(tmp_path: Path) -> None:
    fit({**QUICK, "method": "sgd"}, own_network(), own_data(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.npz").unlink()
    with pytest.raises(UserError, match="not that of its end"):
        open_run(tmp_path / "run", own_network(), own_data())


def test_a_run_whose_data_changed_does_not_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--model", "mlp", "--k", 2, "--epochs", 2, "--batch-size", 718)
    step = Trainer.step

    def until(self: Trainer, *arguments: Any) -> Any:
        return step(self, *arguments) if self.number < 3 else 1 / 0

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", until)
        with pytest.raises(ZeroDivisionError):
            lwsam("train", *options, "--out", tmp_path / "run")
    digits = load("digits")
    changed = replace(digits, train=digits.train._replace(inputs=digits.train.inputs[::-1].copy()))
    with monkeypatch.context() as patch:
        use_data(patch, "digits", lambda *_: changed)
        said = lwsam("train", "--resume", tmp_path / "run")
    assert (said.status, "is not what it was" in said.err) == (2, True)
    assert lwsam("train", "--resume", tmp_path / "run").status == 0

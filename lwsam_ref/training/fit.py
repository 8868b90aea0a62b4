"""Training from Python: your own network and data by any method, without the command line; finished runs opened."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from rich.console import Console

from lwsam_ref.autodiff.network import Network
from lwsam_ref.comm import SERIAL, Communicator
from lwsam_ref.data import DATASETS, Dataset, load
from lwsam_ref.errors import UserError
from lwsam_ref.training import checkpoint, run_folder
from lwsam_ref.training.config import FORMAT, IDENTITY, Config, parse
from lwsam_ref.training.loop import run
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.records import PYTHON, Position, Record, Summary, records_in, summary_in
from lwsam_ref.training.trainer import Saved, Trainer

HostArray = np.ndarray[Any, Any]
CHUNK = 256
REPLACED = {"model", "dataset", "start"}.union(
    *(kind.options for kind in MODELS.values()), *(kind.options for kind in DATASETS.values())
) - {"augment"}
"""The options that the network and the data stand for."""
BY_ARGUMENTS = REPLACED | {"device", "dtype"}
"""With those that the network has: what nobody may give besides."""


@dataclass(frozen=True)
class Fitted:
    """A run that is over: what it came to, what it wrote down, and the network as it ended."""

    summary: Summary
    records: list[Record]
    trainer: Trainer

    @property
    def network(self) -> Network:
        return self.trainer.network

    @property
    def weights(self) -> dict[str, HostArray]:
        """Each trainable tensor by its name, on the host."""
        network = self.network
        return {t.name: network.device.get(network.weights[t.name]).copy() for t in network.weights.layout.tensors}

    def output(self, x: HostArray) -> HostArray:
        """What the network gives for inputs as the data set has them, as at test time."""
        pieces = [self.trainer.output(x[i : i + CHUNK]) for i in range(0, max(1, len(x)), CHUNK)]
        return np.concatenate(pieces)

    def predict(self, x: HostArray) -> HostArray:
        """The most likely class, of each input or position; without classes, the output itself."""
        output = self.output(x)
        return output.argmax(axis=-1) if self.trainer.data.loss == "cross-entropy" else output


def fit(
    config: Config | Mapping[str, Any],
    network: Network,
    data: Dataset,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    progress: bool = False,
    comm: Communicator = SERIAL,
) -> Fitted:
    """Train ``network``, from the weights that it has, on ``data``; the network is the one that was given, trained.

    ``config`` has the method and how to train, by the names of the command line's options; ``out`` gets the files of a
    run. With ``resume`` the run in ``out`` continues: config, network and data must be those that it began with.
    Device and dtype are the network's.
    """
    trainer = _trainer(config, network, data, comm)
    folder, saved = None if out is None else Path(out), None
    if resume:
        if folder is None:
            raise UserError("asked to continue a run without its folder: give out")
        if (folder / "summary.json").exists():
            raise UserError(f"asked to continue {folder}, but it is finished: open it by open_run")
        saved = _saved(folder, trainer)
    records: list[Record] = []
    summary = run(trainer, folder, Console(stderr=True) if progress else None, saved, resume, records)
    texts = comm.gather_text(json.dumps(summary.json()) if summary else "")  # rank 0 has it
    return Fitted(Summary.of(json.loads(texts[0])), records, trainer)


def open_run(
    folder: Path | str, network: Network | None = None, data: Dataset | None = None, data_dir: Path | None = None
) -> Fitted:
    """A finished run, at the weights that it ended with; one made in Python needs its network and data again."""
    folder = Path(folder)
    summary = summary_in(folder)
    if summary.made_in == PYTHON:
        if network is None or data is None:
            raise UserError(f"asked to open {folder}, which was made in Python: give its network and data too")
        text = (folder / "config.toml").read_bytes()
        values = {n: v for n, v in parse(text, str(folder), python=True).items() if n not in BY_ARGUMENTS}
        trainer = _trainer(Config.of(values), network, data, SERIAL)
        if _meaning(text, folder) != _meaning(trainer.text.encode(), folder):
            raise UserError(f"asked to open {folder}, but it was made with another network or data: give those of then")
        trainer.load(checkpoint.read(folder))
    else:
        if network is not None or data is not None:
            raise UserError(f"asked to open {folder} with a network or data, but it has its own: give neither")
        trainer = run_folder.reopen(folder, lambda config: load(config.dataset, data_dir, config))
    found = Fitted(summary, records_in(folder), trainer)
    if trainer.weights_sha256() != summary.weights_sha256:
        raise UserError(f"asked to open {folder}, but its checkpoint is not that of its end: restore it, or train anew")
    return found


def _trainer(config: Config | Mapping[str, Any], network: Network, data: Dataset, comm: Communicator) -> Trainer:
    if not isinstance(config, Config):
        if fixed := sorted(BY_ARGUMENTS & config.keys()):
            raise UserError(f"asked for {fixed[0]} in fit, but the network and the data say that: leave it out")
        given = config
        config = Config.of(given)
        config.require_used(given)
    if config.start:
        raise UserError("asked for start in fit, but the network has its weights: load them into it, and leave it out")
    if config.label_smoothing and data.loss != "cross-entropy":
        raise UserError(f"asked for label_smoothing with the loss {data.loss}, which has no labels: leave it out")
    if network.input_shape != data.shape:
        raise UserError(
            f"asked to train a network for inputs {network.input_shape} on {data.name}, whose inputs are {data.shape}:"
            " make them alike"
        )
    *places, outputs = network.shapes[-1]
    wanted = data.train.targets.shape[1:] if data.loss == "cross-entropy" else ()
    if outputs != data.outputs or tuple(places) != wanted:
        raise UserError(
            f"asked to train a network of outputs {network.shapes[-1]} on {data.name}, which wants"
            f" {(*wanted, data.outputs)}: make them alike"
        )
    config = replace(config, dtype=network.device.dtype.name, device=network.device.name)
    with np.errstate(all="ignore"):
        trainer = Trainer(config, network, data, comm)
    used = {n: list(v) if isinstance(v, tuple) else v for n, v in config.used().items()}
    used = {name: value for name, value in used.items() if name not in REPLACED}
    of = {
        "made_in": PYTHON,
        "data": data.name,
        "network_sha256": _shape_of(network),
        "data_sha256": trainer.data_sha256,
    }
    trainer.text, trainer.made_in, trainer.model = tomli_w.dumps(of | {"format": FORMAT} | used), PYTHON, "python"
    return trainer


def _shape_of(network: Network) -> str:
    """What the network is but for its weights, in short; a layer that has no text of its own is known by its class."""
    lines = [f"{network.input_shape} {network.frozen.layout}"]
    for node in network.nodes:
        layer, kind = node.layer, type(node.layer)
        text = repr(layer) if is_dataclass(layer) else f"{kind.__module__}.{kind.__qualname__}"
        shapes = [f"{name} {spec.shape}" for name, spec in layer.parameters().items()]
        lines.append(f"{node.name} {text} {shapes} {node.inputs} {dict(node.tied)} {node.frozen}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _meaning(text: bytes, source: Path) -> dict[str, Any]:
    """What a run's ``config.toml`` says: whose it is, and the options that have an effect."""
    try:
        values = tomllib.loads(text.decode())
    except ValueError as error:
        raise UserError(f"asked for {source}, but its config is damaged ({error}): restore it") from None
    used = Config.of(parse(text, str(source), python=True)).used()
    return {name: values.get(name) for name in IDENTITY} | {n: v for n, v in used.items() if n not in REPLACED}


def _saved(folder: Path, trainer: Trainer) -> Saved | None:
    """The checkpoint to continue from; none if the run ended before its first."""
    try:
        texts = [(folder / "config.toml").read_bytes()]
    except OSError:
        raise UserError(f"asked to continue {folder}, but there is no run: give the out of one") from None
    if (saved := run_folder.newest(folder)) is not None:
        position = Position.of(saved)
        texts.append(position.config if position is not None else b"")
    if any(_meaning(text, folder) != _meaning(trainer.text.encode(), folder) for text in texts):
        raise UserError(
            f"asked to continue {folder}, but it began with another config, network or data, or was made by the command"
            " line: give those of then"
        )
    return saved

"""Train one network by one method: the loop, and what it writes down."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from lwsam_ref import __version__, checkpoint
from lwsam_ref.algorithms import State, Step
from lwsam_ref.backend import Device
from lwsam_ref.config import Config
from lwsam_ref.cost import Costs
from lwsam_ref.data import Dataset, Split, batches, batches_per_epoch, crop_and_flip
from lwsam_ref.errors import UserError
from lwsam_ref.methods import method
from lwsam_ref.network import Network
from lwsam_ref.objective import Batch, NetworkObjective, decay_mask
from lwsam_ref.optimizer import Momentum, learning_rate
from lwsam_ref.probe import gradient_norms
from lwsam_ref.progress import bar
from lwsam_ref.record import Record
from lwsam_ref.tape import Pass
from lwsam_ref.vector import LayeredVector

Summary = dict[str, Any]


class Tally:
    """What the steps of a run add up to."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        self.counts = dict.fromkeys(layers, 0)
        self.lines: list[dict[str, Any]] = []

    def add(self, line: dict[str, Any]) -> None:
        """One step record."""
        self.lines.append({name: line[name] for name in ("loss", "seconds", "ascent_nodes", "cost", "captured")})
        for layer in line["selected"]:
            self.counts[layer] += 1

    def mean(self, name: str, first: int = 0) -> float | None:
        """Over the steps from ``first`` on that have a value."""
        known = [line[name] for line in self.lines[first:] if line[name] is not None]
        return float(np.mean(known)) if known else None


class Trainer:
    """One run, from its config, its network and its data set."""

    def __init__(self, config: Config, network: Network, data: Dataset) -> None:
        n = len(data.train.labels)
        if config.batch_size > n:
            raise UserError(
                f"asked for batch_size = {config.batch_size}, but {data.name} has {n} training images: use at most {n}"
            )
        self.config, self.network, self.data = config, network, data
        in_loss = config.decay_in == "loss"
        self.f = NetworkObjective(
            network,
            label_smoothing=config.label_smoothing,
            perturb=config.perturb,
            decay=config.weight_decay if in_loss else 0.0,
            bn_moves=config.bn_moves,
            seed=config.seed,
        )
        layout, decayed = self.f.weights.layout, None
        if not in_loss:
            decayed = LayeredVector(layout, config.weight_decay * decay_mask(layout, self.f.weights.data))
        self.optimizer = Momentum(self.f.weights, config.momentum, decayed)
        self.costs = Costs(network, layout)
        self.method = method(config, self.costs)
        self.state: State = self.method.initial(self.f)
        self.norms = np.zeros(len(network.layers))  # squared, of the last step's descent
        self.steps_per_epoch = batches_per_epoch(n, config.batch_size)

    def run(self, out: Path | None = None, console: Console | None = None) -> Summary:
        """Train to the end, writing to ``out`` if given; the summary."""
        config, accuracies, tally = self.config, [], Tally(self.network.layers)
        total = config.epochs * self.steps_per_epoch
        with (
            np.errstate(all="ignore"),  # what is not finite is looked for, and reported
            threadpool_limits(config.threads),
            Record(out, config.toml()) as record,
            bar(console, total) as tick,
        ):
            self._checkpoint(out, epoch=0)
            for epoch in range(config.epochs):
                first = len(tally.lines)
                for line in self._epoch(epoch):
                    record.line("step", **line)
                    tally.add(line)
                    tick(f"{config.method} loss {line['loss']:.3f}")
                accuracies.append(self.accuracy(self.data.test))
                seconds = sum(line["seconds"] for line in tally.lines[first:])
                record.line(
                    "epoch",
                    epoch=epoch,
                    loss=tally.mean("loss", first),
                    accuracy=accuracies[-1],
                    lr=self._lr(epoch),
                    seconds=seconds,
                    images_per_second=self.steps_per_epoch * config.batch_size / seconds,
                    **self._probe((epoch + 1) * self.steps_per_epoch),
                )
                record.flush()
                self._checkpoint(out, epoch + 1)
            summary = self._summary(accuracies, tally)
            record.summary(summary)
            return summary

    def _summary(self, accuracies: list[float], tally: Tally) -> Summary:
        config, device = self.config, self.network.device
        step_seconds = float(np.mean([line["seconds"] for line in tally.lines]))
        return {
            "method": config.method,
            "dataset": config.dataset,
            "model": config.model,
            "final_accuracy": accuracies[-1],
            "best_accuracy": max(accuracies),
            "images_per_second": config.batch_size / step_seconds,
            "step_seconds": step_seconds,
            "ascent_nodes": tally.mean("ascent_nodes"),
            "cost": tally.mean("cost"),
            "captured": tally.mean("captured"),
            "nodes": len(self.network.nodes),
            "layers": list(self.network.layers),
            "perturbation_counts": tally.counts,
            "weights_sha256": hashlib.sha256(device.get(self.f.weights.data).tobytes()).hexdigest(),
            "seed": config.seed,
            "ranks": 1,
            "device": device.name,
            "versions": {"lwsam-ref": __version__, "numpy": np.__version__, "python": platform.python_version()},
        }

    def accuracy(self, split: Split, chunk: int = 256) -> float:
        """The share of images whose largest logit is the label's."""
        device, right = self.network.device, 0
        for start in range(0, len(split.labels), chunk):
            piece = slice(start, start + chunk)
            logits = self.f.logits(device.put(self.data.standardised(split.images[piece])))
            guess = device.get(logits.argmax(axis=1))
            right += int((guess == split.labels[piece]).sum())
        return right / len(split.labels)

    def _epoch(self, epoch: int) -> Iterator[dict[str, Any]]:
        config = self.config
        order = batches(len(self.data.train.labels), config.batch_size, seed=config.seed, epoch=epoch)
        for i, indices in enumerate(order):
            number = epoch * self.steps_per_epoch + i
            start = time.perf_counter()
            with self.f.watched() as passes:
                step = self._step(indices, number)
            lr = self._lr(epoch)
            self.optimizer.step(step.update, lr)
            self.network.device.synchronize()
            if not self._finite():
                raise self._diverged("the weights after it are not finite", number)
            yield {
                "step": number,
                "epoch": epoch,
                "lr": lr,
                **self._line(step, passes),
                "seconds": time.perf_counter() - start,
            }

    def batch(self, indices: Sequence[int] | np.ndarray[Any, Any], number: int) -> Batch:
        """The training images ``indices``, augmented as in step ``number``, on the device."""
        device, train = self.network.device, self.data.train
        images = self.data.standardised(train.images[indices]).astype(device.dtype, copy=False)
        if self.config.augment:
            images = crop_and_flip(images, self.data.pad, self.data.flip, (self.config.seed, number))
        return Batch(device.put(images), device.put(train.labels[indices]), number)

    def _step(self, indices: np.ndarray[Any, Any], number: int) -> Step:
        device, batch = self.network.device, self.batch(indices, number)
        try:
            step, state = self.method.step(self.f, batch, self.state, number)
        except FloatingPointError as error:
            raise self._diverged(str(error), number) from None
        for name in ("loss", "loss_perturbed", "r_effective"):
            value = getattr(step, name)
            if value is not None and not np.isfinite(device.number(value)):
                raise self._diverged(f"{name} is {device.number(value)}", number)
        norms = device.get(step.descent_norms)
        if not np.isfinite(norms).all():
            raise self._diverged("a gradient norm is not finite", number)
        self.state = state
        return step

    def _finite(self) -> bool:
        """Whether all that a step moves is a number: weights and running statistics, by their sums of squares."""
        get = self.network.device.get
        return bool(np.isfinite(get(self.f.weights.squared_norm() + self.network.buffers.squared_norm())))

    def _line(self, step: Step, passes: Sequence[Pass]) -> dict[str, Any]:
        """``cost``: FLOPs relative to a step of SGD. ``captured``: what share of the last step's squared norm the
        selected layers have; nothing where no layer is selected by design, or nothing was there to share."""
        device = self.network.device
        squares, last = device.get(step.descent_norms), self.norms
        inside = sum(n for layer, n in zip(self.network.layers, last, strict=True) if layer in step.selected)
        ascents = [p for p in passes if p.kind == "backward" and p.training][:-1]
        self.norms = squares
        return {
            "loss": device.number(step.loss),
            "loss_perturbed": None if step.loss_perturbed is None else device.number(step.loss_perturbed),
            "selected": list(step.selected),
            "r_effective": None if step.r_effective is None else device.number(step.r_effective),
            "ascent_nodes": sum(len(p.nodes) for p in ascents),
            "cost": self.costs.executed(passes) / (self.costs.sgd * self.config.batch_size),
            "captured": inside / last.sum() if step.loss_perturbed is not None and last.any() else None,
            "descent_norms": dict(zip(self.network.layers, np.sqrt(squares).tolist(), strict=True)),
        }

    def _probe(self, number: int) -> dict[str, Any]:
        if not self.config.probe:
            return {}
        layers, full = gradient_norms(self.f, self.data)
        if not np.isfinite([full, *layers.values()]).all():
            raise self._diverged("a probed gradient norm is not finite", number)
        return {"gradient_norms": layers, "gradient_norm": full}

    def _lr(self, epoch: int) -> float:
        c = self.config
        return learning_rate(c.lr, c.lr_drops, c.lr_factor, epoch, c.epochs)

    def _checkpoint(self, out: Path | None, epoch: int) -> None:
        if out is not None:
            get = self.network.device.get
            checkpoint.write(
                out / "checkpoint.npz",
                {
                    "weights": get(self.f.weights.data),
                    "buffers": get(self.network.buffers.data),
                    "velocity": get(self.optimizer.velocity.data),
                    "epoch": np.array(epoch),
                    **{f"state.{name}": get(array) for name, array in self.state.items()},
                },
            )

    def _diverged(self, found: str, number: int) -> UserError:
        return UserError(
            f"training stopped at step {number}: {found}; what was written up to the end of the epoch before is"
            f" good: try a smaller lr (now {self.config.lr}) or radius"
        )


def trainer(config: Config, models: dict[str, Callable[..., Network]], data: Dataset) -> Trainer:
    """The run that ``config`` describes; ``models`` names the networks that there are."""
    network = build(config, models, data.train.images.shape[1:], data.classes)
    with np.errstate(all="ignore"):  # what is not finite is looked for, and reported, by the run
        return Trainer(config, network, data)


def build(config: Config, models: dict[str, Callable[..., Network]], shape: tuple[int, ...], classes: int) -> Network:
    """The network that ``config`` names, at its initial weights, for images of ``shape``."""
    device = Device.of(config.device, config.dtype)
    return models[config.model](shape, classes, device=device, seed=config.seed, **_model_options(config))


def _model_options(config: Config) -> dict[str, Any]:
    """The options that shape this model; one that would be without effect is refused (but batch norm's momentum)."""
    if config.model.startswith("wrn"):
        names = ["bn_momentum", "dropout", "post_activation"]
    else:
        names = [] if config.model == "mlp" else ["bn_momentum"]
        for name in ("dropout", "post_activation"):
            if value := getattr(config, name):
                raise UserError(f"asked for {name} = {value} in {config.model}, which has none: use a wrn model")
    return {name: getattr(config, name) for name in names}

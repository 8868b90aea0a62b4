"""One step of training, and all that the next one depends on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.algorithms import State, Step
from lwsam_ref.algorithms.optimizer import Momentum, learning_rate
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.engine import Pass
from lwsam_ref.autodiff.network import Network
from lwsam_ref.comm import SERIAL, Communicator, cores
from lwsam_ref.data import Dataset, Split, batches_per_epoch
from lwsam_ref.device import Device
from lwsam_ref.engines import ENGINES
from lwsam_ref.errors import UserError, unknown
from lwsam_ref.training import checkpoint
from lwsam_ref.training.config import Config
from lwsam_ref.training.losses import LOSSES, METRICS
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.objective import Batch, NetworkObjective, decay_mask
from lwsam_ref.training.records import COMMAND_LINE, StepRecord
from lwsam_ref.vector import LayeredVector

HostArray = np.ndarray[Any, Any]
Saved = Mapping[str, HostArray]
"""What a checkpoint holds."""


class Trainer:
    """One run, from its config, its network and its data set; with ``comm``, one rank's part of it.

    All that the next step depends on is in the network's weights and buffers, the optimiser's velocity, ``state`` and
    ``norms`` of the method, and the number of the step: :meth:`snapshot` takes it, :meth:`restore` puts it back.
    """

    def __init__(self, config: Config, network: Network, data: Dataset, comm: Communicator = SERIAL) -> None:
        n = len(data.train.targets)
        if config.batch_size > n:
            raise UserError(
                f"asked for batch_size = {config.batch_size}, but {data.name} has {n} training samples: use at most {n}"
            )
        for text, count in {"batch_size": config.batch_size, **METHODS[config.method].shared(config)}.items():
            _divisible(text, count, comm)
        self.config, self.network, self.data, self.comm = config, network, data, comm
        for kind, name, known in (("loss", data.loss, LOSSES), ("metric", data.metric, METRICS)):
            if name not in known:
                raise unknown(kind, name, known)
        self.metric = METRICS[data.metric]
        self.text, self.made_in, self.model = config.toml(), COMMAND_LINE, config.model
        in_loss = config.decay_in == "loss"
        self.f = NetworkObjective(
            network,
            loss=LOSSES[data.loss](config.label_smoothing),
            perturb=config.perturb,
            decay=config.weight_decay if in_loss else 0.0,
            bn_update=config.bn_update,
            seed=config.seed,
            engine=ENGINES[config.engine],
            comm=comm,
            ascent_from=config.ascent_from,
            bn_batch=config.bn_batch,
        )
        layout, decayed = self.f.weights.layout, None
        if not in_loss:
            decayed = LayeredVector(layout, config.weight_decay * decay_mask(layout, self.f.weights.data))
        if "perturb" in METHODS[config.method].options and not layout.layers:
            raise UserError(
                f"asked for perturb = {config.perturb}, but the network has no such tensors: use kernels or all"
            )
        self.optimizer = Momentum(self.f.weights, config.momentum, decayed)
        self.costs = Costs(network, layout)
        self.method = METHODS[config.method].make(config, self.costs)
        self.state: State = self.method.initial(self.f)
        self.norms = np.zeros(len(layout.layers))  # squared, of the last step's descent
        self.number = 0
        self.steps_per_epoch = batches_per_epoch(n, config.batch_size)

    @classmethod
    def of(cls, config: Config, data: Dataset, comm: Communicator = SERIAL, begins: bool = True) -> Trainer:
        """The run that ``config`` describes, at its start; it ``begins``, or is to be restored."""
        network = build(config, data.shape, data.outputs, comm)
        with np.errstate(all="ignore"):  # what is not finite is looked for, and reported, by the run
            trainer = cls(config, network, data, comm)
        if config.start and begins:
            trainer.load(checkpoint.read(Path(config.start)))
        return trainer

    # -- one step --------------------------------------------------------------------------------------------

    def batch(self, indices: Sequence[int] | HostArray, number: int) -> Batch:
        """This rank's part of the training samples ``indices``, augmented as in step ``number``, on the device."""
        device, train, comm = self.network.device, self.data.train, self.comm
        part = np.arange(len(indices))[comm.rank :: comm.size]
        mine = np.asarray(indices)[part]
        x = self._prepared(train.inputs[mine])
        if self.config.augment:
            x = self.data.augmented(x, (self.config.seed, number), comm.rank, comm.size)
        batch = Batch(device.put(x), device.put(train.targets[mine]), number, (part, len(indices)))
        return self.f.prepared(batch)

    def _prepared(self, inputs: HostArray) -> HostArray:
        """On the host; numbers with a fraction in the dtype of the run."""
        x = self.data.prepared(inputs)
        return x.astype(self.network.device.dtype, copy=False) if x.dtype.kind == "f" else x

    def step(self, indices: HostArray, asked: Callable[[], int] = lambda: 0) -> tuple[StepRecord, int]:
        """The next step, on the samples ``indices``: its record, and whether any rank was ``asked`` to end."""
        start, number = time.perf_counter(), self.number
        epoch = number // self.steps_per_epoch
        lr = self.lr(epoch)
        with self.f.watched() as passes:
            try:
                step, self.state = self.method.step(self.f, self.batch(indices, number), self.state, number)
            except FloatingPointError as error:
                raise self.diverged(str(error), number) from None
        found, ending = self._found(step, passes, asked())
        self.optimizer.step(step.update, lr)
        self.network.device.synchronize()
        if not self._finite():
            raise self.diverged("the weights after it are not finite", number)
        self.number += 1
        seconds = time.perf_counter() - start
        return StepRecord(step=number, epoch=epoch, lr=lr, seconds=seconds, **found), ending

    def _found(self, step: Step, passes: Sequence[Pass], asked: int) -> tuple[dict[str, Any], int]:
        """What a step found, as means over the ranks, for its record; and whether any rank was asked to end."""
        device, number = self.network.device, self.number
        squares, last = device.get(step.descent_norms), self.norms
        found = [step.loss, step.loss_perturbed, step.r_effective]
        known = [0.0 if value is None else device.number(value) for value in found]
        executed = self.costs.executed(passes) / self.costs.sgd
        *means, operations, asked_mean = self.comm.mean(np.array([*known, executed, float(asked)])).tolist()
        for name, value in zip(("loss", "loss_perturbed", "r_effective"), means, strict=True):
            if not np.isfinite(value):
                raise self.diverged(f"{name} is {value}", number)
        if not np.isfinite(squares).all():
            raise self.diverged("a gradient norm is not finite", number)
        inside = sum(n for layer, n in zip(self.f.weights.layers, last, strict=True) if layer in step.selected)
        ascents = [p for p in passes if p.kind == "backward" and p.training][:-1]
        self.norms = squares
        loss, loss_perturbed, r = (None if was is None else value for was, value in zip(found, means, strict=True))
        return {
            "loss": loss,
            "loss_perturbed": loss_perturbed,
            "selected": list(step.selected),
            "r_effective": r,
            "ascent_nodes": sum(len(p.nodes) for p in ascents),
            "cost": operations * self.comm.size / self.config.batch_size,
            "captured": inside / last.sum() if loss_perturbed is not None and last.any() else None,
            "descent_norms": dict(zip(self.f.weights.layers, np.sqrt(squares).tolist(), strict=True)),
        }, round(asked_mean * self.comm.size)

    def _finite(self) -> bool:
        """Whether all that a step moves is a number: weights and running statistics, by their sums of squares."""
        get = self.network.device.get
        return bool(np.isfinite(get(self.f.weights.squared_norm() + self.network.buffers.squared_norm())))

    def lr(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        c = self.config
        return learning_rate(c.lr, c.lr_drops, c.lr_factor, epoch, c.epochs)

    def diverged(self, found: str, number: int) -> UserError:
        """What to raise where a number is not finite."""
        return UserError(
            f"training stopped at step {number}: {found}; what was written up to the end of the epoch before is"
            f" good: try a smaller lr (now {self.config.lr}) or radius"
        )

    # -- what the next step depends on -----------------------------------------------------------------------

    def snapshot(self) -> dict[str, HostArray]:
        """All of it."""
        state = {f"state.{name}": array for name, array in self.state.items()}
        arrays = {
            "weights": self.f.weights.data,
            "buffers": self.network.buffers.data,
            "velocity": self.optimizer.velocity.data,
            **({"frozen": self.network.frozen.data} if self.network.frozen.layout.size else {}),
            **state,
        }
        host = {name: self.network.device.get(array).copy() for name, array in arrays.items()}
        return host | {"norms": self.norms, "step": np.array(self.number)}

    def restore(self, saved: Saved) -> None:
        """The same, bit for bit, from a checkpoint of such a run; any number of ranks wrote it."""
        mine = self.snapshot()
        for name, here in mine.items():
            if name not in saved or saved[name].shape != here.shape or not np.isfinite(saved[name]).all():
                raise UserError(
                    f"asked to go on from a checkpoint that has no {name} of {self.config.model}, as"
                    f" {self.config.method} keeps it: name another"
                )
        same_bits = self.network.device.exactly
        self.load(saved)
        self.optimizer.velocity.data[...] = same_bits(saved["velocity"])
        self.norms, self.number = saved["norms"], int(saved["step"])
        self.state = {name: same_bits(saved[f"state.{name}"]) for name in self.state}

    def load(self, saved: Saved) -> None:
        """Weights, running statistics and frozen parameters, of whatever run has as many; the run is at its start."""
        mine = {"weights": self.f.weights, "buffers": self.network.buffers, "frozen": self.network.frozen}
        for name, here in ((name, vector.data) for name, vector in mine.items() if vector.layout.size):
            if name not in saved or saved[name].shape != here.shape or not np.isfinite(saved[name]).all():
                raise UserError(
                    f"asked for the {name} of a checkpoint, but those of {self.model} have shape {here.shape}: name a"
                    " run of the same network"
                )
            here[...] = self.network.device.put(saved[name])

    @property
    def threads(self) -> int:
        """BLAS threads: those asked for, but of several ranks on the same cores each has its share of the cores."""
        share = max(1, len(cores()) // self.comm.sharing)  # a launcher may have bound the rank
        return self.config.threads if self.comm.size == 1 else min(self.config.threads, share)

    def place(self) -> str:
        """Where this rank is."""
        return f"rank {self.comm.rank} of {self.comm.size}: {self.network.device}, {self.threads} BLAS thread(s)"

    @cached_property
    def data_sha256(self) -> str:
        """Of the data set, read once a run: every checkpoint names it."""
        return self.data.digest()

    def digest(self) -> str:
        """The bits of everything that the ranks share, in short."""
        arrays = self.snapshot()
        return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()

    def output(self, inputs: HostArray) -> HostArray:
        """What the network gives for stored inputs, as at test time."""
        device = self.network.device
        return device.get(self.f.output(device.put(self._prepared(inputs))))

    def weights_sha256(self) -> str:
        """The bits of the trainable weights, in short."""
        return hashlib.sha256(self.network.device.get(self.f.weights.data).tobytes()).hexdigest()

    def lines(self) -> str:
        """What the run was asked, an option a line, for people."""
        return self.text if self.made_in != COMMAND_LINE else self.config.lines()

    def measured(self, split: Split, chunk: int = 256) -> float:
        """The metric on a split, as at test time; the ranks take chunks in turn."""
        comm, total = self.comm, 0.0
        for start in range(comm.rank * chunk, len(split.targets), comm.size * chunk):
            piece = slice(start, start + chunk)
            total += self.metric.total(self.output(split.inputs[piece]), split.targets[piece])
        return float(comm.sum(np.array(total))) / split.targets.size


def _divisible(name: str, count: int, comm: Communicator) -> None:
    if count % comm.size:
        raise UserError(
            f"asked {comm.size} ranks to share {name} = {count}, but each must have as many: use a multiple of"
            f" {comm.size}"
        )


def build(config: Config, shape: tuple[int, ...], outputs: int, comm: Communicator = SERIAL) -> Network:
    """The network that ``config`` names, at its initial weights, for inputs of ``shape``."""
    device = Device.of(config.device, config.dtype, comm.local_rank)
    kind = MODELS[config.model]
    options = {name: getattr(config, name) for name in kind.options}
    return kind.make(shape, outputs, device=device, seed=config.seed, **options)

"""A network with a loss: the objective that the algorithms see.

What is perturbed, which pass moves batch norm's running statistics, and whether weight decay is part of the loss,
are properties of the objective, never branches in an algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.autodiff.engine import Constants, Engine, Pass, Tape
from lwsam_ref.autodiff.layer import Context
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.comm import SERIAL, Communicator
from lwsam_ref.training.losses import CrossEntropy, Loss
from lwsam_ref.vector import Array, LayeredVector, Layout


class Batch(NamedTuple):
    """Inputs and targets, on the device, and the number of the step: it keys the random masks.

    ``rows``, on the host: which samples of a larger batch these are, and how many that has; masks are drawn for that.
    Of P processes, number r has the samples r, r + P, r + 2 P, ... of their common batch. ``constants``: what no weight
    changes, the values of the network's frozen nodes, if they are known.
    """

    x: Array
    targets: Array
    step: int = 0
    rows: tuple[np.ndarray[Any, Any], int] | None = None
    constants: Constants | None = None


def share_of(samples: int, share: float) -> int:
    """So many samples, at least one."""
    return max(1, round(share * samples))


def decay_mask(layout: Layout, data: Array) -> Array:
    """1 for the entries that weight decay acts on, 0 for the others."""
    mask = np.zeros_like(data)
    for t in layout.tensors:
        if t.decayed:
            mask[layout.slices[t.name]] = 1
    return mask


@dataclass(eq=False)
class NetworkObjective:
    """``L_B(w)``: the mean loss of a batch, plus ``(decay / 2) |w|^2`` over the entries that decay acts on.

    ``comm``: the processes that share a batch, in equal parts. ``ascent_from``: each climbs along the gradient of
    ``all`` of them, or each ``rank`` along its own (m-sharpness). ``bn_batch``: batch norm normalises each ``rank``'s
    samples by themselves, the running statistics being the ranks' mean, or those of ``all`` together.

    ``perturb``: which tensors belong to a layer, so that they are ranked, perturbed and mixed (``vector.PERTURBED``).
    ``bn_update``: running statistics are moved ``once``, by the pass at w; ``twice``, by the perturbed pass as well.
    """

    network: Network
    loss: Loss = field(default_factory=CrossEntropy)
    perturb: str = "kernels"
    decay: float = 0.0
    bn_update: str = "once"
    seed: int = 0
    engine: Callable[[Network], Engine] = Plain
    comm: Communicator = SERIAL
    ascent_from: str = "all"
    bn_batch: str = "rank"

    def __post_init__(self) -> None:
        layout = self.network.weights.layout
        self.weights = LayeredVector(layout.perturbing(self.perturb), self.network.weights.data)
        self.decayed = self.decay * decay_mask(layout, self.weights.data) if self.decay else None
        self._engine = self.engine(self.network)
        self._passes: list[Pass] | None = None

    def forward(self, batch: Batch) -> NetworkEvaluation:
        """Evaluate at the present weights."""
        batch = self.prepared(batch)
        tape = self._engine.forward(batch.x, self._context(batch), self._passes, batch.constants)
        return NetworkEvaluation(self, batch, tape, self.loss, self.decayed)

    def prepared(self, batch: Batch) -> Batch:
        """The batch with its ``constants``, computed if they are not known."""
        if batch.constants is not None:
            return batch
        return batch._replace(constants=self._engine.constants(batch.x, self._context(batch), self._passes))

    def _context(self, batch: Batch) -> Context:
        together = self.comm if self.bn_batch == "all" else SERIAL
        return Context(self.network.device, True, (self.seed, batch.step), batch.rows, together)

    @contextmanager
    def watched(self) -> Iterator[list[Pass]]:
        """The walks of what is evaluated inside, in their order."""
        before, self._passes = self._passes, []
        try:
            yield self._passes
        finally:
            self._passes = before

    def mean(self, gradient: LayeredVector) -> LayeredVector:
        return LayeredVector(gradient.layout, self.comm.mean(gradient.data))

    def uphill(self, own: LayeredVector, mean: LayeredVector) -> LayeredVector:
        return mean if self.ascent_from == "all" else own

    def put(self, host: np.ndarray[Any, Any]) -> Array:
        return self.network.device.put(host)

    def get(self, array: Array) -> np.ndarray[Any, Any]:
        return self.network.device.get(array)

    def hardest(self, batch: Batch, scores: Array, share: float) -> Batch:
        """The ``share`` of all ranks' samples whose scores are highest (ties: the earlier sample), dealt out evenly.

        So a sample may change its process.
        """
        scores = self._whole(scores)
        count, ranks = share_of(len(scores), share), self.comm.size
        if count % ranks:
            raise ValueError(f"{count} samples cannot be shared by {ranks} processes")
        kept = np.sort(np.argsort(-scores, kind="stable")[:count])[self.comm.rank :: ranks]
        x, targets = self._whole(batch.x)[kept], self._whole(batch.targets)[kept]
        constants = {i: self._whole(value)[kept] for i, value in (self.prepared(batch).constants or {}).items()}
        return Batch(x, targets, batch.step, (self.get(kept), len(scores)), constants)

    def _whole(self, part: Array) -> Array:
        """Of what each process has for its samples, that of all samples: process r of P has those of r, r + P, ..."""
        parts = self.comm.gather(part)
        return parts.swapaxes(0, 1).reshape(-1, *part.shape[1:])

    def per_sample(self, batch: Batch, samples: int) -> Iterator[NetworkEvaluation]:
        """Of the likelihood alone: no dropout, batch norm's running statistics, no label smoothing, no decay."""
        constants = self.prepared(batch).constants or {}
        context, first = Context(self.network.device, training=False), samples - self.comm.rank
        for i in range(min(-(-first // self.comm.size), len(batch.targets))):
            one = slice(i, i + 1)
            sample = Batch(batch.x[one], batch.targets[one], batch.step)
            known = {node: value[one] for node, value in constants.items()}
            tape = self._engine.forward(sample.x, context, self._passes, known)
            yield NetworkEvaluation(self, sample, tape, self.loss.likelihood(), None)

    def average_buffers(self) -> None:
        """Running statistics are the ranks' means; those of frozen nodes stay, to the bit."""
        buffers, frozen = self.network.buffers, [node for node in self.network.nodes if node.frozen]
        still = [buffers[f"{node.name}.{name}"] for node in frozen for name in node.layer.buffers()]
        before = [statistics.copy() for statistics in still]
        buffers.data[...] = self.comm.mean(buffers.data)
        for statistics, was in zip(still, before, strict=True):
            statistics[...] = was

    def output(self, x: Array) -> Array:
        """The network's output with the running statistics, as at test time."""
        return self._engine.forward(x, Context(self.network.device, training=False)).output


class NetworkEvaluation:
    """One batch at one point; ``decayed`` are the factors of weight decay, if it is part of the loss."""

    def __init__(self, f: NetworkObjective, batch: Batch, tape: Tape, loss: Loss, decayed: Array | None) -> None:
        self.f, self.batch, self.tape, self._of, self._decayed = f, batch, tape, loss, decayed
        self._losses, self._cache = loss.forward(tape.output, batch.targets)
        self._loss: Any = self._losses.mean()
        if decayed is not None:
            w = f.weights.data
            self._loss = self._loss + (decayed * w * w).sum() / 2

    @property
    def loss(self) -> Any:
        """The mean over the batch, decay included."""
        return self.tape.alive(self._loss)

    @property
    def losses(self) -> Array:
        return self.tape.alive(self._losses)

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        layout = self.f.weights.layout if only is None else self.f.weights.layout.only(only)
        gradient = self.tape.backward(self._of.backward(self._cache, self.batch.targets), layout)
        if self._decayed is not None:
            decay = LayeredVector(self.f.weights.layout, self._decayed * self.f.weights.data)
            gradient = gradient + decay.only(layout)
        return gradient

    def resume(self, changed: Iterable[str]) -> NetworkEvaluation:
        tape = self.tape.resume(self.f.weights.layout.only(changed))
        after = NetworkEvaluation(self.f, self.batch, tape, self._of, self._decayed)
        if self.f.bn_update == "twice":
            after.commit()
        return after

    def commit(self) -> None:
        self.tape.commit()
        if self.f.bn_batch == "rank":
            self.f.average_buffers()

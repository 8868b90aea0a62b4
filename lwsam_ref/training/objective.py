"""A network with a loss: the objective that the algorithms see.

What is perturbed, which pass moves batch norm's running statistics, and whether weight decay is part of the loss,
are properties of the objective, never branches in an algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.autodiff.layer import Run
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.ops import cross_entropy, cross_entropy_gradient
from lwsam_ref.autodiff.tape import Pass, Tape
from lwsam_ref.comm import SERIAL, Communicator
from lwsam_ref.vector import Array, LayeredVector, Layout

Engine = Callable[[Network, Array, Run, list[Pass] | None], Tape]
"""What walks the network: ``Tape``, the plain walk, or another class with its contract."""


class Batch(NamedTuple):
    """Inputs and class numbers, on the device, and the number of the step: it keys the random masks.

    ``rows``, on the host: which samples of a larger batch these are, and how many that has; masks are drawn for that.
    Of P processes, number r has the samples r, r + P, r + 2 P, ... of their common batch.
    """

    x: Array
    labels: Array
    step: int = 0
    rows: tuple[np.ndarray[Any, Any], int] | None = None


def share_of(samples: int, share: float) -> int:
    """So many samples, at least one."""
    return max(1, round(share * samples))


def decay_mask(layout: Layout, data: Array) -> Array:
    """1 for the entries that weight decay acts on (kernels and biases), 0 for gamma and beta."""
    mask = np.zeros_like(data)
    for t in layout.tensors:
        if t.role in ("kernel", "bias"):
            mask[layout.slices[t.name]] = 1
    return mask


@dataclass(eq=False)
class NetworkObjective:
    """``L_B(w)``: the mean cross-entropy of a batch, plus ``(decay / 2) |w|^2`` over kernels and biases.

    ``comm``: the processes that share a batch, in equal parts. ``uphill_by``: each climbs along the gradient of ``all``
    of them, or each ``rank`` along its own (m-sharpness). ``bn_batch``: batch norm normalises each ``rank``'s samples
    by themselves, the running statistics being the ranks' mean, or those of ``all`` together.

    ``perturb``: ``kernels``, only kernels belong to a layer, are ranked, perturbed and mixed; ``all``, every
    parameter belongs to one. ``bn_moves``: ``once``, by the pass at w; ``twice``, by the perturbed pass as well.
    """

    network: Network
    label_smoothing: float = 0.0
    perturb: str = "kernels"
    decay: float = 0.0
    bn_moves: str = "once"
    seed: int = 0
    engine: Engine = Tape
    comm: Communicator = SERIAL
    uphill_by: str = "all"
    bn_batch: str = "rank"

    def __post_init__(self) -> None:
        layout = self.network.weights.layout
        self.weights = LayeredVector(
            layout.kernels() if self.perturb == "kernels" else layout, self.network.weights.data
        )
        self._passes: list[Pass] | None = None
        self._decayed = self.decay * decay_mask(layout, self.weights.data) if self.decay else None

    def forward(self, batch: Batch) -> NetworkEvaluation:
        """Evaluate at the present weights."""
        together = self.comm if self.bn_batch == "all" else SERIAL
        run = Run(self.network.device, True, (self.seed, batch.step), batch.rows, together)
        return NetworkEvaluation(self, batch, self.engine(self.network, batch.x, run, self._passes))

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
        return mean if self.uphill_by == "all" else own

    def put(self, host: np.ndarray[Any, Any]) -> Array:
        return self.network.device.put(host)

    def get(self, array: Array) -> np.ndarray[Any, Any]:
        return self.network.device.get(array)

    def hardest(self, batch: Batch, scores: Array, share: float) -> Batch:
        """Of the samples of all processes, among equals the first; in equal parts, so some may change their process."""
        scores = self._whole(scores)
        count, ranks = share_of(len(scores), share), self.comm.size
        if count % ranks:
            raise ValueError(f"{count} samples cannot be shared by {ranks} processes")
        kept = np.sort(np.argsort(-scores, kind="stable")[:count])[self.comm.rank :: ranks]
        x, labels = self._whole(batch.x)[kept], self._whole(batch.labels)[kept]
        return Batch(x, labels, batch.step, (self.get(kept), len(scores)))

    def _whole(self, part: Array) -> Array:
        """Of what each process has for its samples, that of all samples: process r of P has those of r, r + P, ..."""
        parts = self.comm.gather(part)
        return parts.swapaxes(0, 1).reshape(-1, *part.shape[1:])

    def singly(self, batch: Batch, samples: int) -> Iterator[NetworkEvaluation]:
        """Of the likelihood alone: no dropout, batch norm's running statistics, no label smoothing, no decay."""
        likelihood = replace(self, label_smoothing=0.0, decay=0.0)
        run, first = Run(self.network.device, training=False), samples - self.comm.rank
        for i in range(min(-(-first // self.comm.size), len(batch.labels))):
            sample = Batch(batch.x[i : i + 1], batch.labels[i : i + 1], batch.step)
            yield NetworkEvaluation(likelihood, sample, self.engine(self.network, sample.x, run, self._passes))

    def logits(self, x: Array) -> Array:
        """The network's output with the running statistics, as at test time."""
        return self.engine(self.network, x, Run(self.network.device, training=False), None).output


class NetworkEvaluation:
    """One batch at one point."""

    def __init__(self, f: NetworkObjective, batch: Batch, tape: Tape) -> None:
        self.f, self.batch, self.tape = f, batch, tape
        self._losses, self._softmax = cross_entropy(tape.output, batch.labels, f.label_smoothing)
        self._loss: Any = self._losses.mean()
        if f._decayed is not None:
            w = f.weights.data
            self._loss = self._loss + (f._decayed * w * w).sum() / 2

    @property
    def loss(self) -> Any:
        """The mean over the batch, decay included."""
        return self.tape.alive(self._loss)

    @property
    def losses(self) -> Array:
        return self.tape.alive(self._losses)

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        layout = self.f.weights.layout if only is None else self.f.weights.layout.only(only)
        gz = cross_entropy_gradient(self._softmax, self.batch.labels, self.f.label_smoothing)
        gradient = self.tape.backward(gz, layout)
        if self.f._decayed is not None:
            decay = LayeredVector(self.f.weights.layout, self.f._decayed * self.f.weights.data)
            gradient = gradient + decay.only(layout)
        return gradient

    def resume(self, changed: Iterable[str]) -> NetworkEvaluation:
        after = NetworkEvaluation(self.f, self.batch, self.tape.resume(self.f.weights.layout.only(changed)))
        if self.f.bn_moves == "twice":
            after.commit()
        return after

    def commit(self) -> None:
        self.tape.commit()
        if self.f.bn_batch == "rank":
            buffers = self.f.network.buffers.data
            buffers[...] = self.f.comm.mean(buffers)

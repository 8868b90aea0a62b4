"""One rank: do everything that the tests compare, and leave it as named arrays in FOLDER/RANK.npz."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nets
from lwsam_ref import comm as comms
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.ops import blocks
from lwsam_ref.comm import MPI, SERIAL, Communicator, world
from lwsam_ref.data import load
from lwsam_ref.device import Device
from lwsam_ref.training.config import Config
from lwsam_ref.training.loop import run as to_the_end
from lwsam_ref.training.trainer import Trainer
from parallel.hand import Hand
from parallel.problems import CASES, CLIMBING, METHODS, made, outcome, steps
from support import fakes

Found = Iterator[tuple[str, Any]]

# -- collectives ---------------------------------------------------------------------------------------------

SHAPES = ((), (0,), (1,), (3, 4), (2, 0, 3), (70_001,))
DTYPES = ("float32", "float64", "int64")
COLLECTIVES = ("sum", "mean", "gather")
LAYOUTS = {"transposed": lambda x: x.T, "every other": lambda x: x[:, ::2], "backwards": lambda x: x[::-1]}
TEXTS = ("", "one line", "Größe: ∞\nof several\nlines", "\x00")


def sample(rank: int, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What this rank hands in."""
    draw = np.random.default_rng([rank, len(shape), *shape])
    return np.asarray(draw.normal(0, 1e3, shape)).astype(dtype)


def collectives(comm: Communicator) -> Found:
    yield "place", np.array([comm.rank, comm.size, comm.local_rank, comm.local_size])
    for dtype in DTYPES:
        for shape in SHAPES:
            yield from collected(comm, f"{dtype}/{shape}", sample(comm.rank, dtype, shape))
        for name, view in LAYOUTS.items():
            yield from collected(comm, f"{dtype}/{name}", view(sample(comm.rank, dtype, (4, 6))))
    for i in range(len(TEXTS)):
        yield (
            f"texts/{i}",
            np.array([text.encode().hex() for text in comm.gather_text(TEXTS[(i + comm.rank) % len(TEXTS)])]),
        )
    large = np.float32, (1_500_001,)  # enough for an algorithm that cuts arrays to pieces
    total = comm.sum(sample(comm.rank, *large))
    exact = sum(sample(rank, *large).astype(float) for rank in range(comm.size))
    yield "large/error", np.abs(total - exact).max()
    yield "large/bits", np.array(hashlib.sha256(total).hexdigest())
    assert comm.gather_text("") == [""] * comm.size
    assert world() is world() is comm


def collected(comm: Communicator, name: str, array: np.ndarray) -> Found:
    """Each collective; and the bytes that it counts."""
    before = array.copy()
    for collective in COLLECTIVES:
        sent, seconds = comm.sent, comm.seconds
        result = getattr(comm, collective)(array)
        assert np.array_equal(array, before), "a collective leaves what it is given as it is"
        assert comm.size == 1 or not np.shares_memory(result, array)
        assert comm.sent - sent == (array.nbytes if comm.size > 1 else 0)
        assert (comm.seconds > seconds) == (comm.size > 1)
        yield f"{collective}/{name}", result


# -- training ------------------------------------------------------------------------------------------------

STEPS = 20


def named(name: str, found: Found) -> Found:
    return ((f"{name}/{key}", value) for key, value in found)


def trained(comm: Communicator) -> Found:
    """By every method; batch norm, where there is any, of all ranks together."""
    for network, names in CASES.items():
        for name in names:
            trainer = made(network, comm, bn_batch="all", **METHODS[name])
            lines = steps(trainer, STEPS)
            yield from named(f"{network}/{name}", outcome(trainer, lines))
            yield f"{network}/{name}/accuracy", np.array(trainer.measured(trainer.data.test))


def local(comm: Communicator) -> Found:
    """Each rank up its own hill; SGD has none to climb."""
    for name in ("sgd", *CLIMBING):
        trainer = made("plain", comm, ascent_from="rank", **METHODS[name])
        yield from named(f"local/{name}", outcome(trainer, steps(trainer, STEPS)))


def run(comm: Communicator, out: Path) -> None:
    """From start to end, with all that a run writes down."""
    options = {"epochs": 2, "probe": True, "bn_batch": "all"}
    to_the_end(made("normed", comm, **METHODS["esam"] | options), out)


FIRST: dict[str, dict[str, Any]] = {
    "raw": {"method": "generalized-sam", "alpha": 0.6, "r": 0.5},
    "normalised": {"method": "generalized-sam", "alpha": 0.6, "rho": 0.2},
    "the last layers": {"k": 2, "alpha": 0.6, "r": 0.5},
    "all parameters": {"method": "sam", "perturb": "all", "r": 0.5},
}
"""What each rank climbs by its own gradient, batch norm being its own too: the first step."""


def first(comm: Communicator) -> Found:
    for name, options in FIRST.items():
        trainer = made("normed", comm, ascent_from="rank", **options)
        lines = steps(trainer, 1)
        yield from named(f"first/{name}", outcome(trainer, lines))
        yield f"first/{name}/numbers", np.array([lines[0][n] for n in ("loss", "loss_perturbed", "r_effective")])


def first_by_hand(parts: int) -> Found:
    for name, options in FIRST.items():
        hand = Hand(made("normed", SERIAL, ascent_from="rank", **options), parts)
        hand.step()
        yield f"{name}/velocity", hand.velocity
        yield f"{name}/weights", hand.w
        yield f"{name}/buffers", hand.buffers
        yield f"{name}/numbers", np.array([hand.loss, hand.loss_perturbed, np.mean(hand.factors)])


# -- two halves, float32 -------------------------------------------------------------------------------------

REAL: dict[str, Callable[..., Network]] = {
    "resnet20": nets.resnet20,
    "wide": partial(nets.wide_resnet, depth=10, width=1, dropout=0.3),
}
HALVES: dict[str, dict[str, Any]] = {"sgd": {"method": "sgd"}, "layerwise-sam": {"k": 4}}


def real(model: str, comm: Communicator, **options: Any) -> Trainer:
    """The digits, as they are trained on."""
    config = Config.of({"batch_size": 64, "bn_momentum": 0.9, "label_smoothing": 0.1, "weight_decay": 0.01, **options})
    device = Device.of("cpu", config.dtype, comm.local_rank)
    network = REAL[model]((8, 8, 1), 10, device=device, bn_momentum=config.bn_momentum, seed=4)
    return Trainer(config, network, load("digits"), comm)


def halves(comm: Communicator) -> Found:
    """A few steps, each down to its bits: by two ranks, and on one by hand."""
    for model in REAL:
        for method, options in HALVES.items():
            trainer = real(model, comm, **options)
            hand, trail = Hand(trainer, 2), []
            for _ in range(3):
                if comm.size == 2:
                    (line,) = steps(trainer, 1)
                    loss, velocity = line["loss"], trainer.optimizer.velocity.data
                else:
                    hand.step()
                    loss, velocity = hand.loss, hand.velocity
                weights, buffers = trainer.f.weights.data, trainer.network.buffers.data
                trail += [loss.hex(), *(hashlib.sha256(array).hexdigest() for array in (velocity, weights, buffers))]
            yield f"halves/{model}/{method}", np.array(trail)


# -- bytes; arrays on a device -------------------------------------------------------------------------------

SENT: dict[str, dict[str, Any]] = {
    **{name: METHODS[name] for name in ("sgd", "sam", "looksam", "layerwise", "esam", "sparse")},
    "layerwise, all parameters": {"k": 2, "perturb": "all"},
    "sgd, batch norm of all": {"method": "sgd", "bn_batch": "all"},
    "layerwise, batch norm of all": {"k": 2, "bn_batch": "all"},
    "layerwise, float32": {"k": 2, "dtype": "float32"},
}


def sent(comm: Communicator) -> Found:
    """Bytes that each of two steps sends."""
    for name, options in SENT.items():
        trainer, counts = made("normed", comm, **options), [comm.sent]
        for _ in range(2):
            steps(trainer, 1)
            counts.append(comm.sent)
        yield f"sent/{name}", np.diff(counts)


STAGED = ("layerwise", "sam, statistics twice moved", "esam", "sparse", "looksam")


def staged(comm: Communicator) -> Found:
    """The same from arrays on a device, which pass through the host: each collective, and steps of some methods."""
    through: list[tuple[tuple[int, ...], np.dtype]] = []

    def staging(array: Any, shape: tuple[int, ...]) -> np.ndarray:
        assert isinstance(array, fakes.DeviceArray)
        through.append((shape, array.dtype))
        return np.empty(shape, array.dtype)

    kept = comms.staging, blocks.on_host
    comms.staging, blocks.on_host = staging, lambda x: True  # sums in the same order
    try:
        for dtype in DTYPES:
            for shape in SHAPES:
                array, kind = fakes.device(dtype).exactly(sample(comm.rank, dtype, shape)), np.dtype(dtype)
                for collective in COLLECTIVES:
                    before, counted = len(through), comm.sent
                    result = getattr(comm, collective)(array)
                    assert isinstance(result, fakes.DeviceArray)
                    gathered = (comm.size, *shape) if collective == "gather" else shape
                    assert through[before:] == ([(shape, kind), (gathered, kind)] if comm.size > 1 else [])
                    assert comm.sent - counted == (array.nbytes if comm.size > 1 else 0)
                    yield f"staged/{collective}/{dtype}/{shape}", result.get()
        if comm.size == 2:
            yield from staged_steps(comm)
    finally:
        comms.staging, blocks.on_host = kept


def staged_steps(comm: Communicator) -> Found:
    for name in STAGED:
        for bn_batch in ("rank", "all"):
            for kind, device in (("host", None), ("device", fakes.device("float64"))):
                trainer = made("normed", comm, device, bn_batch=bn_batch, **METHODS[name])
                assert isinstance(trainer.f.weights.data, fakes.DeviceArray) == (kind == "device")
                yield from named(f"staged/{kind}/{name}/{bn_batch}", outcome(trainer, steps(trainer, 2)))


def everything(comm: Communicator) -> Found:
    yield from collectives(comm)
    yield from trained(comm)
    yield from local(comm)
    yield from first(comm)
    if comm.size <= 2:
        yield from halves(comm)
    if comm.size == 1:
        for parts in (2, 3, 4):
            yield from named(f"hand/{parts}", first_by_hand(parts))
    yield from sent(comm)
    yield from staged(comm)


def main() -> None:
    comm, folder = world(), Path(sys.argv[1])
    assert isinstance(comm, MPI) == (comm.size > 1)
    try:
        run(comm, folder / "run")
        np.savez(folder / f"{comm.rank}.npz", **dict(everything(comm)))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        comm.abort(1)
        raise


if __name__ == "__main__":
    main()

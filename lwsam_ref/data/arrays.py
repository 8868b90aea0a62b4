"""A data set from the user's own NumPy arrays: what cannot be meant is refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.data.dataset import Dataset, Images, Split
from lwsam_ref.errors import UserError

HostArray = np.ndarray[Any, Any]
Pair = tuple[Any, Any]


def arrays(
    name: str,
    train: Pair,
    test: Pair,
    outputs: int | None = None,
    loss: str = "cross-entropy",
    metric: str | None = None,
) -> Dataset:
    """Inputs and targets to train on, and to test with, as pairs of arrays; the first axis is that of the samples.

    Inputs: images (N, H, W, C) of bytes, which are standardised pixel by pixel; numbers with a fraction, which are
    taken as they are; or tokens, whole numbers. Targets: class numbers, one a sample (N,), or one a position (N, T);
    with the loss ``squared-error`` numbers (N, K). ``outputs`` is how many numbers the network gives: by default as
    many as there are classes.
    """
    if outputs is not None and type(outputs) is not int:
        raise UserError(f"asked for {outputs!r} outputs, but that is no whole number: give one")
    splits = [_split(what, *pair, loss) for what, pair in (("train", train), ("test", test))]
    first, second = splits
    if first.inputs.shape[1:] != second.inputs.shape[1:] or first.inputs.dtype != second.inputs.dtype:
        raise UserError(
            f"asked to train on inputs {_kind(first.inputs)} and to test with {_kind(second.inputs)}: make them alike"
        )
    if loss == "cross-entropy":
        most = max(int(split.targets.max()) for split in splits) + 1
        outputs = most if outputs is None else outputs
        if most > outputs:
            raise UserError(f"asked for {outputs} classes, but there is a label {most - 1}: labels count from 0")
        metric = metric or "accuracy"
    else:
        outputs, metric = first.targets.shape[1], metric or "mean_squared_error"
        if second.targets.shape[1] != outputs:
            raise UserError(
                f"asked to train on {outputs} targets a sample and to test with {second.targets.shape[1]}:"
                " make them alike"
            )
    made = Images if first.inputs.dtype == np.uint8 else Dataset
    return made(name, first, second, outputs, loss, metric)


def _split(what: str, x: Any, y: Any, loss: str) -> Split:
    for array, role in ((x, "inputs"), (y, "targets")):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or array.ndim == 0 or not len(array):
            shown = _kind(array) if isinstance(array, np.ndarray) else type(array).__name__
            raise UserError(f"asked for {what} {role} that are {shown}: give a NumPy array of numbers, samples first")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"asked for {what} {role} with numbers that are not finite: clean them")
    if len(x) != len(y):
        raise UserError(f"asked for {len(x)} {what} inputs with {len(y)} targets: each input needs one")
    if x.dtype == np.uint8 and x.ndim != 4:
        raise UserError(
            f"asked for {what} inputs {_kind(x)}, but bytes are images (N, H, W, C): reshape them, or give numbers"
            " with a fraction or tokens (int64)"
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3, 4):
        raise UserError(f"asked for {what} images {_kind(x)}, but channels come last: transpose to (N, H, W, C)")
    if x.dtype.kind == "i" and x.min() < 0:
        raise UserError(f"asked for the {what} token {x.min()}, but tokens count from 0: shift them")
    x = x.astype(np.int64) if x.dtype.kind in "iu" and x.dtype != np.uint8 else x
    return Split(x, _labels(what, x, y) if loss == "cross-entropy" else _numbers(what, y))


def _labels(what: str, x: HostArray, y: HostArray) -> HostArray:
    if y.dtype.kind == "f" or y.ndim > 2 or (y.ndim == 2 and y.shape != x.shape[:2]):
        raise UserError(
            f"asked for {what} labels {_kind(y)} of inputs {_kind(x)}, but labels are class numbers, one a sample (N,)"
            " or one a position (N, T): convert them"
        )
    if y.min() < 0:
        raise UserError(f"asked for the {what} label {y.min()}, but labels count from 0: shift them")
    return y.astype(np.int64)


def _numbers(what: str, y: HostArray) -> HostArray:
    if y.ndim > 2:
        raise UserError(f"asked for {what} targets {_kind(y)}, but they are numbers (N,) or (N, K): reshape them")
    return y.astype(np.float64).reshape(len(y), -1)


def _kind(array: HostArray) -> str:
    return f"{array.dtype} {array.shape}"

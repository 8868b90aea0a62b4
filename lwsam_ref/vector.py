"""One contiguous array with named layers: what gradients, weights and perturbations are made of.

A :class:`Layout` says which tensors lie where and to which layer each belongs. A :class:`LayeredVector` is an array
with a layout. The layout may span some of the layers only, so the ascent gradient of the selected layers is one
small contiguous buffer that says by itself what is in it.

Entries may be float32, float64 or Python objects (``fractions.Fraction`` in the proofs, where algebra is exact).

>>> layout = Layout.of({"a": (2,), "b": (3,)})
>>> w = LayeredVector(layout, np.array([3.0, 4.0, 1.0, 2.0, 2.0]))
>>> g = w.only(layout.only(["b"]))
>>> g
LayeredVector(b: 3)
>>> (0.5 * g)["b"]
array([0.5, 1. , 1. ])
>>> w.squared_norms()
array([25.,  9.])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from numbers import Number
from typing import Any

import numpy as np

Array = Any
"""A NumPy array, or an array of another library that answers to NumPy's dispatch protocols (CuPy)."""


@dataclass(frozen=True)
class TensorSpec:
    """One named array inside a layout, and what it is.

    ``layer``: the layer that it belongs to, ``None`` if to none. ``ranked``: it makes its layer a layer in the paper's
    sense. ``decayed``: weight decay acts on it. ``normalises``: it is the gain or the shift of a normalisation.
    """

    name: str
    shape: tuple[int, ...]
    layer: str | None
    ranked: bool = True
    decayed: bool = True
    normalises: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)


PERTURBED: dict[str, Callable[[TensorSpec], bool]] = {
    "kernels": lambda t: t.ranked,
    "all": lambda t: True,
    "norms": lambda t: t.normalises,
}
"""Which tensors a layer stands for: ranked ones, all of its own, or gains and shifts (Mueller et al. 2023)."""


class Layout:
    """An ordered list of tensors and the place of each in a flat array; equal when the tensors are."""

    def __init__(self, tensors: Iterable[TensorSpec]) -> None:
        self.tensors: tuple[TensorSpec, ...] = tuple(tensors)
        self.slices: dict[str, slice] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        stop = 0
        for tensor in self.tensors:
            if tensor.name in self.slices:
                raise ValueError(f"a layout names each tensor once; {tensor.name!r} is there twice")
            self.slices[tensor.name] = slice(stop, stop := stop + tensor.size)
            self.shapes[tensor.name] = tensor.shape
        self.size: int = stop
        self.layers: tuple[str, ...] = tuple(dict.fromkeys(t.layer for t in self.tensors if t.layer is not None))
        self._hash = hash(self.tensors)

    @classmethod
    def of(cls, layers: Mapping[str, Sequence[int]]) -> Layout:
        """A layout with one tensor per layer, of the same name: enough for a toy problem."""
        return cls(TensorSpec(name, tuple(shape), name) for name, shape in layers.items())

    def only(self, layers: Iterable[str]) -> Layout:
        """The sub-layout of the tensors of ``layers``, in this layout's order. An unknown layer raises ``KeyError``."""
        if isinstance(layers, str):
            raise TypeError(f"layers are a collection of names; {layers!r} is one name")
        return _only(self, frozenset(layers))

    def perturbing(self, rule: str) -> Layout:
        """The same tensors in the same places; what the ``rule`` of :data:`PERTURBED` leaves out has no layer."""
        perturbed = PERTURBED[rule]
        return Layout(t if perturbed(t) else replace(t, layer=None) for t in self.tensors)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Layout) and self.tensors == other.tensors)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Layout({', '.join(f'{t.name}: {t.size}' for t in self.tensors)})"


@lru_cache(maxsize=1024)
def _only(layout: Layout, layers: frozenset[str]) -> Layout:
    if unknown := layers - set(layout.layers):
        raise KeyError(f"no layer {min(unknown)!r} in {layout!r}")
    return Layout(t for t in layout.tensors if t.layer in layers)


@lru_cache(maxsize=1024)
def _runs(part: Layout, whole: Layout) -> tuple[tuple[slice, slice], ...]:
    """The pieces in which ``part`` lies in ``whole``: (slice of part, slice of whole), neighbours joined."""
    runs: list[tuple[slice, slice]] = []
    for name, here in part.slices.items():
        if part.shapes[name] != whole.shapes[name]:
            raise ValueError(f"{name!r} has shape {part.shapes[name]} in the part, {whole.shapes[name]} in the whole")
        there = whole.slices[name]
        if runs and runs[-1][1].stop == there.start:
            runs[-1] = slice(runs[-1][0].start, here.stop), slice(runs[-1][1].start, there.stop)
        else:
            runs.append((here, there))
    return tuple(runs)


class LayeredVector:
    """A flat array with a :class:`Layout`. ``v[name]`` is a view of one tensor in its own shape.

    ``+``, ``-`` and multiplication by a scalar give new vectors and want equal layouts; the entries keep their
    dtype, whatever kind of number the scalar is. :meth:`add`, :meth:`assign` and :meth:`only` cross between a
    vector and one that spans a part of it.
    """

    __array_ufunc__ = None  # an array times a vector is this class's business, not NumPy's

    def __init__(self, layout: Layout, data: Array) -> None:
        if data.shape != (layout.size,):
            raise ValueError(f"the layout wants {layout.size} entries; the array has shape {data.shape}")
        self.layout = layout
        self.data = data

    @property
    def layers(self) -> tuple[str, ...]:
        return self.layout.layers

    def __getitem__(self, tensor: str) -> Array:
        return self.data[self.layout.slices[tensor]].reshape(self.layout.shapes[tensor])

    def __repr__(self) -> str:
        return f"LayeredVector({repr(self.layout)[7:-1]})"

    # -- algebra ---------------------------------------------------------------------------------------------

    def __add__(self, other: LayeredVector) -> LayeredVector:
        return LayeredVector(self._shared(other), self.data + other.data)

    def __sub__(self, other: LayeredVector) -> LayeredVector:
        return LayeredVector(self._shared(other), self.data - other.data)

    def __mul__(self, scalar: Any) -> LayeredVector:
        """``scalar`` is a Python number, or an array without dimensions (a norm that stays on the device)."""
        if type(scalar) not in (int, float) and self.data.dtype != object:
            if not isinstance(scalar, Number) and getattr(scalar, "shape", None) != ():
                return NotImplemented
            scalar = scalar.astype(self.data.dtype) if hasattr(scalar, "astype") else float(scalar)
        return LayeredVector(self.layout, self.data * scalar)

    __rmul__ = __mul__

    def scaled(self, factors: Array) -> LayeredVector:
        """Entry by entry times ``factors``, a flat array of this size: a mask of booleans, or numbers of one's own."""
        return LayeredVector(self.layout, self.data * factors)

    def dot(self, other: LayeredVector) -> Any:
        """The inner product, summed in float64 (exactly, if the entries are fractions)."""
        self._shared(other)
        return (_wide(self.data) * _wide(other.data)).sum()

    def squared_norms(self) -> Array:
        """``|v_i|^2`` for each layer i, in layer order: float64 whatever the dtype, and still on the device."""
        groups = _groups(self.layout)
        if not groups:
            return _wide(self.data)[:0]
        return np.stack([sum(_sum_of_squares(self.data[run]) for run in group) for group in groups])

    def squared_norm(self) -> Any:
        """``|v|^2`` over all entries: the layers' squared norms in layer order, then what belongs to no layer."""
        total = sum(self.squared_norms(), start=_wide(self.data)[:0].sum())
        for t in self.layout.tensors:
            if t.layer is None:
                total = total + _sum_of_squares(self.data[self.layout.slices[t.name]])
        return total

    # -- a part and the whole --------------------------------------------------------------------------------

    def only(self, part: Layout) -> LayeredVector:
        """A copy of the entries that ``part`` names."""
        data = np.empty_like(self.data, shape=(part.size,))
        for here, there in _runs(part, self.layout):
            data[here] = self.data[there]
        return LayeredVector(part, data)

    def add(self, part: LayeredVector) -> None:
        """In place: add ``part`` to the entries that it spans."""
        for here, there in _runs(part.layout, self.layout):
            self.data[there] += part.data[here]

    def assign(self, part: LayeredVector) -> None:
        """In place: overwrite the entries that ``part`` spans."""
        for here, there in _runs(part.layout, self.layout):
            self.data[there] = part.data[here]

    def copy(self) -> LayeredVector:
        return LayeredVector(self.layout, self.data.copy())

    def _shared(self, other: LayeredVector) -> Layout:
        if self.layout != other.layout:
            raise ValueError(f"two vectors with different layouts: {self.layout!r} and {other.layout!r}")
        return self.layout


@lru_cache(maxsize=1024)
def _groups(layout: Layout) -> tuple[tuple[slice, ...], ...]:
    """For each layer the pieces of the flat array that hold its tensors, neighbours joined."""
    alone = (Layout(t for t in layout.tensors if t.layer == layer) for layer in layout.layers)
    return tuple(tuple(there for _, there in _runs(part, layout)) for part in alone)


def _wide(x: Array) -> Array:
    return x if x.dtype == object else x.astype(np.float64, copy=False)


def _sum_of_squares(x: Array) -> Any:
    wide = _wide(x)
    return (wide * wide).sum()

"""The slow and independent ways to know: reachability, two full passes at fresh evaluations, Eq. 3 on dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.autodiff.network import INPUT, Network
from lwsam_ref.vector import Array, LayeredVector, Layout

Dictionary = dict[str, Array]


def reachable(network: Network, part: Layout) -> frozenset[int]:
    """Owners of ``part`` and all that they lead to: powers of the adjacency matrix."""
    n = len(network.nodes)
    step = np.eye(n, dtype=np.int64)
    for i, node in enumerate(network.nodes):
        for j in node.inputs:
            if j != INPUT:
                step[j, i] = 1
    closure = step
    for _ in range(n):
        closure = np.minimum(closure @ step, 1)
    owners = {t.name.rpartition(".")[0] for t in part.tensors}
    starts = [i for i, node in enumerate(network.nodes) if node.name in owners]
    return frozenset(np.flatnonzero(closure[starts].sum(axis=0)).tolist())


def as_dict(v: LayeredVector) -> Dictionary:
    return {t.name: v[t.name].copy() for t in v.layout.tensors}


def gradient_at(f: Any, batch: Any, moved: Dictionary) -> tuple[Dictionary, Any]:
    """Gradient and loss of a fresh evaluation with the tensors ``moved`` overwritten; then all is put back."""
    before = f.weights.data.copy()
    for name, value in moved.items():
        f.weights[name][...] = value
    evaluation = f.forward(batch)
    gradient, loss = as_dict(evaluation.backward()), evaluation.loss
    f.weights.data[...] = before
    return gradient, loss


def climbed(f: Any, batch: Any, names: Any, r: Any) -> Dictionary:
    """``w + r g`` on the tensors ``names``."""
    g, _ = gradient_at(f, batch, {})
    return {name: f.weights[name] + r * g[name] for name in names}


def equation_3(f: Any, batch: Any, r: Any, alpha: Any) -> Dictionary:
    """``(1 - alpha) g(w) + alpha g(w + r g(w))``, every parameter perturbed: two full passes."""
    g, _ = gradient_at(f, batch, {})
    h, _ = gradient_at(f, batch, climbed(f, batch, g, r))
    return {name: (1 - alpha) * g[name] + alpha * h[name] for name in g}


def algorithm_1(f: Any, batch: Any, selected: Any, r: Any, alpha: Any) -> tuple[Dictionary, Dictionary, Any]:
    """Update, descent gradient and perturbed loss by the same arithmetic, without cone, tape or vector."""
    inside = {t.name for t in f.weights.layout.tensors if t.layer in selected}
    g, _ = gradient_at(f, batch, {})
    h, loss = gradient_at(f, batch, climbed(f, batch, inside, r))
    return {name: (1 - alpha) * g[name] + alpha * h[name] if name in inside else h[name] for name in h}, h, loss

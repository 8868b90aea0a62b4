"""The border between both sides: the order of axes, the names of tensors, and how near is equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lwsam_ref.autodiff.network import Network
from lwsam_ref.vector import Array, LayeredVector

TOLERANCE = 1e-10
"""Rounding, 1e-16 a sum, has grown to 1e-13 after twenty layers and five steps; a wrong formula shows above 1e-10."""

ROLES = {
    nn.Conv2d: {"weight": "kernel"},
    nn.Linear: {"weight": "kernel", "bias": "bias"},
    nn.BatchNorm2d: {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"},
}


def names(model: nn.Module) -> dict[str, str]:
    """PyTorch's name of each parameter and running statistic, and ours."""
    return {
        f"{path}.{leaf}": f"{path}.{role}"
        for path, module in model.named_modules()
        for leaf, role in ROLES.get(type(module), {}).items()
    }


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def copy(network: Network, model: nn.Module) -> None:
    """Parameters and running statistics of ``network`` into ``model``, by name: kernels (k, k, C, K) and (C, K)."""
    ours = by_name(network.weights) | by_name(network.buffers)
    assert set(names(model).values()) == set(ours)
    model.load_state_dict(by_their_name(model, ours), strict=False)  # PyTorch also counts batches


def by_name(v: LayeredVector) -> dict[str, Array]:
    return {t.name: v[t.name] for t in v.layout.tensors}


def by_our_name(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """PyTorch's tensors under our names, in our order of axes; one without a name of ours is left out."""
    arrays = {mine: tensors[name].detach().numpy() for name, mine in names(model).items() if name in tensors}
    return {name: w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T for name, w in arrays.items()}


def by_their_name(model: nn.Module, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Our arrays under PyTorch's names, in its order of axes; one that is not there is left out."""
    ours = {name: arrays[mine] for name, mine in names(model).items() if mine in arrays}
    return {name: torch.tensor(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T) for name, w in ours.items()}


def agree(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float = TOLERANCE, terms: Mapping[str, float] = {}
) -> None:
    """The same names, and for each ``max |a - b| <= tolerance max |b|``.

    Where ``b`` is a sum that may cancel, ``terms`` has the size of what is added, to be used if it is larger.
    """
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for name in theirs:
        a, b = np.asarray(ours[name]), np.asarray(theirs[name])
        assert a.shape == b.shape, (name, a.shape, b.shape)
        error, size = np.abs(a - b).max(), max(np.abs(b).max(), terms.get(name, 0.0))
        assert error <= tolerance * size, f"{name} is off by {error} of {size}"

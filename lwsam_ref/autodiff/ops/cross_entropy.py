r"""Softmax cross-entropy with label smoothing (Szegedy et al. 2016), from logits (N, K) and class numbers (N).

With the target :math:`t = (1 - s)\, e_{y} + s / K` and :math:`p = \mathrm{softmax}(z)`,

.. math:: l_n = -\sum_k t_{nk} \log p_{nk}, \qquad \partial\, \tfrac1N \textstyle\sum_n l_n / \partial z = (p - t) / N.
"""

from __future__ import annotations

import numpy as np

from lwsam_ref.vector import Array


def cross_entropy(z: Array, labels: Array, smoothing: float) -> tuple[Array, Array]:
    """The losses per sample, and the softmax (the cache)."""
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    logp = z - np.log(total)
    at_label = np.take_along_axis(logp, labels[:, None], axis=1)[:, 0]
    return -(1.0 - smoothing) * at_label - smoothing * logp.mean(axis=1), p


def cross_entropy_gradient(p: Array, labels: Array, smoothing: float) -> Array:
    """The gradient of the mean loss with respect to the logits."""
    n, k = p.shape
    is_label = labels[:, None] == np.arange(k, like=labels)
    gz: Array = p - is_label.astype(p.dtype) * (1.0 - smoothing)
    gz -= smoothing / k
    gz /= n
    return gz

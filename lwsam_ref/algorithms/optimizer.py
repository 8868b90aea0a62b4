"""Stochastic gradient descent with momentum and weight decay, and the step schedule of the learning rate."""

from __future__ import annotations

import numpy as np

from lwsam_ref.vector import LayeredVector


class Momentum:
    r"""``u <- m u + (v + decay w)``, ``w <- w - lr u``: the usual form, the learning rate outside the velocity.

    (Keras puts it inside: the two differ for a while after the rate drops.) ``decayed`` is the vector of decay
    factors, one an entry, or ``None``. ``velocity`` is all the state there is.
    """

    def __init__(self, weights: LayeredVector, momentum: float, decayed: LayeredVector | None = None) -> None:
        self.weights, self.momentum, self.decayed = weights, momentum, decayed
        self.velocity = LayeredVector(weights.layout, np.zeros_like(weights.data))

    def step(self, update: LayeredVector, lr: float) -> None:
        w, u = self.weights.data, self.velocity.data
        u *= self.momentum
        u += update.data
        if self.decayed is not None:
            u += self.decayed.data * w
        w -= lr * u


def learning_rate(lr: float, drops: tuple[float, ...], factor: float, epoch: int, epochs: int) -> float:
    """``lr``, times ``factor`` for each drop that is past; drops are fractions of the run, to whole epochs.

    >>> [round(learning_rate(0.1, (2 / 3, 13 / 15), 0.1, e, 150), 6) for e in (0, 99, 100, 129, 130)]
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    return lr * factor ** sum(epoch >= round(drop * epochs) for drop in drops)

r"""What section 3 says of Eqs. 2 to 6, in exact fractions on quadratics, where nothing is "to first order".

With a Hessian H that does not move, Algorithm 1's update is ``v = g + r D H P g`` with ``D = I - (1 - alpha) P``:
for every r, batch and selection, an equality.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from lwsam_ref.algorithms import Raw, layerwise_sam, sgd
from lwsam_ref.vector import Array
from proofs.draw import Draw
from proofs.problems import Batch, FiniteSum, quadratic
from proofs.sample import SHAPES


class Update:
    """A random exact quadratic, a batch, a selection, r and alpha; v from the code that trains."""

    def __init__(self, draw: Draw) -> None:
        self.f: FiniteSum = quadratic(draw.choice(SHAPES), draw.seed(), exact=True)
        self.batch: Batch = draw.choice(((0,), (0, 1), (1, 1, 2), (0, 1, 2)))
        layers = self.f.weights.layers
        self.selected = tuple(layer for layer in layers if draw.choice((True, False))) or layers[:1]
        self.r, self.alpha = draw.number(Fraction(1, 64), 2), draw.number(0, 1)
        self.hessian: Array = self.f.hessian_of(self.batch)
        inside = self.f.weights.layout.only(self.selected).slices
        self.p = np.concatenate(
            [np.full(t.size, Fraction(t.name in inside), object) for t in self.f.weights.layout.tensors]
        )

    def v(self, alpha: Any = None, selected: tuple[str, ...] | None = None) -> Array:
        alpha = self.alpha if alpha is None else alpha
        return layerwise_sam(
            self.f, self.batch, self.selected if selected is None else selected, Raw(self.r), alpha
        ).update.data

    @property
    def g(self) -> Array:
        return self.f.forward(self.batch).backward().data

    def penalty(self, alpha: Any) -> Array:
        """``g + r D H P g``."""
        d = 1 - (1 - alpha) * self.p
        return self.g + self.r * d * (self.hessian @ (self.p * self.g))

    def jacobian(self, alpha: Any) -> Array:
        """Of v with respect to w, column by column: v is affine in w."""
        here, columns = self.v(alpha), []
        for j in range(len(here)):
            self.f.weights.data[j] += 1
            columns.append(self.v(alpha) - here)
            self.f.weights.data[j] -= 1
        return np.stack(columns, axis=1)


def penalises(draw: Draw) -> bool:
    """``v = g + r D H P g``: strength alpha on w', 1 on the other layers."""
    u = Update(draw)
    return bool((u.v() == u.penalty(u.alpha)).all())


def eq_3_is_a_squared_norm(draw: Draw) -> bool:
    """All layers selected: v is the gradient of ``L + (alpha r / 2) |grad L|^2``, which is ``g + alpha r H g``."""
    u = Update(draw)
    return bool((u.v(selected=u.f.weights.layers) == u.g + u.alpha * u.r * (u.hessian @ u.g)).all())


def others_are_plain(draw: Draw) -> bool:
    """As printed: "the layer-wise gradient of all the other layers is just simply" the plain one. Do the two agree?"""
    u = Update(draw)
    return bool(((u.v() - u.g)[u.p == 0] == 0).all())


def is_a_gradient(draw: Draw, alpha: Any = None) -> bool:
    """Whether v, as a function of w, is the gradient of anything: its Jacobian is symmetric."""
    u = Update(draw)
    jacobian = u.jacobian(u.alpha if alpha is None else alpha)
    return bool((jacobian == jacobian.T).all())


def is_a_gradient_for_alpha_1(draw: Draw) -> bool:
    """With alpha = 1 it is: ``H + r H P H`` is symmetric."""
    return is_a_gradient(draw, 1)


def none_is_sgd(draw: Draw) -> bool:
    """k = 0 is SGD."""
    u = Update(draw)
    return bool((u.v(selected=()) == sgd(u.f, u.batch).update.data).all())


def all_is_sam(draw: Draw, alpha: Any = None) -> bool:
    """As printed: k = L is SAM, ``v = grad L_B(w + r g)``. For any alpha?"""
    u = Update(draw)
    return bool((u.v(alpha, selected=u.f.weights.layers) == u.g + u.r * (u.hessian @ u.g)).all())


def all_is_sam_for_alpha_1(draw: Draw) -> bool:
    return all_is_sam(draw, 1)


LAWS = (
    ("Eq. 6, Algorithm 1", "v = g + r D H P g", "true", penalises),
    ("Eq. 3", "the gradient of L + (alpha r / 2) |grad L|^2", "true", eq_3_is_a_squared_norm),
    ("Section 3.2", "other layers get the plain gradient", "false", others_are_plain),
    ("Eq. 4", "v is the gradient of some loss, any alpha", "false", is_a_gradient),
    ("Eq. 4", "v is the gradient of some loss, alpha = 1", "true", is_a_gradient_for_alpha_1),
    ("Section 3.4", "k = 0 is SGD", "true", none_is_sgd),
    ("Section 3.4", "k = L is SAM, any alpha", "false", all_is_sam),
    ("Section 3.4", "k = L is SAM, alpha = 1", "true", all_is_sam_for_alpha_1),
)
"""Source, what it says, verdict, and whether it holds in a random case."""

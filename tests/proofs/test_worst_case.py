"""The formulas for the worst smooth loss, against brute force and against the semidefinite program."""

from __future__ import annotations

import sys
from math import cos, inf, pi, sin, sqrt
from typing import Any

import numpy as np
import pytest

from lwsam_ref.vector import LayeredVector
from proofs.worst_case import (
    Claim,
    Point,
    any_share_constant,
    best_mix,
    best_mu,
    claims,
    rows,
    sure_decrease,
    theorem_c,
    tight_constant,
    worst_case,
)

pytestmark = pytest.mark.proofs

RNG = np.random.default_rng(0)
SETTINGS = [
    (z, radius / sqrt(kappa), alpha, kappa)
    for z, radius, alpha, kappa in zip(
        RNG.uniform(0.05, 1, 40), RNG.uniform(0.05, 1, 40), RNG.uniform(0, 1, 40), RNG.uniform(0.02, 1, 40), strict=True
    )
]
SETTINGS += [(z, x, alpha, 1.0) for z in (0.2, 0.7, 1.0) for x in (0.3, 1.0) for alpha in (0.0, 0.4, 1.0)]


def decrease(z: float, alpha: float, g: Any, u: Any) -> Any:
    """``z <g, v> - z^2 |v|^2 / 2`` with ``v = g + D u``: what the quadratic bound leaves of the decrease."""
    v = g + np.array([alpha, 1.0])[:, None] * u
    return z * (g * v).sum(0) - z**2 / 2 * (v * v).sum(0)


def worst_direction(z: float, x: float, alpha: float, kappa: float) -> tuple[Any, Any]:
    """grad L and the worst ``u = gt - grad L``, by search over directions."""
    g = np.array([[sqrt(kappa)], [sqrt(1 - kappa)]])
    angles, width = np.linspace(pi, 3 * pi / 2, 2001), pi / 4000
    for _ in range(6):  # ever finer around the worst so far
        u = x * sqrt(kappa) * np.array([np.cos(angles), np.sin(angles)])
        worst = angles[decrease(z, alpha, g, u).argmin()]
        angles, width = np.linspace(max(worst - width, pi), min(worst + width, 3 * pi / 2), 2001), width / 500
    return g, x * sqrt(kappa) * np.array([[cos(worst)], [sin(worst)]])


# -- formulas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("z", "x", "alpha", "kappa"), SETTINGS)
def test_theorem_d_is_the_least_decrease_over_all_directions(z: float, x: float, alpha: float, kappa: float) -> None:
    g, u = worst_direction(z, x, alpha, kappa)
    found, mu = decrease(z, alpha, g, u)[0], best_mu(z, x, alpha, kappa)
    assert sure_decrease(z, x, alpha, kappa, mu) == pytest.approx(found, rel=1e-9, abs=1e-9)
    others = [sure_decrease(z, x, alpha, kappa, z + y) for y in RNG.exponential(size=100)]
    assert max(others) <= found + 1e-9


@pytest.mark.parametrize(("z", "x", "alpha", "kappa"), SETTINGS)
def test_a_smooth_loss_with_that_decrease_exists(z: float, x: float, alpha: float, kappa: float) -> None:
    """Three points with values and gradients that the interpolation inequality of smooth losses allows."""
    g, u = (a[:, 0] for a in worst_direction(z, x, alpha, kappa))
    w1, w2 = np.array([x * g[0], 0]), -z * (g + np.array([alpha, 1]) * u)
    points, gradients = [np.zeros(2), w1, w2], [g, g + u, g + w2]
    values = [0.0, g @ w1 + u @ w1 / 2, g @ w2 + w2 @ w2 / 2]
    for i in range(3):
        for j in range(3):
            dw, dg = points[i] - points[j], gradients[i] - gradients[j]
            mean = (gradients[i] + gradients[j]) @ dw / 2
            assert values[i] - values[j] >= mean + (dg @ dg - dw @ dw) / 4 - 1e-9


@pytest.mark.parametrize("z", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("x", [0.1, 0.6, 0.95])
def test_theorem_d_where_it_is_in_closed_form(z: float, x: float) -> None:
    for kappa in (0.0, 0.3, 1.0):
        assert tight_constant(z, x, 1.0, kappa) == pytest.approx(theorem_c(z, x, kappa))
        radius, outside = x * sqrt(kappa), sqrt(1 - kappa)
        decrease = z / 2 * (2 - z - 2 * (1 - z) * outside * radius - z * radius**2)
        assert tight_constant(z, x, 0.0, kappa) == pytest.approx(1 / decrease)
    for alpha in (0.2, 0.7):
        if x <= (1 - z) * alpha / (z * (1 - alpha**2)):
            expected = z / 2 * (1 - alpha * x) * (2 - z * (1 - alpha * x))
        else:
            expected = z / 2 * (2 - z - (1 - z) ** 2 * alpha**2 / (z * (1 - alpha**2)) - z * x**2)
        assert tight_constant(z, x, alpha, 1.0) == pytest.approx(1 / expected)


@pytest.mark.parametrize(("z", "x", "alpha", "kappa"), [*SETTINGS[::4], (1.5, 0.3, 0.5, 0.5), (0.4, 1.6, 0.1, 0.95)])
def test_no_other_lambda_and_mu_do_better(z: float, x: float, alpha: float, kappa: float) -> None:
    best = best_mix(z, x, alpha, kappa)
    assert (best == 0) == (z <= 1 and x**2 * kappa <= 1)
    at_best = sure_decrease(z, x, alpha, kappa, best_mu(z, x, alpha, kappa, best), best)
    for mix in np.linspace(0, 1, 101):
        mu = best_mu(z, x, alpha, kappa, mix)
        assert sure_decrease(z, x, alpha, kappa, mu, mix) <= at_best + 1e-9
        assert sure_decrease(z, x, alpha, kappa, mu + 0.1, mix) <= at_best + 1e-9


def test_what_the_theorem_does_not_say_is_not_sure() -> None:
    z, x = 0.5, 0.9
    assert sure_decrease(z, x, 0.0, 1.0, mu=z) > 0
    assert sure_decrease(z, x, 0.0, 1.0, mu=0.99 * z) == -inf  # the square of the other layers is upside down
    assert sure_decrease(z, x, 0.0, 1.0, mu=1.5, mix=0.8) == -inf  # z mu < lambda


def test_at_the_full_step_alpha_does_not_matter() -> None:
    constants = [tight_constant(1.0, 0.8, alpha, 0.5) for alpha in (0.0, 0.3, 1.0)]
    assert constants == pytest.approx([2 / (1 - 0.32)] * 3)


def test_without_a_perturbation_it_is_gradient_descent() -> None:
    for alpha in (0.0, 0.5, 1.0):
        assert tight_constant(0.5, 0.0, alpha, 0.5) == any_share_constant(0.5, 0.0, alpha) == pytest.approx(8 / 3)
        assert tight_constant(0.5, 3.0, alpha, 0.0) == pytest.approx(8 / 3)


@pytest.mark.parametrize(("z", "x", "alpha", "kappa"), SETTINGS)
def test_theorem_e_is_the_largest_constant_of_theorem_d(z: float, x: float, alpha: float, kappa: float) -> None:
    constants = [tight_constant(z, x, alpha, k) for k in np.linspace(0, kappa, 1001)]
    bound = any_share_constant(z, x, alpha, kappa)
    assert bound * (1 - 1e-4) <= max(constants) <= bound * (1 + 1e-9)


def test_no_constant_where_nothing_is_sure() -> None:
    assert theorem_c(0.5, 1.0, 1.0) == tight_constant(0.5, 1.0, 1.0, 1.0) == any_share_constant(0.5, 1.0, 1.0) == inf
    assert theorem_c(0.5, 2.0, 0.25) == inf
    assert tight_constant(0.5, 1.0, 0.5, 1.0) < inf == theorem_c(0.5, 1.0, 1.0)


# -- the semidefinite program --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "kappa", "expected"),
    [(0, 1, 2.6667), (0.25, 1, 3.2821), (0.5, 1, 4.5714), (0.7, 1, 7.2072), (0.9, 1, 20.513), (1.5, 0.25, 8.5333)],
)
def test_theorem_c_is_tight_for_alpha_1(x: float, kappa: float, expected: float) -> None:
    solved = worst_case(0.5, x, 1.0, kappa)
    assert solved == pytest.approx(theorem_c(0.5, x, kappa), rel=1e-5)
    assert solved == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kappa", [0.05, 0.25, 0.5, 1.0])
def test_nothing_is_sure_from_x_sqrt_kappa_1_on(kappa: float) -> None:
    assert worst_case(0.5, 1 / sqrt(kappa), 1.0, kappa) == worst_case(0.5, 1.2 / sqrt(kappa), 1.0, kappa) == inf


@pytest.mark.parametrize(("z", "x", "alpha", "kappa"), SETTINGS[::4])
def test_theorem_d_is_tight(z: float, x: float, alpha: float, kappa: float) -> None:
    assert worst_case(z, x, alpha, kappa) == pytest.approx(tight_constant(z, x, alpha, kappa), rel=1e-4)


@pytest.mark.parametrize(
    ("z", "x", "alpha", "kappa"),
    [(0.5, 1.6, 0.1, 1.0), (0.3, 1.6, 0.1, 0.95), (0.1, 1.6, 0.0, 1.0), (1.5, 0.3, 0.5, 0.5), (1.8, 0.3, 0.067, 1.0)],
)
def test_theorem_d_is_tight_where_lambda_is_positive_or_the_step_long(
    z: float, x: float, alpha: float, kappa: float
) -> None:
    solved, expected = worst_case(z, x, alpha, kappa), tight_constant(z, x, alpha, kappa)
    assert solved < inf
    assert solved == pytest.approx(expected, rel=1e-4)


def test_half_alpha_at_one_known_point() -> None:
    """Share 1, any share, all layers: three different questions."""
    assert worst_case(0.5, 0.5, 0.5, 1.0) == pytest.approx(3.28205, rel=1e-5)
    assert worst_case(0.5, 0.5, 0.5, 1.0, share="at most") == pytest.approx(3.50221, rel=1e-5)
    assert worst_case(0.5, 0.8, 0.5, 1.0, share="whole") == pytest.approx(theorem_c(0.5, 0.4, 1.0), rel=1e-5)
    assert worst_case(0.5, 0.8, 0.5, 1.0) > theorem_c(0.5, 0.4, 1.0) + 0.02


def test_the_program_runs_the_optimisers_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Eq. 6 left out of it, the worst case is that of alpha = 1."""

    def careless(ascent: LayeredVector, descent: LayeredVector, alpha: float) -> LayeredVector:
        return descent

    monkeypatch.setattr(sys.modules["lwsam_ref.algorithms.layerwise_sam"], "blend", careless)
    assert worst_case(0.5, 0.5, 0.5, 1.0) == pytest.approx(theorem_c(0.5, 0.5, 1.0), rel=1e-5)


def test_two_steps_are_better_than_twice_one() -> None:
    mean = worst_case(0.5, 0.5, 1.0, 0.25, steps=2)
    smallest = worst_case(0.5, 0.5, 1.0, 0.25, steps=2, smallest=True)
    assert smallest < mean < theorem_c(0.5, 0.5, 0.25) / 2
    assert worst_case(1.0, 0.5, 1.0, 0.25, steps=2) == pytest.approx(theorem_c(1.0, 0.5, 0.25) / 2, rel=1e-5)


# -- the table -----------------------------------------------------------------------------------------------


def test_the_table_is_as_declared() -> None:
    table = rows(exhaustive=False)
    assert all(row.as_declared and row.method == "SDP" for row in table), [r.note for r in table if not r.as_declared]


def test_the_whole_grid_has_every_claim() -> None:
    few, all_ = claims(exhaustive=False), claims(exhaustive=True)
    assert [claim.statement for claim in few] == [claim.statement for claim in all_]
    assert all(len(a.points) < len(b.points) for a, b in zip(few, all_, strict=True))


def test_a_row_says_when_a_bound_is_broken_or_not_attained() -> None:
    points = (Point(0.5, 0.5, 0.5, 1.0),)
    assert not Claim("", "", False, lambda p: 0.99 * p.theorem_d(), points).row().as_declared
    assert not Claim("", "", True, lambda p: 1.01 * p.theorem_d(), points).row().as_declared
    assert Claim("", "", False, lambda p: 1.01 * p.theorem_d(), points).row().as_declared

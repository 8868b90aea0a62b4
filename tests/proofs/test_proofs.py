"""The theory, judged: statements hold on random problems, refutations and attained bounds in exact fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from lwsam_ref.vector import LayeredVector
from proofs import appendix, section3, tight, trajectory, verify
from proofs.draw import Random, Searched
from proofs.problems import RIDGES, FiniteSum, network, quadratic, ridge
from proofs.sample import SHAPES, planar, problem, sample
from proofs.statement import Claim, Statement
from proofs.tight import first_break, step
from support.command import lwsam
from support.strategies import seeds

TRUE = [s for s in appendix.STATEMENTS if s.verdict != "false"]
FALSE = [s for s in appendix.STATEMENTS if s.verdict == "false"]
X = Fraction(1, 2)


def drawn(seed: int, exact: bool) -> Random:
    return Random(np.random.default_rng(seed), exact)


# -- the statements ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", TRUE, ids=lambda s: f"{s.source}: {s.says}")
@given(seeds, st.booleans())
@settings(max_examples=200)
def test_a_true_statement_holds(statement: Statement, seed: int, exact: bool) -> None:
    claim = statement.claim(sample(statement, drawn(seed, exact and statement.exact)))
    assert claim.exact == (exact and statement.exact)
    assert claim.holds


@pytest.mark.parametrize(("source", "says", "verdict", "holds"), section3.LAWS)
def test_section_3(source: str, says: str, verdict: str, holds: Any) -> None:
    cases = [holds(drawn(seed, exact=True)) for seed in range(60)]
    assert all(cases) == (verdict == "true")


@pytest.mark.parametrize("index", range(len(verify.PATHS)))
def test_a_true_statement_holds_along_every_path(index: int) -> None:
    assert verify.along_paths(index, 40).as_declared


@given(seeds)
def test_trajectories_in_fractions(seed: int) -> None:
    """Eq. 7 with every expectation and every step exact."""
    draw = drawn(seed, exact=True)
    f = quadratic(draw.choice(SHAPES), draw.seed(), exact=True)
    t = trajectory.Trajectory(f, list(f.batches(1, True)), 2, 1, x=X * draw.choice((0, 1)), z=X)
    claim = trajectory.theorem_1(t)
    assert claim.exact
    assert claim.holds


def test_the_paths_are_all_the_paths() -> None:
    """E L(w_2) from the walk is the mean over the 9 pairs of batches, each run by itself."""
    f = quadratic({"a": (1,), "b": (2,)}, 5, exact=True)
    t = trajectory.Trajectory(f, list(f.batches(1, True)), 2, 1, x=X, z=X, alpha=X)
    start, ends = f.weights.data.copy(), []
    for first in f.batches(1, True):
        for second in f.batches(1, True):
            one = trajectory.Trajectory(f, [first], 1, 1, x=X, z=X, alpha=X)
            ends.append(_run(f, one, first, second))
            f.weights.data[...] = start
    assert t.sums().last == sum(ends) / 9


def _run(f: FiniteSum, t: trajectory.Trajectory, *batches: tuple[int, ...]) -> Any:
    from lwsam_ref.algorithms import LayerwiseSAM, Raw

    method = LayerwiseSAM(t.k, Raw(t.x / f.beta), t.alpha)
    state = method.initial(f)
    for number, batch in enumerate(batches):
        found, state = method.step(f, batch, state, number)
        f.weights.data -= t.eta * found.update.data
    return f.forward(f.all).loss


# -- refuted, attained ---------------------------------------------------------------------------------------


@given(st.fractions(Fraction(1, 100), 3, max_denominator=100))
def test_lemma_a2_as_printed_is_false_for_every_r(r: Fraction) -> None:
    for f, inner, promised in (
        (tight.lemma_a2_indefinite(), 5 - 2 * r, 5 - r),
        (tight.lemma_a2_convex(), 17 - 3 * r, 17 - 2 * r),
    ):
        claim = appendix.lemma_a2_as_printed(step(f, x=r * f.beta))
        assert (claim.left, claim.right) == (inner, promised)
        assert claim.exact
        assert not claim.holds
        assert appendix.lemma_a2(step(f, x=r * f.beta)).holds


def test_the_counterexamples_are_smooth_as_they_say_and_one_is_convex() -> None:
    for f, low in ((tight.lemma_a2_indefinite(), -1.0), (tight.lemma_a2_convex(), 0.0)):
        assert f.hessian is not None
        values = np.linalg.eigvalsh(f.hessian(0, f.weights.data).astype(float))
        assert np.abs(values).max() == pytest.approx(float(f.beta))
        assert values[0] == pytest.approx(low)


whole = st.integers(-4, 4)


@st.composite
def integer_quadratics(draw: st.DrawFn) -> FiniteSum:
    """A Hessian ``beta (1 - 2 u u^T / u^T u)`` or ``2 beta u u^T / u^T u``, integer slopes: beta is exact."""
    u, g = [draw(whole), draw(whole)], (draw(whole), draw(whole))
    u[0] = u[0] or 1
    n = Fraction(u[0] ** 2 + u[1] ** 2)
    turn = [[int(i == j) - 2 * u[i] * u[j] / n for j in (0, 1)] for i in (0, 1)]
    onto = [[2 * u[i] * u[j] / n for j in (0, 1)] for i in (0, 1)]
    matrix, beta = draw(st.sampled_from([(turn, 1), (onto, 2)]))
    return tight.quadratic(tuple(map(tuple, matrix)), g, beta)  # type: ignore[arg-type]


def test_hypothesis_finds_the_counterexample_and_shrinks_it() -> None:
    """With the kept ones it shares its size: whole numbers of magnitude at most 4."""

    def breaks(f: FiniteSum) -> bool:
        return not appendix.lemma_a2_as_printed(step(f, x=X)).holds

    found = find(integer_quadratics(), breaks, settings=settings(max_examples=5000, database=None))
    claim = appendix.lemma_a2_as_printed(step(found, x=X))
    assert claim.exact
    assert claim.left < claim.right
    assert max(map(abs, found.gradient(0, found.weights.data))) <= 4


@given(st.fractions(Fraction(1, 100), Fraction(3, 2), max_denominator=100))
def test_the_repaired_lemma_a2_is_attained(x: Fraction) -> None:
    claim = appendix.lemma_a2(step(tight.lemma_a2_attained(), x=x))
    assert claim.left == claim.right
    assert claim.exact


def test_lemma_a3_is_false_beyond_2_and_not_at_2() -> None:
    f = tight.lemma_a3_beyond()
    claim = appendix.lemma_a3(step(f, x=Fraction(11, 5)))
    assert (claim.left, claim.right) == (Fraction(-51, 5), Fraction(37, 10))
    assert not claim.holds
    assert appendix.lemma_a3(step(f, x=2)).holds


def test_the_last_step_of_lemma_a4_by_hand() -> None:
    """``1 - 2 x (kappa - 2 z (kappa - x)) >= 1/2`` "regardless of kappa": 3/8 at kappa = 3/4, x = 1/2, z = 1/4."""

    def factor(kappa: Fraction, x: Fraction, z: Fraction) -> Fraction:
        return 1 - 2 * x * (kappa - 2 * z * (kappa - x))

    assert factor(Fraction(3, 4), X, X / 2) == Fraction(3, 8) < X
    grid = [Fraction(i, 16) for i in range(17)]
    assert all(factor(k, x, z) >= X for k in grid for x in grid[:5] for z in grid[:9])  # x <= 1/4
    assert all(factor(k, x, z) >= X for k in grid[:9] for x in grid[:9] for z in grid[:9])  # kappa <= 1/2


@given(
    st.fractions(0, Fraction(8, 5), max_denominator=50),
    st.fractions(Fraction(1, 50), 1, max_denominator=50),
    st.booleans(),
)
def test_theorem_c_is_attained(x: Fraction, z: Fraction, all_layers: bool) -> None:
    """Equality in fractions, for every x and z with q >= 0, at kappa = 9/25 and at kappa = 1."""
    f = tight.theorem_c_attained(whole=all_layers)
    root = Fraction(1) if all_layers else Fraction(3, 5)
    q = 1 - x * root
    if q < 0:
        return
    e = step(f, ("a", "b") if all_layers else ("a",), x=x, z=z)
    assert e.kappa == root**2
    assert e.loss - e.loss_after == z * q * (2 - z * q) / 2 * e.g2


def test_eq_15_breaks_where_theorem_c_says() -> None:
    for z in (Fraction(1, 4), X, Fraction(1)):
        low, high = first_break(z)
        q = (1 - np.sqrt(1 - float(z) / 2)) / float(z)
        assert float(low) <= 1 - q <= float(high) + 1e-12
    low, high = first_break(X)
    assert float(low) <= np.sqrt(3) - 1 <= float(high)


# -- the testers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["indefinite", "convex", *RIDGES, "network", "bent"])
@given(seed=seeds)
def test_gradients_and_smoothness_of_the_problems(kind: str, seed: int) -> None:
    """Differences of values against gradients; no two gradients further apart than beta times the distance."""
    rng, layers = np.random.default_rng(seed), SHAPES[seed % len(SHAPES)]
    if kind == "network":
        f = network(seed)
    elif kind == "bent":
        f = planar(Searched(rng.uniform(-np.pi, np.pi, 24)), terms=2)
    elif kind in RIDGES:
        f = ridge(kind, layers, seed)
    else:
        f = quadratic(layers, seed, convex=kind == "convex", beta=2)
    u, d = f.weights.data + 0.1, rng.normal(size=f.weights.layout.size)
    for i in f.all:
        numeric = (f.term(i, u + 1e-5 * d) - f.term(i, u - 1e-5 * d)) / 2e-5
        scale = 1 + np.abs(f.gradient(i, u)).sum() * np.abs(d).sum()
        assert abs(numeric - f.gradient(i, u) @ d) <= 1e-4 * scale  # the bend's second derivative jumps
        apart = np.linalg.norm(f.gradient(i, u + d) - f.gradient(i, u))
        assert apart <= f.beta * np.linalg.norm(d) * (1 + 1e-12)


def test_beta_of_a_quadratic_is_attained_exactly() -> None:
    for seed in range(20):
        f = quadratic({"a": (2,), "b": (1,)}, seed, exact=True, beta=3)
        assert f.hessian is not None
        assert np.abs(np.linalg.eigvalsh(f.hessian(0, f.weights.data).astype(float))).max() == pytest.approx(3)


def test_a_claim_that_is_off_by_more_than_rounding_does_not_hold() -> None:
    assert Claim(1.0, 1.0 + 1e-15, 1.0, 1.0).holds
    assert not Claim(1.0, 1.0 + 1e-13, 1.0, 1.0).holds
    assert not Claim(Fraction(1), 1 + Fraction(1, 10**40), 1, 1).holds


@pytest.mark.parametrize("statement", TRUE, ids=lambda s: f"{s.source}: {s.says}")
def test_a_statement_that_promises_too_much_is_seen(statement: Statement) -> None:
    """Each right-hand side raised by a quarter of what is at stake: a search breaks it."""

    def too_much(e: Any) -> Claim:
        claim = statement.claim(e)
        return replace(claim, right=claim.right + claim.scale / 4)

    assert not verify.searched(replace(statement, claim=too_much), 2000).as_declared


def test_a_batch_without_noise_and_one_with() -> None:
    f = problem(drawn(3, exact=True), 3)
    e = sample(appendix.STATEMENTS[0], drawn(4, exact=True))
    assert e.s2 == e.sp2 == 0
    assert isinstance(f.forward(f.all).backward(), LayeredVector)


# -- the command ---------------------------------------------------------------------------------------------


def test_verify_prints_every_statement_and_exits_with_0() -> None:
    done = lwsam("verify", "--jobs", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    for s in appendix.STATEMENTS:
        assert s.source.partition(",")[0] in done.stdout
    assert "0 not as declared" in done.stdout


@pytest.mark.parametrize("statement", FALSE, ids=lambda s: s.source)
def test_verify_tells_a_false_declaration(statement: Statement) -> None:
    assert verify.searched(statement, 1500).as_declared
    assert not verify.searched(replace(statement, verdict="true"), 1500).as_declared

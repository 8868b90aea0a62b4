"""The polynomial steps of the proofs, over the reals, each proved or refuted by an SMT solver (z3).

A :class:`Step` says in plain arithmetic: for all ``variables``, the ``assumptions`` imply the ``claim``. It is proved
when the solver finds that assumptions and negated claim exclude each other, and refuted when it finds numbers that
satisfy both; the numbers are fractions, and are put in once more without the solver.

Letters: ``x = beta r``, ``z = eta beta``, ``G = |grad L(w)|``, ``k`` the share kappa and ``s`` its root, ``c`` the root
of ``1 - k``, ``S`` the noise inside the selected layers, ``N`` all of it, ``m`` the root of ``k G^2 + S``, ``a`` alpha,
``q = 1 - x s``. Where only ratios matter, beta = 1, or G = 1.

The solver is imported when it is needed (``pip install 'lwsam-ref[proofs]'``).

>>> step = next(s for s in steps() if s.name == "the last step, for every kappa")
>>> step.holds({"k": Fraction(3, 4), "x": Fraction(1, 2), "z": Fraction(1, 4)})
False
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import operator
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

from proofs.row import Row

Verdict = Literal["true", "false"]
Outcome = Literal["true", "false", "open"]


@dataclass(frozen=True)
class Step:
    """``assumptions`` imply ``claim`` for all real ``variables``: ``true``, or ``false`` as the verdict says.

    Both are (chains of) comparisons of polynomials with rational coefficients.
    """

    name: str
    source: str
    verdict: Verdict
    variables: tuple[str, ...]
    assumptions: tuple[str, ...]
    claim: str

    def holds(self, values: Mapping[str, Fraction]) -> bool:
        """Whether the implication is true of these numbers, in exact arithmetic."""
        assumed = all(comparison for text in self.assumptions for comparison in compare(text, values))
        return not assumed or all(compare(self.claim, values))


@dataclass(frozen=True)
class Proof:
    """What the solver said of a step; ``open`` if it found nothing in time, or no counterexample in fractions."""

    step: Step
    outcome: Outcome
    counterexample: Mapping[str, Fraction] | None
    seconds: float


def compare(text: str, values: Mapping[str, Any]) -> list[Any]:
    """The comparisons of the chain ``text``, with ``values`` for its names: truth values, or the solver's formulas.

    >>> compare("0 <= x**2 < 1/2", {"x": Fraction(-3, 4)})
    [True, False]
    """
    tree = ast.parse(text, mode="eval").body
    if not isinstance(tree, ast.Compare):
        raise ValueError(f"{text!r} is no comparison")
    sides = [_value(side, values) for side in (tree.left, *tree.comparators)]
    return [_RELATIONS[type(op)](a, b) for op, (a, b) in zip(tree.ops, pairwise(sides), strict=True)]


_RELATIONS: dict[type, Any] = {
    ast.LtE: operator.le,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.Gt: operator.gt,
    ast.Eq: operator.eq,
}
_OPERATIONS: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
            base = _value(left, values)
            return base * base
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=int(number))):
            return _value(left, values) * Fraction(1, number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left, values), _value(right, values))
    raise ValueError(f"{ast.unparse(node)!r} is more than the arithmetic of polynomials")


def names(step: Step) -> set[str]:
    """The names that occur in a step."""
    trees = (ast.parse(text, mode="eval") for text in (*step.assumptions, step.claim))
    return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}


def available() -> bool:
    """Whether the solver is installed."""
    return importlib.util.find_spec("z3") is not None


def check(step: Step, timeout: float = 10.0) -> Proof:
    """Ask the solver for numbers that satisfy the assumptions and not the claim."""
    z3: Any = importlib.import_module("z3")
    start = time.perf_counter()
    reals = {name: z3.Real(name) for name in step.variables}
    solver = z3.SolverFor("QF_NRA")
    solver.set("timeout", int(timeout * 1000))
    solver.add(*(comparison for text in step.assumptions for comparison in compare(text, reals)))
    solver.add(z3.Not(z3.And(*compare(step.claim, reals))))
    answer = solver.check()
    outcome: Outcome = "true" if answer == z3.unsat else "open"
    counterexample = None
    if answer == z3.sat:
        model = solver.model()
        values = {name: _fraction(model.eval(real, model_completion=True)) for name, real in reals.items()}
        if not step.holds(values):
            outcome, counterexample = "false", values
    return Proof(step, outcome, counterexample, time.perf_counter() - start)


def _fraction(number: Any) -> Fraction:
    """A rational number of the solver's, or one close to its irrational number."""
    rational = number if hasattr(number, "as_fraction") else number.approx(20)
    return Fraction(rational.as_fraction())


# -- the steps -----------------------------------------------------------------------------------------------


def _steps(source: str, *rows: tuple[str, Verdict, str, tuple[str, ...], str]) -> tuple[Step, ...]:
    return tuple(
        Step(name, source, verdict, tuple(variables.split()), assumptions, claim)
        for name, verdict, variables, assumptions, claim in rows
    )


_CONTRACTION = (
    *("1 - h11 >= 0", "1 - h22 >= 0", "(1 - h11)*(1 - h22) >= h12**2"),
    *("1 + h11 >= 0", "1 + h22 >= 0", "(1 + h11)*(1 + h22) >= h12**2"),
)
"""``|H| <= 1`` for the symmetric 2x2 matrix H: ``I - H`` and ``I + H`` are positive semidefinite."""

_CONVEX = ("h11 >= 0", "h22 >= 0", "h11*h22 >= h12**2")

_LEMMA_A1 = _steps(
    "Lemma A.1",
    # p = <grad L(u) - grad L(v), u - v>, n = |grad L(u) - grad L(v)|, d = |u - v|
    (
        "Cauchy-Schwarz, then smoothness",
        "true",
        "p n d b",
        ("n >= 0", "d >= 0", "b >= 0", "p**2 <= n**2*d**2", "n <= b*d"),
        "p >= -b*d**2",
    ),
)

_LEMMA_A2 = _steps(
    "Lemma A.2",
    # L(w) = w^T H w / 2 in two coordinates, of which the first is selected; (g1, g2) = grad L(w); beta = 1
    (
        "line (11), indefinite H",
        "false",
        "h11 h12 h22 g1 g2",
        _CONTRACTION,
        "h11*g1**2 + h12*g1*g2 >= -g1**2",
    ),
    (
        "line (11), convex H",
        "false",
        "h11 h12 h22 g1 g2",
        _CONTRACTION + _CONVEX,
        "h11*g1**2 + h12*g1*g2 >= -g1**2",
    ),
    (
        "the lemma, indefinite H",
        "false",
        "h11 h12 h22 g1 g2 x k",
        (*_CONTRACTION, "x > 0", "k*(g1**2 + g2**2) == g1**2", "g1**2 + g2**2 > 0"),
        "g1**2 + g2**2 + x*(h11*g1**2 + h12*g1*g2) >= (1 - x*k)*(g1**2 + g2**2)",
    ),
    (
        "the lemma, convex H",
        "false",
        "h11 h12 h22 g1 g2 x k",
        (*_CONTRACTION, *_CONVEX, "x > 0", "k*(g1**2 + g2**2) == g1**2", "g1**2 + g2**2 > 0"),
        "g1**2 + g2**2 + x*(h11*g1**2 + h12*g1*g2) >= (1 - x*k)*(g1**2 + g2**2)",
    ),
    ("from (11) to (12)", "true", "p x k G", ("p >= -x*k*G**2",), "p + G**2 >= (1 - x*k)*G**2"),
)

_LEMMA_A2_REPAIRED = _steps(
    "Lemma A.2, repaired",
    # p = <grad L(w + r P grad L) - grad L, grad L>, n = |grad L(w + r P grad L) - grad L|
    (
        "Cauchy-Schwarz, then smoothness",
        "true",
        "p n x s G",
        ("n >= 0", "G >= 0", "p**2 <= n**2*G**2", "n <= x*s*G"),
        "G**2 + p >= (1 - x*s)*G**2",
    ),
    # grad L = (s, c), H = [[-s, -c], [-c, s]]
    ("attained: H is a reflection, so |H| = 1", "true", "s c", ("s**2 + c**2 == 1",), "(-s)*(-s) + (-c)*(-c) == 1"),
    (
        "attained: <H P grad L, grad L> = -s",
        "true",
        "s c x",
        ("s**2 + c**2 == 1",),
        "1 + x*((-s)*s*s + (-c)*s*c) == 1 - x*s",
    ),
)

_LEMMA_A3 = _steps(
    "Lemma A.3",
    # the mean m of |P g| is at most the root of the mean of its square: two values, and so any number of them
    (
        "Jensen for two values",
        "true",
        "p u v",
        ("0 <= p <= 1",),
        "(p*u + (1 - p)*v)**2 <= p*u**2 + (1 - p)*v**2",
    ),
    ("x q <= 1/2 + x^2 q^2 / 2", "true", "x q", (), "1 - x*q >= 1/2 - x**2*q**2/2"),
    (
        "E<gt, grad L>, for x <= 2",
        "true",
        "x k G S m",
        ("0 <= x <= 2", "k >= 0", "G >= 0", "S >= 0", "m >= 0", "m**2 == k*G**2 + S"),
        "G**2 - x*G*m >= (1/2 - x*k)*G**2 - x**2*S/2",
    ),
)

_LEMMA_A3_BEYOND = _steps(
    "Lemma A.3, any r",
    # attained by the reflection of the repaired Lemma A.2; no noise
    ("E<gt, grad L>, for x > 2", "false", "x s", ("x > 2", "0 <= s <= 1"), "1 - x*s >= 1/2 - x*s**2"),
    ("kappa = 1/4 breaks it at every x > 2", "true", "x", ("x > 2",), "1 - x/2 < 1/2 - x/4"),
)

_UNIT = ("0 <= k <= 1", "0 < x <= 1/2", "0 < z <= 1/2")
_LAST = "1 - 2*x*(k - 2*z*(k - x)) >= 1/2"

_LEMMA_A4 = _steps(
    "Lemma A.4, proof",
    ("(16)", "true", "u v", (), "(u + v)**2 <= 2*u**2 + 2*v**2"),
    (
        "after (18), the gradient's factor",
        "true",
        "x z k",
        (),
        "-z*(1 - 2*x**2) - (1 - 2*z)*(1/2 - x*k) == -(1 - 2*x*(k - 2*z*(k - x)))/2",
    ),
    (
        "after (18), the noise, as <=",
        "true",
        "x z",
        ("0 <= z <= 1/2",),
        "z*(1 + 2*x**2) + (1 - 2*z)*x**2/2 <= z + x**2",
    ),
    ("after (18), the noise, as printed", "false", "x z", _UNIT[1:], "z*(1 + 2*x**2) + (1 - 2*z)*x**2/2 == z + x**2"),
    ("the last step, for every kappa", "false", "k x z", _UNIT, _LAST),
    ("the last step, for x <= 1/4", "true", "k x z", (*_UNIT, "x <= 1/4"), _LAST),
    ("the last step, for kappa <= 1/2", "true", "k x z", (*_UNIT, "k <= 1/2"), _LAST),
)

_NOISE = ("k >= 0", "G >= 0", "S >= 0", "m >= 0", "m**2 == k*G**2 + S")

_THEOREM_A = _steps(
    "Theorem A",
    # v = g + D (gt - g); C = E<v, grad L>, V = E|v - grad L|^2
    ("1: |D| <= 1", "true", "a u1 u2", ("0 <= a <= 1",), "(a*u1)**2 + u2**2 <= u1**2 + u2**2"),
    (
        "2: E<v, grad L>",
        "true",
        "x k G S m",
        ("x >= 0", *_NOISE),
        "G**2 - x*G*m >= (3/4 - x**2*k)*G**2 - x**2*S",
    ),
    # |D (gt - g)| <= u, |g - grad L| = n
    (
        "3: E|v - grad L|^2",
        "true",
        "u n x m",
        ("0 <= u <= x*m", "n >= 0"),
        "(u + n)**2 <= 2*x**2*m**2 + 2*n**2",
    ),
    ("4: smoothness", "true", "z C V G", (), "-C + z*(V - G**2 + 2*C)/2 == -(1 - z)*C - z*G**2/2 + z*V/2"),
    (
        "5: insert",
        "true",
        "z x k G S N C V",
        ("0 <= z <= 1", "C >= (3/4 - x**2*k)*G**2 - x**2*S", "V <= 2*x**2*(k*G**2 + S) + 2*N"),
        "-(1 - z)*C - z*G**2/2 + z*V/2 <= -(3/4 - x**2*k - z/4)*G**2 + z*N + x**2*S",
    ),
    ("5: the gradient's factor", "true", "x z k", ("x**2*k <= 1/2 - z/4",), "3/4 - x**2*k - z/4 >= 1/4"),
    (
        "1 to 5 at once",
        "true",
        "z x k G S N m C V",
        ("0 <= z <= 1", "x >= 0", *_NOISE, "x**2*k <= 1/2 - z/4", "C >= G**2 - x*G*m", "V <= 2*x**2*m**2 + 2*N"),
        "-(1 - z)*C - z*G**2/2 + z*V/2 <= -G**2/4 + z*N + x**2*S",
    ),
    ("Lemma A.4's conditions suffice", "true", "x z k", _UNIT, "x**2*k <= 1/2 - z/4"),
    ("Eq. 15's noise", "true", "x z S N", ("S <= N",), "z*N + x**2*S <= (z + x**2)*N"),
    # L0, L1, L2: the losses of two steps; G0, G1: squared gradients; e: eta times the noise; n = eta
    (
        "Eq. 7: two steps add up",
        "true",
        "n L0 L1 L2 G0 G1 e",
        ("n > 0", "L1 <= L0 - n*G0/4 + n*e", "L2 <= L1 - n*G1/4 + n*e"),
        "n*(G0 + G1)/2 <= 2*(L0 - L2) + 4*n*e",
    ),
)

_REMARK_1 = _steps(
    "Remark 1",
    # t = sqrt(T): z = 1/t, x^2 = 1/t, so Theorem A wants kappa / t <= 1/2 - 1/(4 t)
    ("Theorem A's condition is sqrt(T) >= 2 kappa + 1/2", "true", "t k", ("t >= 2*k + 1/2",), "k <= t/2 - 1/4"),
    ("T >= 7 suffices", "true", "t k", ("t > 0", "t**2 >= 7", "0 <= k <= 1"), "t >= 2*k + 1/2"),
    ("T = 6 does not, for kappa = 1", "true", "t", ("t > 0", "t**2 == 6"), "t < 2 + 1/2"),
    ("the paper's own conditions hold from T = 16 on", "true", "t x", ("x >= 0", "x**2*t == 1", "t >= 4"), "x <= 1/2"),
    # 4 / (T eta) = 4 beta / t; 4 (z + x^2) = 8 / t
    ("the two terms", "true", "t i", ("t > 0", "i*t == 1"), "4*i*i*t == 4*i"),
)

_THEOREM_B = _steps(
    "Theorem B",
    # y = beta rho >= |gt - g|
    ("E<v, grad L>", "true", "y G C", ("C >= G**2 - y*G",), "C >= G**2/2 - y**2/2"),
    ("E|v - grad L|^2", "true", "u n y", ("0 <= u <= y", "n >= 0"), "(u + n)**2 <= 2*y**2 + 2*n**2"),
    (
        "insert",
        "true",
        "z y G N C V",
        ("0 <= z <= 1", "C >= G**2/2 - y**2/2", "V <= 2*y**2 + 2*N"),
        "-(1 - z)*C - z*G**2/2 + z*V/2 <= -G**2/2 + (1 + z)*y**2/2 + z*N",
    ),
    (
        "two steps add up",
        "true",
        "n L0 L1 L2 G0 G1 e",
        ("n > 0", "L1 <= L0 - n*G0/2 + n*e/2", "L2 <= L1 - n*G1/2 + n*e/2"),
        "n*(G0 + G1)/2 <= L0 - L2 + n*e",
    ),
)

_THEOREM_C = _steps(
    "Theorem C",
    # v = (v1, v2): its part along grad L = (1, 0), and the rest
    (
        "the farthest point of the ball",
        "true",
        "z q v1 v2",
        ("0 < z <= 1", "0 < q <= 1", "(v1 - 1)**2 + v2**2 <= (1 - q)**2"),
        "-z*v1 + z**2*(v1**2 + v2**2)/2 <= -z*q*(2 - z*q)/2",
    ),
    ("it is v = q grad L", "true", "z q", (), "-z*q + z**2*q**2/2 == -z*q*(2 - z*q)/2"),
    ("a decrease", "true", "z q", ("0 < z <= 1", "0 < q <= 1"), "z*q*(2 - z*q) > 0"),
    (
        "x <= sqrt(3) - 1 keeps the paper's factor (kappa = 1, z = 1/2)",
        "true",
        "x t",
        ("t > 0", "t**2 == 3", "0 <= x <= t - 1"),
        "(1 - x)*(2 - (1 - x)/2) >= 1/2",
    ),
    (
        "x > sqrt(3) - 1 does not",
        "true",
        "x t",
        ("t > 0", "t**2 == 3", "t - 1 < x <= 1"),
        "(1 - x)*(2 - (1 - x)/2) < 1/2",
    ),
)

# Three points 0, p, w = w+ with gradients g, g + u, k; losses 0, _F1, U. Identities between inner products are checked
# in one dimension: a quadratic form that vanishes there has no coefficients. e = u - p; k is the best one, plus d.
_F1 = "(g*p + u*p/2 + (p**2 - u**2)/4)"
_K = "(g + w + l*(u - p) + d)"
_U0 = f"((g + {_K})*w/2 + (w**2 - ({_K} - g)**2)/4)"
_U1 = f"({_F1} + (g + u + {_K})*(w - p)/2 + ((w - p)**2 - ({_K} - g - u)**2)/4)"
_FIT_2 = f"((w - p)**2 - ({_K} - g - u)**2)"
# One block: its part of grad L is g, of p is w; what it adds to the decrease is P u^2 + Q u + V
_P = "(z*m/2 - z**2*a**2/2 + l*z*a - l**2/4)"
_Q = "(z*g*a - z**2*g*a + l*z*g - l*z*w*a + l**2*w/2)"
_V = "(z*g**2 - z**2*g**2/2 - l*z*w*g - l**2*w**2/4)"
_DIRECTION = ("s >= 0", "c >= 0", "A >= 0", "B >= 0", "s**2 + c**2 == 1", "A**2 + B**2 == 1", "A <= s")

_THEOREM_D = _steps(
    "Theorem D",
    (
        "1: the two bounds on L(w+), mixed",
        "true",
        "g u p w d l",
        (),
        f"(1 - l)*{_U0} + l*{_U1} == g*w + w**2/2 + l*((u - p)*w + (p**2 - u**2)/2) + l**2*(u - p)**2/4 - d**2/4",
    ),
    (
        "2: their distance at the best k",
        "true",
        "g u p w d l",
        ("d == 0",),
        f"{_U1} - {_U0} == (u - p)*w + (p**2 - u**2)/2 + l*(u - p)**2/2",
    ),
    # J = <e, w+>, E = |e|^2, q = |p|^2 - |u|^2, so -2 <e, p> = E + q; the distance of 2 is J + q/2 + l E/2
    (
        "3: a loss has them, 0 < lambda < 1: w+ and w",
        "true",
        "J E q l",
        ("q >= 0", "0 <= l <= 1", "J + q/2 + l*E/2 == 0"),
        "-2*l*J - l**2*E >= 0",
    ),
    (
        "3: w+ and w + r P grad L",
        "true",
        "J E q l",
        ("J + q/2 + l*E/2 == 0",),
        "(1 - l)*(2*J + E + q) - (1 - l)**2*E == 0",
    ),
    (
        "3: lambda = 0, w+ and w + r P grad L",
        "true",
        "g u p w d l",
        ("d == 0", "l == 0"),
        f"{_U0} - {_F1} - (g + u + {_K})*(w - p)/2 == -{_FIT_2}/4",
    ),
    (
        "3: lambda = 0, the gradients fit",
        "true",
        "g u p w d l",
        ("d == 0", "l == 0", "(u - p)*w + (p**2 - u**2)/2 >= 0"),
        f"{_FIT_2} >= 0",
    ),
    (
        "3: lambda = 1, w+ and w",
        "true",
        "g u p w d l",
        ("d == 0", "l == 1"),
        f"{_U1} - (g + {_K})*w/2 == -(w**2 - ({_K} - g)**2)/4 + (p**2 - u**2)/2",
    ),
    ("3: lambda = 1, the gradients fit", "true", "J E q", ("q >= 0", "J + q/2 + E/2 <= 0"), "-2*J - E >= 0"),
    (
        "4: one block",
        "true",
        "z m a l g w u",
        (),
        "z*g*(g + a*u) - z**2*(g + a*u)**2/2 + l*z*(u - w)*(g + a*u) - l**2*(u - w)**2/4 + z*m*u**2/2"
        f" == {_P}*u**2 + {_Q}*u + {_V}",
    ),
    ("5: complete the square", "true", "P Q V u", (), "4*P*(P*u**2 + Q*u + V) >= 4*P*V - Q**2"),
    # i = 1 / P
    ("5: divide", "true", "P Q V X i", ("P > 0", "i*P == 1", "4*P*X >= 4*P*V - Q**2"), "X >= V - Q**2*i/4"),
    # X1, X2: 4 for both blocks, with their lower bounds Y1, Y2 by 5; R2 = |p|^2
    (
        "6: the decrease",
        "true",
        "X1 X2 Y1 Y2 Z l z m U R2",
        ("X1 >= Y1", "X2 >= Y2", "U <= R2", "z*m >= l", "Z == X1 + X2 - z*m*U/2 - l*(R2 - U)/2"),
        "Z >= Y1 + Y2 - z*m*R2/2",
    ),
    # i = 1 / (mu - z a^2)
    (
        "lambda = 0: one block",
        "true",
        "z m a l g w i P j",
        ("l == 0", "z > 0", "i*(m - z*a**2) == 1", f"P == {_P}", "j*P == 1"),
        f"{_V} - {_Q}**2*j/4 == z*((2 - z)*g**2 - (1 - z)**2*a**2*g**2*i)/2",
    ),
    # where the squares vanish: u = -R (A, B) with A^2 + B^2 = 1, R = |p| = x s; grad L = (s, c); y = mu - z
    (
        "lambda = 0: the worst u lies nearer the other layers than -grad L",
        "true",
        "z a y",
        ("0 <= z <= 1", "0 <= a <= 1", "y >= 0"),
        "a*y <= y + z*(1 - a**2)",
    ),
    ("lambda = 0: B c >= (1 + A)(1 - s)", "true", "s c A B", _DIRECTION, "B*c >= (1 + A)*(1 - s)"),
    (
        "lambda = 0: <e, w+> >= 0 for x s <= 1",
        "true",
        "s A a R t",
        ("0 <= s <= 1", "0 <= A", "0 <= a <= 1", "0 <= R <= 1", "t >= (1 + A)*(1 - s)"),
        "(s - a*R*A)*(1 + A) + t - R*(1 - A)*(1 + A) >= 0",
    ),
    (
        "lambda = 0: not beyond, for alpha = 1",
        "true",
        "s R",
        ("0 < s <= 1", "R > 1"),
        "(s - R*s)*(1 + s) + (1 - s**2) - R*(1 - s**2) < 0",
    ),
    # mu - z = (1 - z) / R, R = x s
    (
        "alpha = 1: Theorem C",
        "true",
        "z R",
        (),
        "2 - z - (1 - z)*R - (1 - z + z*R)*R == (1 - R)*(2 - z*(1 - R))",
    ),
    # mu - z a^2 = (1 - z) a / x
    (
        "kappa = 1, small x: Theorem C with alpha x",
        "true",
        "z x a",
        (),
        "2 - z - (1 - z)*a*x - ((1 - z)*a + z*a**2*x)*x == (1 - a*x)*(2 - z*(1 - a*x))",
    ),
    (
        "never worse than Theorem C",
        "true",
        "z a k R y i",
        (
            "0 < z < 1",
            "0 <= a <= 1",
            "0 <= k <= 1",
            "0 < R <= 1",
            "y*R == 1 - z",
            "i*(y + z*(1 - a**2)) == 1",
        ),
        "2 - z - (1 - z)**2*k*a**2*i - (1 - z)*(1 - k)*R - (y + z)*R**2 >= (1 - R)*(2 - z*(1 - R))",
    ),
)

_THEOREM_E = _steps(
    "Theorem E",
    # i = 1 / (mu - z a^2), j = 1 / (mu - z); the bounds at kappa = 0 and at kappa = 1 cross once
    (
        "kappa = 0 and kappa = 1 give the same bound at mu*",
        "true",
        "z a x mu i j",
        (
            "i*(mu - z*a**2) == 1",
            "j*(mu - z) == 1",
            "x**2*(mu - z)*(mu - z*a**2) == (1 - z)**2*(1 - a**2)",
        ),
        "2 - z - (1 - z)**2*j == 2 - z - (1 - z)**2*a**2*i - mu*x**2",
    ),
    (
        "and so does every kappa",
        "true",
        "k b d0 d1",
        ("d0 == b", "d1 == b"),
        "(1 - k)*d0 + k*d1 == b",
    ),
    # y = mu* - z, the positive root
    (
        "mu* is the larger root",
        "true",
        "z a x y d",
        (
            "x > 0",
            "d >= 0",
            "4*x**2*d**2 == x**2*z**2*(1 - a**2)**2 + 4*(1 - z)**2*(1 - a**2)",
            "y == d - z*(1 - a**2)/2",
        ),
        "x**2*y*(y + z*(1 - a**2)) == (1 - z)**2*(1 - a**2)",
    ),
)


_GROUPS: tuple[tuple[tuple[Step, ...], Verdict, str], ...] = (
    (_LEMMA_A1, "true", "<grad L(u) - grad L(v), u - v> >= -beta |u - v|^2"),
    (_LEMMA_A2, "false", "<grad L(w + r P grad L), grad L> >= (1 - x kappa) G^2"),
    (_LEMMA_A2_REPAIRED, "true", "<grad L(w + r P grad L), grad L> >= (1 - x sqrt(kappa)) G^2, attained"),
    (_LEMMA_A3, "true", "E<gt, grad L> >= (1/2 - x kappa) G^2 - x^2 s2 / 2 for x <= 2"),
    (_LEMMA_A3_BEYOND, "false", "the same for every r"),
    (_LEMMA_A4, "false", "the proof of Eq. 15; its last step needs x <= 1/4 or kappa <= 1/2"),
    (_THEOREM_A, "true", "Eqs. 15 and 7, for z <= 1 and x^2 kappa <= 1/2 - z/4, any alpha"),
    (_REMARK_1, "true", "the finite horizon, for T >= 7"),
    (_THEOREM_B, "true", "the rate of the normalised perturbation"),
    (_THEOREM_C, "true", "L(w) - L(w+) >= z q (2 - z q) G^2 / (2 beta) at full batch"),
    (_THEOREM_D, "true", "the largest decrease that is sure, for every alpha, kappa and x sqrt(kappa) <= 1"),
    (_THEOREM_E, "true", "the same whatever the share kappa is"),
)


def steps() -> tuple[Step, ...]:
    """All of them, in the order of the paper."""
    return tuple(step for group, _, _ in _GROUPS for step in group)


def rows(timeout: float = 10.0) -> list[Row]:
    """One row per statement; ``false`` where a step of it is refuted, with the numbers that refute it."""
    return [_row(group, verdict, statement, timeout) for group, verdict, statement in _GROUPS]


def _row(group: tuple[Step, ...], verdict: Verdict, statement: str, timeout: float) -> Row:
    proofs = [check(step, timeout) for step in group]
    refuted = [proof for proof in proofs if proof.outcome == "false"]
    note = "; ".join(f"not {proof.step.name}: {_numbers(proof.counterexample or {})}" for proof in refuted)
    as_declared = all(proof.outcome == proof.step.verdict for proof in proofs)
    return Row(group[0].source, statement, verdict, "SMT", len(group), as_declared, note=note)


def _numbers(values: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())

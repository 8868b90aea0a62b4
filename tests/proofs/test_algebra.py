"""Every polynomial step of the proofs: proved or refuted by the solver, and the refuted ones by hand as well."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from proofs import algebra
from proofs.algebra import Step, check, compare, names, rows, steps

pytestmark = pytest.mark.proofs

STEPS = {f"{step.source}: {step.name}": step for step in steps()}

# H = [[0, -1], [-1, 0]] and H = [[1, -1], [-1, 1]] / 2 at grad L = (1/4, 1), of which the first is selected
INDEFINITE = {"h11": "0", "h12": "-1", "h22": "0", "g1": "1/4", "g2": "1"}
CONVEX = {"h11": "1/2", "h12": "-1/2", "h22": "1/2", "g1": "1/4", "g2": "1"}
BY_HAND = {
    "Lemma A.2: line (11), indefinite H": INDEFINITE,
    "Lemma A.2: line (11), convex H": CONVEX,
    "Lemma A.2: the lemma, indefinite H": INDEFINITE | {"x": "1/2", "k": "1/17"},
    "Lemma A.2: the lemma, convex H": CONVEX | {"x": "1/2", "k": "1/17"},
    "Lemma A.3, any r: E<gt, grad L>, for x > 2": {"x": "11/5", "s": "1/2"},
    "Lemma A.4, proof: after (18), the noise, as printed": {"x": "1/2", "z": "1/4"},
    "Lemma A.4, proof: the last step, for every kappa": {"k": "3/4", "x": "1/2", "z": "1/4"},
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_is_what_it_is_declared_to_be(step: Step) -> None:
    assert names(step) == set(step.variables)
    proof = check(step)
    assert proof.outcome == step.verdict
    assert (proof.counterexample is not None) == (step.verdict == "false")


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_step_is_true_because_its_assumptions_exclude_each_other(step: Step) -> None:
    assert check(replace(step, claim="1 <= 0")).outcome != "true"


def test_every_refuted_step_has_numbers_that_refute_it_without_the_solver() -> None:
    assert list(BY_HAND) == [name for name, step in STEPS.items() if step.verdict == "false"]
    for name, values in BY_HAND.items():
        assert not STEPS[name].holds({letter: Fraction(value) for letter, value in values.items()}), name


def test_the_last_step_of_lemma_a4_in_plain_fractions() -> None:
    k, x, z = Fraction(3, 4), Fraction(1, 2), Fraction(1, 4)
    assert 1 - 2 * x * (k - 2 * z * (k - x)) == Fraction(3, 8)


def test_lemma_a3_beyond_two_in_plain_fractions() -> None:
    x, k = Fraction(11, 5), Fraction(1, 4)
    assert 1 - x / 2 == Fraction(-1, 10)  # <gt, grad L> for the reflection, sqrt(k) = 1/2
    assert Fraction(1, 2) - x * k == Fraction(-1, 20)


def test_a_false_step_gives_its_numbers_and_one_without_fractions_stays_open() -> None:
    wrong = check(Step("", "", "true", ("x",), ("x <= 1",), "x <= 1/2"))
    assert wrong.outcome == "false"
    assert wrong.counterexample is not None
    assert Fraction(1, 2) < wrong.counterexample["x"] <= 1
    irrational = check(Step("", "", "true", ("x",), ("x**2 == 2",), "x <= 0"))
    assert (irrational.outcome, irrational.counterexample) == ("open", None)


@pytest.mark.parametrize(
    "text", ["x + 1", "x**3 <= 1", "1/x <= 1", "x <= 0.5", "f(x) <= 1", "x != 1", "x <= 1 and x <= 2"]
)
def test_only_polynomials_are_compared(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        compare(text, {"x": Fraction(1)})


def test_the_table_has_every_step_in_a_row_and_all_are_as_declared() -> None:
    table = rows()
    assert len({row.source for row in table}) == len(table)
    assert sum(row.cases for row in table) == len(STEPS) == len(steps())
    assert all(row.as_declared and row.method == "SMT" for row in table)
    assert {row.source for row in table if row.verdict == "false"} == {
        "Lemma A.2",
        "Lemma A.3, any r",
        "Lemma A.4, proof",
    }


def test_a_row_says_when_a_step_is_not_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    lie = Step("x is small", "here", "true", ("x",), (), "x <= 5")
    monkeypatch.setattr(algebra, "_GROUPS", (((lie,), "true", "x is small"),))
    [row] = rows()
    assert not row.as_declared
    assert row.note.startswith("not x is small: x = ")

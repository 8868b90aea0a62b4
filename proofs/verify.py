"""Every statement checked, a row each: the table of ``lwsam verify``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from proofs import algebra, appendix, tight, trajectory, worst_case
from proofs.draw import Random
from proofs.row import Row
from proofs.sample import sample
from proofs.search import planar_claim, smallest
from proofs.section3 import LAWS
from proofs.statement import Claim, Statement
from proofs.trajectory import Trajectory, random_trajectory


@dataclass(frozen=True)
class Effort:
    """How many random cases in floats and in fractions, trajectories, and evaluations of a search."""

    floats: int
    exact: int
    paths: int
    searched: int


QUICK = Effort(floats=200, exact=60, paths=40, searched=1500)
EXHAUSTIVE = Effort(floats=10_000, exact=1_000, paths=10_000, searched=20_000)


def summed(name: tuple[str, str, str, str], claims: Iterator[Claim]) -> Row:
    """A row from claims that must all hold (or, for a false statement, not all)."""
    source, says, verdict, method = name
    cases, broken, margin = 0, 0, np.inf
    for found in claims:
        cases, broken, margin = cases + 1, broken + (not found.holds), min(margin, found.margin)
    note = f"{broken} of {cases} break it" if verdict == "false" else ""
    return Row(source, says, verdict, method, cases, (broken > 0) == (verdict == "false"), margin, note)


def law(source: str, says: str, verdict: str, holds: Callable[[Random], bool], cases: int) -> Row:
    """A statement of section 3, in fractions."""
    broken = sum(not holds(Random(np.random.default_rng([1, i]), exact=True)) for i in range(cases))
    note = f"{broken} of {cases} break it" if verdict == "false" else ""
    return Row(source, says, verdict, "exact", cases, (broken > 0) == (verdict == "false"), None, note)


def randomly(s: Statement, exact: bool, cases: int) -> Row:
    draws = (Random(np.random.default_rng([2, i]), exact) for i in range(cases))
    method = "exact" if exact else "enumerated"
    return summed((s.source, s.says, s.verdict, method), (s.claim(sample(s, draw)) for draw in draws))


def searched(s: Statement, evaluations: int) -> Row:
    """The hardest planar problem that a search finds."""
    margin, where = smallest(lambda vector: planar_claim(s, vector).margin, 0, evaluations)
    fine = planar_claim(s, where).holds != (s.verdict == "false")
    if s.verdict == "tight":
        fine = fine and margin < 0.05
    return Row(s.source, s.says, s.verdict, "search", evaluations, fine, margin)


def instance(source: str, says: str, verdict: str, found: Claim) -> Row:
    """One problem in fractions: it refutes, or it attains with equality."""
    fine = not found.holds if verdict == "false" else found.left == found.right
    note = f"{found.left} {'<' if verdict == 'false' else '='} {found.right}"
    return Row(source, says, verdict, "exact", 1, fine and found.exact, found.margin, note)


def instances() -> list[Row]:
    half, rows = Fraction(1, 2), []
    for kind, f in (("indefinite", tight.lemma_a2_indefinite()), ("convex", tight.lemma_a2_convex())):
        refuted = appendix.lemma_a2_as_printed(tight.step(f, x=half * f.beta))
        rows.append(instance("Lemma A.2", f"as printed: {kind} counterexample", "false", refuted))
    attained = appendix.lemma_a2(tight.step(tight.lemma_a2_attained(), x=half))
    rows.append(instance("Lemma A.2, repaired", "attained (both sides squared)", "tight", attained))
    beyond = appendix.lemma_a3(tight.step(tight.lemma_a3_beyond(), x=Fraction(11, 5)))
    rows.append(instance("Lemma A.3", "beyond x = 2, at x = 11/5", "false", beyond))
    e = tight.step(tight.theorem_c_attained(), x=Fraction(1), z=half)
    q = 1 - e.x * Fraction(3, 5)  # sqrt(kappa) = 3/5
    promised = e.z * q * (2 - e.z * q) / 2 * e.g2
    rows.append(
        instance("Theorem C", "attained at kappa = 9/25", "tight", Claim(e.loss - e.loss_after, promised, 1, promised))
    )
    return rows


def border() -> Row:
    """Eq. 15 probed beyond its conditions."""
    low, high = tight.first_break(Fraction(1, 2))
    note = f"at z = 1/2, kappa = alpha = 1 one step breaks it first between x = {float(low):.9f} and {float(high):.9f}"
    fine = float(low) <= np.sqrt(3) - 1 <= float(high)
    return Row("Eq. 15, Theorem C", "breaks at x = sqrt(3) - 1, not before", "tight", "exact", 30, fine, None, note)


PATHS: tuple[tuple[str, str, Callable[[Trajectory], Claim]], ...] = (
    ("Theorem 1 = A.5", "Eq. 7 along every path", trajectory.theorem_1),
    ("Remark 1", "T >= 7, eta = 1 / (beta sqrt(T)), r = 1 / (beta T^(1/4))", trajectory.remark_1),
    ("Remark 2", "Eq. 7 with the selected layers' noise only", trajectory.remark_2),
    ("Theorem A", "along every path, any alpha", trajectory.theorem_a),
    ("Theorem B", "along every path, normalised", trajectory.theorem_b),
    ("Theorem C", "several steps, full batch", trajectory.theorem_c),
)


def along_paths(index: int, cases: int) -> Row:
    source, says, check = PATHS[index]
    rngs = (np.random.default_rng([3, index, i]) for i in range(cases))
    claims = (check(random_trajectory(check.__name__, Random(rng))) for rng in rngs)
    return summed((source, says, "true", "enumerated"), claims)


def tasks(effort: Effort, exhaustive: bool) -> list[Callable[[], list[Row]]]:
    """What there is to do, in the order of the table; each part can run in a process of its own."""
    found: list[Callable[[], Any]] = [partial(law, *entry, effort.exact) for entry in LAWS]
    found += [instances, border]
    for i, s in enumerate(appendix.STATEMENTS):
        if s.exact and s.verdict != "false":
            found.append(partial(_by_index, i, randomly, True, effort.exact))
        if s.verdict != "false":
            found.append(partial(_by_index, i, randomly, False, effort.floats))
        found.append(partial(_by_index, i, searched, effort.searched))
    found += [partial(along_paths, i, effort.paths) for i in range(len(PATHS))]
    if algebra.available():
        found.append(algebra.rows)
    if worst_case.available():
        found.append(partial(worst_case.rows, exhaustive))
    return found


def _by_index(i: int, check: Callable[..., Row], *arguments: Any) -> Row:
    """A statement by its number: functions travel between processes by name, statements not at all."""
    return check(appendix.STATEMENTS[i], *arguments)


def left_out() -> list[str]:
    """What cannot be checked here, and what to do about it."""
    missing = [name for name, module in (("SMT (z3)", algebra), ("SDP (PEPit)", worst_case)) if not module.available()]
    return [f"left out: {name} is not installed: pip install 'lwsam-ref[proofs]'" for name in missing]


def verify(effort: Effort, exhaustive: bool, jobs: int, tick: Callable[[], None]) -> list[Row]:
    """All rows; ``jobs`` processes."""
    work = tasks(effort, exhaustive)
    if jobs == 1:
        results = []
        for task in work:
            results.append(task())
            tick()
    else:
        with ProcessPoolExecutor(jobs) as pool:
            futures = [pool.submit(task) for task in work]
            for _ in as_completed(futures):
                tick()
            results = [future.result() for future in futures]
    return [row for found in results for row in (found if isinstance(found, list) else [found])]

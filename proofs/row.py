"""One line of the table of ``lwsam verify``: a statement, its verdict, and what was done to check it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """``as_declared`` says whether every case came out as the verdict says; ``margin`` is relative, the smallest."""

    source: str
    """Where the statement stands: ``Lemma A.2``, ``Eq. 15``, ``Theorem C``."""
    statement: str
    """What it says, short."""
    verdict: str
    """``true``, ``false`` (a counterexample is shown) or ``tight`` (true, and attained)."""
    method: str
    """``exact`` (fractions), ``enumerated`` (floats, expectations in full), ``SMT`` or ``SDP``."""
    cases: int
    as_declared: bool
    margin: float | None = None
    note: str = ""

"""What an option is: a default, which fixes its type, a help text, choices or a range; and how a value is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lwsam_ref.errors import UserError, unknown

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Option:
    """One option of a run, of a method, of a model, of a data set."""

    default: Any
    help: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    @property
    def kind(self) -> type:
        return type(self.default)

    def converted(self, name: str, value: Any) -> Any:
        """``value`` in the option's type; a whole number will do for a float, a list for a tuple, nothing else."""
        try:
            if self.kind is float and type(value) is int:
                return float(value)
            if self.kind is tuple and isinstance(value, (list, tuple)) and all(type(v) in (int, float) for v in value):
                return tuple(map(float, value))
            if self.kind is int and type(value) is int and abs(value) > LARGEST:
                raise UserError(f"asked for a {name} beyond {LARGEST}: change it")
        except OverflowError:
            raise UserError(f"asked for a {name} beyond the range of floating-point numbers: change it") from None
        if type(value) is self.kind:
            return value
        raise mistyped(name, value, self.kind)

    def checked(self, name: str, value: Any) -> Any:
        """``value``, if it is one of the choices and in the range."""
        if self.choices and value not in self.choices:
            raise unknown(name, value, self.choices)
        low, high = self.at_least, self.at_most
        for v in value if isinstance(value, tuple) else (value,):
            if isinstance(v, float) and not abs(v) < float("inf"):
                raise UserError(f"asked for {name} = {v}, which is no finite number: use one")
            if (low is not None and v < low) or (high is not None and v > high):
                bounds = f"at least {low}" if high is None else f"between {low} and {high}"
                raise UserError(f"asked for {name} = {v}, but it must be {bounds}: change it")
        return value


Options = Mapping[str, Option]
"""Options by name, with underscores."""


class Values(Protocol):
    """The value of each option, as an attribute."""

    def __getattr__(self, name: str, /) -> Any: ...


def mistyped(name: str, value: Any, kind: type) -> UserError:
    """The sentence for a value that is not of the option's type."""
    wanted = "list of numbers" if kind is tuple else kind.__name__
    return UserError(f"asked for {name} = {shown(value)}, but its type is {wanted}: change it")


def shown(value: Any) -> str:
    """For a sentence: not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits, or tables in tables, than Python shows
        return "something too large to show"
    return text if len(text) <= 200 else f"{text[:200]}..."

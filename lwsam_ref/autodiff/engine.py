"""What an engine is: the contract between a network and whatever computes it.

An engine is made for one network. It evaluates a batch and keeps what it needs as a :class:`Tape`; the tape gives
the output, gradients, a second evaluation after some weights changed, and moves the buffers. ``autodiff/tape.py`` has
the plain engine, which all others are held to; ``engines/`` has the table of names.

The laws, each a test with the engine as a parameter:

* ``backward(gy, part)`` visits exactly ``network.cone(part)``, and gives the bits that the whole backward pass gives;
* ``resume(part)`` recomputes exactly the cone of what changed and gives the bits of a fresh evaluation; it consumes
  the tape, and whatever is asked of it afterwards raises :class:`~lwsam_ref.errors.Consumed`;
* no array of a tape is written to, random masks are functions of their key, so a pass can be repeated;
* ``commit`` moves the buffers, once, by what the pass saw; nothing else does;
* every pass is noted, if a list to note it in is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from lwsam_ref.autodiff.layer import Context
from lwsam_ref.vector import Array, LayeredVector, Layout


class Visit(NamedTuple):
    """One call of a layer; on the way back with what was asked: which inputs' gradients, which parameters'."""

    node: int
    want: tuple[bool, ...] = ()
    wanted: tuple[str, ...] = ()


class Pass(NamedTuple):
    """One walk: ``forward`` or ``backward``, over how many samples, in training or not, and its visits in order."""

    kind: str
    samples: int
    training: bool
    visits: tuple[Visit, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(visit.node for visit in self.visits)


Constants = Mapping[int, Array]
"""The values of the frozen nodes that other nodes read (``network.border``)."""


class Tape(Protocol):
    """One evaluation of a network on a batch."""

    @property
    def output(self) -> Array:
        """The value of the last node."""

    def alive(self, what: Any) -> Any:
        """Return ``what``; raise ``Consumed`` if this tape was resumed."""

    def backward(self, gy: Array, part: Layout) -> LayeredVector:
        """The gradient with respect to the tensors of ``part``, given that of the output; visits their cone alone."""

    def resume(self, part: Layout) -> Tape:
        """After the tensors of ``part`` changed: a new tape that recomputes their cone; consumes this one."""

    def commit(self) -> None:
        """Move the buffers (running statistics) by what this pass saw."""


class Engine(Protocol):
    """Computes one network."""

    def constants(self, x: Array, context: Context, passes: list[Pass] | None = None) -> Constants:
        """What no weight changes: the values of the frozen nodes on the batch ``x``."""

    def forward(
        self, x: Array, context: Context, passes: list[Pass] | None = None, constants: Constants | None = None
    ) -> Tape:
        """Evaluate the batch ``x``, the frozen nodes too unless their ``constants`` are given."""

"""The engines by name. A new one is an entry here, and every law is then tested with it (docs/extending.md)."""

from __future__ import annotations

from collections.abc import Callable

from lwsam_ref.autodiff.engine import Engine
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Afresh, Plain
from lwsam_ref.engines.cuda import cuda
from lwsam_ref.engines.timed import Timed

ENGINES: dict[str, Callable[[Network], Engine]] = {"plain": Plain, "afresh": Afresh, "timed": Timed, "cuda": cuda}

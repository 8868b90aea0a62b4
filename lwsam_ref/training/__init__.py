"""A run: its objective, its steps, its loop, and what it leaves on disk; from Python, :func:`fit`."""

from lwsam_ref.training.config import Config
from lwsam_ref.training.fit import Fitted, fit, open_run

__all__ = ["Config", "Fitted", "fit", "open_run"]

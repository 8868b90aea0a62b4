"""One BLAS thread, so that sums are made in one order; one Hypothesis profile for all."""

from __future__ import annotations

import numpy  # noqa: F401  (the BLAS has to be loaded before it can be limited)
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("lwsam", deadline=None, max_examples=40, print_blob=True)
settings.load_profile("lwsam")
threadpool_limits(1)

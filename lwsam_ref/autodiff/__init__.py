"""The layered autodiff: ops, layers, networks, the tape, and what they cost."""

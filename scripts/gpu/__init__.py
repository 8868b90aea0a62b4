"""Timing the kernels of ``lwsam_ref.engines.cuda`` on a GPU; imports CuPy."""

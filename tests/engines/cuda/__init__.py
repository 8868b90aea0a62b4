"""The CUDA engine without a GPU: its own sources on the host; what needs a GPU is in ``test_gpu.py``."""

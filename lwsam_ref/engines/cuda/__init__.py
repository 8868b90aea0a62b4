"""The engine for NVIDIA GPUs: own kernels in CUDA C++ (the ``.cu`` files), and the code that launches them.

============== ==================================================================================================
product.cu     the tiled matrix product that the convolutions are; forward.cu, input_gradient.cu and
               kernel_gradient.cu say where its operands lie; convolution.py launches them, by the tiles of tiles.py
normalise.cu   batch norm; normalise.py
elementwise.cu ReLU and sums; elementwise.py
kernels.py     compiles sources with their constants; alone imports CuPy
layers.py      the layers that use the kernels
twin.py        the engine: the plain walk over those layers
============== ==================================================================================================

No atomics and no shuffles: every sum has one order, so a run repeats bit for bit.
"""

import numpy as np

from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.engines.cuda.kernels import gpu_kernels
from lwsam_ref.engines.cuda.twin import twin
from lwsam_ref.errors import UserError

__all__ = ["cuda"]


def cuda(network: Network) -> Plain:
    """The engine of one network, whose weights lie on a GPU."""
    if network.device.xp is np:
        raise UserError("asked for engine 'cuda' on a CPU: use --device cuda, or --engine plain")
    return Plain(twin(network, gpu_kernels()))

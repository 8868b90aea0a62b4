"""The residual network for small images (He et al. 2016, section 4.2), as the layer-wise SAM paper counts it.

====== ============================= ==================
stage  output                        layers
====== ============================= ==================
conv1  H x W, 16                     3x3
stage1 H x W, 16                     3 blocks of 2 3x3
stage2 H/2 x W/2, 32                 3 blocks of 2 3x3
stage3 H/4 x W/4, 64                 3 blocks of 2 3x3
fc     classes                       average pool, linear
====== ============================= ==================

The first block of *every* stage has a 1x1 projection as its shortcut, which makes the 23 layers of the paper's
Fig. 5. The gamma of the second batch norm of a block starts at 0, so each block starts as its shortcut.
"""

from __future__ import annotations

from lwsam_ref.backend import Device
from lwsam_ref.builder import Builder
from lwsam_ref.network import Network


def resnet20(
    input_shape: tuple[int, ...] = (32, 32, 3),
    num_classes: int = 10,
    *,
    bn_momentum: float = 0.99,
    bn_eps: float = 1e-3,
    device: Device | None = None,
    seed: int = 0,
) -> Network:
    """0.27 million parameters; 23 layers, from ``conv1`` to ``fc``."""
    b = Builder(input_shape)

    def norm(name: str, x: int, initial_gamma: float = 1.0) -> int:
        return b.batch_norm(name, x, bn_eps, bn_momentum, initial_gamma)

    def block(name: str, x: int, width: int, stride: int, project: bool) -> int:
        y = b.relu(f"{name}.relu1", norm(f"{name}.bn1", b.convolution(f"{name}.conv1", x, width, 3, stride)))
        y = norm(f"{name}.bn2", b.convolution(f"{name}.conv2", y, width), initial_gamma=0.0)
        if project:
            x = norm(f"{name}.bn3", b.convolution(f"{name}.projection", x, width, 1, stride))
        return b.relu(f"{name}.relu2", b.sum(f"{name}.add", y, x))

    x = b.relu("relu1", norm("bn1", b.convolution("conv1", b.input, 16)))
    for stage, width in enumerate((16, 32, 64), 1):
        for i in range(1, 4):
            first = i == 1
            x = block(f"stage{stage}.block{i}", x, width, 2 if first and stage > 1 else 1, project=first)
    b.linear("fc", b.average_pool("pool", x), num_classes)
    return b.network(device or Device.of(), seed)

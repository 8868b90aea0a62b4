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

from collections.abc import Callable

from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device

Block = Callable[[str, int, int, int, bool], int]
"""Name, input, width, stride, whether the shortcut is a projection; the output."""


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
    b = Builder(input_shape, bn_eps, bn_momentum)
    x = b.relu("relu1", b.batch_norm("bn1", b.convolution("conv1", b.input, 16)))
    x = stages(post_activation(b), x, widths=(16, 32, 64), blocks=3)
    b.linear("fc", b.average_pool("pool", x), num_classes)
    return b.network(device or Device.of(), seed)


def stages(block: Block, x: int, widths: tuple[int, ...], blocks: int) -> int:
    """``blocks`` blocks of each width; from the second width on, the first of them halves the image."""
    for stage, width in enumerate(widths, 1):
        for i in range(1, blocks + 1):
            stride = 2 if i == 1 and stage > 1 else 1
            x = block(f"stage{stage}.block{i}", x, width, stride, i == 1)
    return x


def post_activation(b: Builder, dropout: float = 0.0) -> Block:
    """The block of He et al. 2016: convolution, norm, ReLU, convolution, norm, sum, ReLU."""

    def block(name: str, x: int, width: int, stride: int, project: bool) -> int:
        y = b.batch_norm(f"{name}.bn1", b.convolution(f"{name}.conv1", x, width, 3, stride))
        y = b.dropout(f"{name}.dropout", b.relu(f"{name}.relu1", y), dropout)
        y = b.batch_norm(f"{name}.bn2", b.convolution(f"{name}.conv2", y, width), initial_gamma=0.0)
        if project:
            x = b.batch_norm(f"{name}.bn3", b.convolution(f"{name}.projection", x, width, 1, stride))
        return b.relu(f"{name}.relu2", b.sum(f"{name}.add", y, x))

    return block

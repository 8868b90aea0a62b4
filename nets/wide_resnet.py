"""The wide residual networks (Zagoruyko and Komodakis 2016, Table 1): WRN-d-w of depth d = 6 n + 4 and width w.

====== ============================= ==================
stage  output                        layers
====== ============================= ==================
conv1  H x W, 16                     3x3
stage1 H x W, 16 w                   n blocks of 2 3x3
stage2 H/2 x W/2, 32 w               n blocks of 2 3x3
stage3 H/4 x W/4, 64 w               n blocks of 2 3x3
fc     classes                       norm, ReLU, average pool, linear
====== ============================= ==================

The first block of each stage has a 1x1 projection as its shortcut: 17 layers in WRN-16 and 29 in WRN-28, as in the
layer-wise SAM paper's Fig. 5. ``post_activation`` builds the block of ResNet-20 instead, whose last gamma starts at
0; both have dropout before a block's second convolution.
"""

from __future__ import annotations

from typing import Any

from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device
from nets import resnet


def wrn16_2(input_shape: tuple[int, ...] = (32, 32, 3), num_classes: int = 10, **options: Any) -> Network:
    """0.7 million parameters; 17 layers. Options as of :func:`wide_resnet`."""
    return wide_resnet(input_shape, num_classes, depth=16, width=2, **options)


def wrn28_10(input_shape: tuple[int, ...] = (32, 32, 3), num_classes: int = 10, **options: Any) -> Network:
    """36.5 million parameters; 29 layers. Options as of :func:`wide_resnet`."""
    return wide_resnet(input_shape, num_classes, depth=28, width=10, **options)


def wide_resnet(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    depth: int,
    width: int,
    dropout: float = 0.0,
    post_activation: bool = False,
    bn_momentum: float = 0.99,
    bn_eps: float = 1e-5,
    device: Device | None = None,
    seed: int = 0,
) -> Network:
    """WRN-``depth``-``width``, from ``conv1`` to ``fc``."""
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"a wide residual network of depth {depth}: the depth must be 6 n + 4, with n at least 1")
    b = Builder(input_shape, bn_eps, bn_momentum)
    x = b.convolution("conv1", b.input, 16)
    if post_activation:
        x, block = b.relu("relu1", b.batch_norm("bn1", x)), resnet.post_activation(b, dropout)
    else:
        block = pre_activation(b, dropout)
    x = resnet.stages(block, x, widths=(16 * width, 32 * width, 64 * width), blocks=blocks)
    if not post_activation:
        x = b.relu("relu", b.batch_norm("bn", x))
    b.linear("fc", b.average_pool("pool", x), num_classes)
    return b.network(device or Device.of(), seed)


def pre_activation(b: Builder, dropout: float = 0.0) -> resnet.Block:
    """Norm, ReLU, convolution, twice, and the sum; a projection starts from the first ReLU."""

    def block(name: str, x: int, width: int, stride: int, project: bool) -> int:
        active = b.relu(f"{name}.relu1", b.batch_norm(f"{name}.bn1", x))
        y = b.convolution(f"{name}.conv1", active, width, 3, stride)
        y = b.relu(f"{name}.relu2", b.batch_norm(f"{name}.bn2", y))
        y = b.convolution(f"{name}.conv2", b.dropout(f"{name}.dropout", y, dropout), width)
        shortcut = b.convolution(f"{name}.projection", active, width, 1, stride) if project else x
        return b.sum(f"{name}.add", y, shortcut)

    return block

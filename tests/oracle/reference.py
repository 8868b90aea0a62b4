"""Networks as their papers print them: PyTorch's modules and autograd.

Images are (N, C, H, W). Nothing here is taken from the code under test but the names of layers, so that weights can
be copied, and their order within a block, which ties are broken by.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class PostActivation(nn.Module):
    """He et al. 2016, Fig. 2: the ReLU stands behind the sum; a projection has its own norm (section 4.1, B)."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, norm: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.dropout = nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        if project:
            self.projection = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.bn3 = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(F.relu(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.bn3(self.projection(x)) if hasattr(self, "projection") else x))


class PreActivation(nn.Module):
    """Zagoruyko and Komodakis 2016: norm, ReLU, convolution, twice; a projection reads what the first ReLU gives."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, norm: Any) -> None:
        super().__init__()
        self.bn1 = norm(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.dropout = nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        if project:
            self.projection = nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        o = F.relu(self.bn1(x))
        y = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(o)))))
        return y + (self.projection(o) if hasattr(self, "projection") else x)


class Residual(nn.Module):
    """Three stages of blocks, each but the first halving the image, the first block of each with a projection."""

    def __init__(self, block: Any, widths: Any, blocks: int, channels: int, eps: float, momentum: float) -> None:
        super().__init__()

        def norm(width: int) -> nn.Module:
            return nn.BatchNorm2d(width, eps, 1 - momentum)

        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        if block is PostActivation:
            self.bn1 = norm(16)
        before = 16
        for stage, width in enumerate(widths, 1):
            members = OrderedDict()
            for i in range(1, blocks + 1):
                members[f"block{i}"] = block(before, width, 2 if stage > 1 and i == 1 else 1, i == 1, norm)
                before = width
            self.add_module(f"stage{stage}", nn.Sequential(members))
        if block is PreActivation:
            self.bn = norm(before)
        self.fc = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if hasattr(self, "bn1"):
            x = F.relu(self.bn1(x))
        x = self.stage3(self.stage2(self.stage1(x)))
        if hasattr(self, "bn"):
            x = F.relu(self.bn(x))
        return self.fc(x.mean(dim=(2, 3)))


class MLP(nn.Module):
    """Two hidden layers; pixels are flattened channel by channel within a pixel."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(features, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.output(F.relu(self.hidden2(F.relu(self.hidden1(x)))))


def model(name: str, shape: tuple[int, int, int], post_activation: bool = False, momentum: float = 0.99) -> nn.Module:
    """``resnet20``, ``wrn16-2`` or ``mlp`` for images of ``shape`` (H, W, C), in float64."""
    height, width, channels = shape
    if name == "mlp":
        return MLP(height * width * channels, 128).double()
    if name == "resnet20":
        return Residual(PostActivation, (16, 32, 64), 3, channels, 1e-3, momentum).double()
    block = PostActivation if post_activation else PreActivation
    return Residual(block, (32, 64, 128), 2, channels, 1e-5, momentum).double()

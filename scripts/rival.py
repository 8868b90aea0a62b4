"""The same network and the same steps in PyTorch, built from the network's own list of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lwsam_ref.autodiff import layers
from lwsam_ref.autodiff.layer import Layer
from lwsam_ref.autodiff.network import INPUT, Network


def module(layer: Layer) -> Callable[..., torch.Tensor]:
    """PyTorch's counterpart of one layer."""
    match layer:
        case layers.Convolution(c, q, size, stride):
            return nn.Conv2d(c, q, size, stride, size // 2, bias=False)
        case layers.BatchNorm(c, eps, momentum):
            return nn.BatchNorm2d(c, eps, 1 - momentum)
        case layers.Linear(c, units):
            return nn.Linear(c, units)
        case layers.ReLU():
            return nn.ReLU()
        case layers.Dropout(rate):
            return nn.Dropout(rate)
        case layers.Add():
            return torch.add
        case layers.AveragePool():
            return lambda x: x.mean((2, 3))
        case layers.Flatten():
            return nn.Flatten()
    raise TypeError(f"no counterpart of {layer}")


class Twin(nn.Module):
    """The nodes in forward order, eager."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.sources = [node.inputs for node in network.nodes]
        self.calls = [module(node.layer) for node in network.nodes]
        self.owned = nn.ModuleList(call for call in self.calls if isinstance(call, nn.Module))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {INPUT: x}
        for i, (call, inputs) in enumerate(zip(self.calls, self.sources, strict=True)):
            values[i] = call(*(values[j] for j in inputs))
        return values[len(self.calls) - 1]


def steps(
    network: Network, images: np.ndarray, labels: np.ndarray, threads: int, device: str, dtype: str
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """An SGD step and a SAM step, with momentum, at learning rate 0; on a GPU also as captured graphs."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32 here
    kind = getattr(torch, dtype)
    twin = Twin(network).to(device=device, dtype=kind, memory_format=torch.channels_last)
    x = torch.tensor(images.transpose(0, 3, 1, 2), dtype=kind, device=device).to(memory_format=torch.channels_last)
    y = torch.tensor(labels, device=device)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.0, momentum=0.9)

    def gradient() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(twin(x), y).backward()

    def sgd() -> None:
        gradient()
        optimizer.step()

    @torch.no_grad()
    def sam() -> None:
        with torch.enable_grad():
            gradient()
        before = [p.clone() for p in twin.parameters()]
        for p in twin.parameters():
            p.add_(p.grad, alpha=0.1)
        with torch.enable_grad():
            gradient()
        for p, old in zip(twin.parameters(), before, strict=True):
            p.copy_(old)
        optimizer.step()

    label = f"PyTorch {torch.__version__}"
    for name, step in (("SGD", sgd), ("SAM", sam)):
        yield f"{label}, {name}", waited(step) if device == "cuda" else step
        if device == "cuda":
            yield f"{label}, {name}, CUDA graph", waited(captured(step))


def waited(step: Callable[[], Any]) -> Callable[[], None]:
    """The step, and the end of all that it asked of the GPU."""

    def both() -> None:
        step()
        torch.cuda.synchronize()

    return both


def captured(step: Callable[[], Any]) -> Callable[[], Any]:
    """The same step as one CUDA graph: launched as a whole, after three ordinary steps on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay

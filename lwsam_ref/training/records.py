"""What a run writes down, typed: a record a step, a record an epoch, a summary, and where a checkpoint stands.

All keys of ``metrics.jsonl``, ``summary.json`` and of what a checkpoint holds beside the arrays are here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import numpy as np

from lwsam_ref.errors import UserError

HostArray = np.ndarray[Any, Any]
COMMAND_LINE, PYTHON = "command line", "python"
"""Where a run was made."""
Json = dict[str, Any]


def _known(kind: type, line: Mapping[str, Any]) -> Json:
    """The fields of ``kind`` in a line; a line without one of them is damaged."""
    for name, hint in get_type_hints(kind).items():
        if name not in line:
            raise ValueError(f"without {name!r}")
        if not _fits(line[name], hint):
            raise ValueError(f"{name!r} is not of its type")
    return {name: line[name] for name in get_type_hints(kind)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON is what a field's annotation says; numbers are finite."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind is UnionType:
        return any(_fits(value, one) for one in inside)
    if kind is list:
        return isinstance(value, list) and all(_fits(v, inside[0]) for v in value)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(v, inside[1]) for v in value.values())
    if hint is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    if hint is int:
        return type(value) is int and abs(value) < 2**63
    return value is None if hint is type(None) else type(value) is hint


@dataclass(frozen=True)
class StepRecord:
    """One step: numbers are means over the ranks; those of a perturbation are ``None`` where nothing was perturbed.

    ``cost``: operations, relative to a step of SGD. ``captured``: what share of the last step's squared norm the
    selected layers have. ``descent_norms``: per layer, of the gradient that the descent used.
    """

    step: int
    epoch: int
    lr: float
    loss: float
    loss_perturbed: float | None
    selected: list[str]
    r_effective: float | None
    ascent_nodes: int
    cost: float
    captured: float | None
    descent_norms: dict[str, float]
    seconds: float

    def json(self) -> Json:
        return {"kind": "step", **asdict(self)}

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        return cls(**_known(cls, line))


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean loss of its steps, the metric on the test data, under its own name, and what a probe found."""

    epoch: int
    loss: float
    metric: str
    value: float
    lr: float
    seconds: float
    images_per_second: float
    gradient_norms: dict[str, float] | None = None
    gradient_norm: float | None = None

    def json(self) -> Json:
        line = asdict(self)
        value, probed = line.pop("value"), self.gradient_norm is not None
        kept = {name: v for name, v in line.items() if probed or not name.startswith("gradient_norm")}
        return {"kind": "epoch", **kept, self.metric: value}

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Also from files of version 0.1, whose only metric was accuracy."""
        metric = line.get("metric", "accuracy")
        if not isinstance(metric, str) or metric not in line:
            raise ValueError(f"without {metric!r}")
        rest = {"metric": metric, "value": line[metric]}
        return cls(**_known(cls, {"gradient_norms": None, "gradient_norm": None, **line, **rest}))


Record = StepRecord | EpochRecord


def parsed(content: bytes) -> list[Record]:
    """The records in the lines of ``metrics.jsonl``; ``ValueError`` says which line is none."""
    found: list[Record] = []
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = json.loads(text)
            if not isinstance(line, dict) or line.get("kind") not in ("step", "epoch"):
                raise ValueError("neither a step nor an epoch")
            found.append(StepRecord.of(line) if line["kind"] == "step" else EpochRecord.of(line))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
    return found


@dataclass(frozen=True)
class Summary:
    """What a run came to. ``final`` and ``best`` are of the ``metric``, and are written under its name."""

    method: str
    dataset: str
    model: str
    metric: str
    final: float
    best: float
    images_per_second: float
    step_seconds: float
    ascent_nodes: float | None
    cost: float | None
    captured: float | None
    perturbation_counts: dict[str, int]
    nodes: int
    layers: list[str]
    weights_sha256: str
    seed: int
    ranks: int
    device: str
    engine: str
    made_in: str
    versions: dict[str, str]

    def json(self) -> Json:
        names = {"final": f"final_{self.metric}", "best": f"best_{self.metric}"}
        return {names.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Also from files of version 0.1."""
        metric = line.get("metric", "accuracy")
        old = {"metric": metric, "engine": "plain", "made_in": COMMAND_LINE}
        rest = {"final": line.get(f"final_{metric}"), "best": line.get(f"best_{metric}")}
        return cls(**_known(cls, {**old, **line, **rest}))


def records_in(folder: Path) -> list[Record]:
    """What the run in ``folder`` wrote down."""
    try:
        return parsed((folder / "metrics.jsonl").read_bytes())
    except OSError:
        raise UserError(f"asked to open {folder}, but it has no metrics.jsonl: restore it") from None
    except ValueError as error:
        raise UserError(f"asked to open {folder}, but its metrics.jsonl is damaged ({error}): restore it") from None


def summary_in(folder: Path) -> Summary:
    """What the run in ``folder`` came to."""
    try:
        return Summary.of(json.loads((folder / "summary.json").read_bytes()))
    except OSError:
        raise UserError(f"asked to open {folder}, but there is no finished run: name the folder of one") from None
    except (ValueError, AttributeError) as error:
        raise UserError(f"asked to open {folder}, but its summary.json is damaged ({error}): restore it") from None


@dataclass(frozen=True)
class Position:
    """Where in its run a checkpoint stands: the run's config, so many bytes of records, so many epochs over.

    ``data`` is the digest of the data set; empty in files of version 0.1.
    """

    config: bytes
    metrics: int
    epochs: int
    data: str = ""

    def arrays(self) -> dict[str, HostArray]:
        return {
            "config": np.frombuffer(self.config, np.uint8),
            "metrics": np.array(self.metrics),
            "epochs": np.array(self.epochs),
            "data": np.frombuffer(self.data.encode(), np.uint8),
        }

    @classmethod
    def of(cls, saved: Mapping[str, HostArray]) -> Self | None:
        """None if the arrays have no position: no run wrote them."""
        if not {"config", "metrics", "epochs"} <= saved.keys():
            return None
        data = saved["data"].tobytes().decode() if "data" in saved else ""
        return cls(saved["config"].tobytes(), int(saved["metrics"]), int(saved["epochs"]), data)

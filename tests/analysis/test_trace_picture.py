"""The picture of a step shows what the step did, all of it, and no words lie on others."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Arc
from matplotlib.text import Text

import nets
from lwsam_ref.algorithms import Raw, layerwise_sam
from lwsam_ref.analysis import trace_picture
from lwsam_ref.analysis.trace import trace
from lwsam_ref.training.objective import NetworkObjective
from support.command import lwsam, refused
from support.strategies import Problem, batch, objectives

few = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
PASSES = ("forward", "ascent", "recomputed", "descent")


def drawn(figure: Any) -> dict[str, dict[int, str]]:
    """What each pass's cells say: pass, node, state."""
    cells: dict[str, dict[int, str]] = {name: {} for name in PASSES}
    for patch in figure.axes[0].patches:
        if patch.get_gid():
            name, node, state = patch.get_gid().split(".")
            assert int(node) not in cells[name]
            cells[name][int(node)] = state
    return cells


@few
@given(objectives())
def test_a_cell_is_filled_exactly_where_the_pass_was(p: Problem) -> None:
    assume(p.selected)
    with p.f.watched() as passes:
        layerwise_sam(p.f, p.batch, p.selected, Raw(0.1), 0.8)
    figure = trace_picture.picture(trace(p.f, p.batch, p.selected, Raw(0.1), 0.8), "a step")
    cells, places = drawn(figure), range(len(p.f.network.nodes))
    for name, walk in zip(PASSES, passes, strict=True):
        other = "reused" if walk.kind == "forward" else "never reached"
        assert cells[name] == {i: "reached" if i in walk.nodes else other for i in places}
    filled = {patch.get_gid(): patch.get_facecolor() for patch in figure.axes[0].patches}
    for name in PASSES:  # the state is seen, not only noted
        faces = {filled[f"{name}.{i}.{state}"] for i, state in cells[name].items() if state == "reached"}
        others = {filled[f"{name}.{i}.{state}"] for i, state in cells[name].items() if state != "reached"}
        assert len(faces) == 1
        assert not faces & others


@few
@given(objectives())
def test_nodes_connections_and_frontier_are_the_networks_own(p: Problem) -> None:
    assume(p.selected)
    found = trace(p.f, p.batch, p.selected, Raw(0.1), 0.8)
    panel, network = trace_picture.picture(found, "a step").axes[0], p.f.network
    kinds = {line.get_gid(): line for line in panel.lines if line.get_gid()}
    for i, node in enumerate(network.nodes):
        kind = "selected" if node.name in p.selected else "layer" if node.name in p.f.weights.layers else "other"
        assert f"node.{i}.{kind}" in kinds
    assert len(kinds) == len(network.nodes) + 1
    skips = sum(j != i - 1 for i, node in enumerate(network.nodes) for j in node.inputs)
    assert sum(isinstance(patch, Arc) for patch in panel.patches) == skips
    line, cells = kinds["frontier"], [patch for patch in panel.patches if patch.get_gid()]
    for cell in cells:
        pass_, node, _ = cell.get_gid().split(".")
        assert (cell.get_x() > line.get_xdata()[0]) == (int(node) >= min(found["ascent"])), (pass_, node)


@few
@given(objectives())
def test_what_is_saved_is_the_difference_from_sam(p: Problem) -> None:
    assume(p.selected)
    found = trace(p.f, p.batch, p.selected, Raw(0.1), 0.8)
    assert found["cost"] == pytest.approx(found["cost_sam"] * (1 - found["saved_ascent"] - found["saved_forward"]))
    nothing = "Nothing is saved" in trace_picture.saved(found)
    assert nothing == (found["cost"] == found["cost_sam"])
    assert nothing or set(p.selected) != set(p.f.weights.layers)


SELECTIONS = {
    "mlp": ("hidden2",),
    "resnet20": ("stage3.block3.conv2", "fc"),
    "wrn28-10": ("stage2.block1.conv1", "stage2.block1.projection"),
    "every layer of resnet20": (),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_no_words_lie_on_others_and_all_lie_on_the_page(case: str) -> None:
    """The legend among them: it hides nothing."""
    shallow = nets.wide_resnet((8, 8, 1), 10, depth=28, width=1, dropout=0.3) if case == "wrn28-10" else None
    network = shallow or (nets.mlp((8, 8, 1), 10) if case == "mlp" else nets.resnet20((8, 8, 1), 10))
    f = NetworkObjective(network)
    found = trace(f, batch(network, 4, 0), SELECTIONS[case] or network.layers, Raw(0.1), 0.8)
    figure = trace_picture.picture(found, f"One step of layer-wise SAM: {case}, batch of 4")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    words = [t for t in figure.axes[0].texts if isinstance(t, Text) and t.get_text()]
    boxes = [(t.get_text(), Text.get_window_extent(t, renderer)) for t in words]
    boxes.append(("legend", figure.legends[0].get_window_extent(renderer)))
    for (one, a), (other, b) in combinations(boxes, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 1, (one, other)
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    lowest = min(patch.get_window_extent(renderer).y0 for patch in figure.axes[0].patches)
    assert boxes[-1][1].y1 < lowest


def test_the_command_draws_it_in_the_format_of_the_name(tmp_path: Path) -> None:
    select = ("--select", "fc", "--select", "stage3.block3.conv2", "--batch-size", 2)
    begins = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
    for suffix, begin in begins.items():
        done = lwsam("trace", *select, "--picture", tmp_path / f"step.{suffix}")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"step.{suffix}").read_bytes().startswith(begin)
    again = tmp_path / "again.SVG"
    assert lwsam("trace", *select, "--picture", again).returncode == 0
    assert again.read_bytes() == (tmp_path / "step.svg").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.SVG", "step.pdf", "step.png", "step.svg"]
    tree = ET.fromstring(again.read_bytes())  # noqa: S314
    said = " ".join("".join(e.itertext()) for e in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert "Selected: stage3.block3.conv2, fc" in said
    assert "frontier: stage3.block3.conv2" in said
    assert "visits 6 of 74 nodes" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("step.jpg", ["step.jpg", ".png, .svg or .pdf"]),
        ("step", ["step", ".png, .svg or .pdf"]),
        ("nowhere/step.png", ["nowhere", "no folder"]),
        ("folder.png", ["folder.png", "name a file"]),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_first(tmp_path: Path, name: str, words: list[str]) -> None:
    (tmp_path / "folder.png").mkdir()
    said = refused("trace", "--picture", tmp_path / name)  # nothing is printed but this sentence
    assert all(word in said for word in words), said
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]

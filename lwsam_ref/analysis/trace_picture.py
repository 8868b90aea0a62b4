"""The picture of one step: the network, and below it, node by node, what each of the four passes does.

Every row has the same nodes at the same places, in forward order, so the cone is a part of the width: what the ascent
visits is what the second forward pass recomputes. Nothing is told by colour alone.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from lwsam_ref.analysis import drawing

WIDTH, MARGIN = 10.0, 0.25
"""Inches. All places are in inches, from the left and from the top."""
STEP = 0.62
"""From one pass down to the next."""
LETTER = 0.075
"""The width of a letter of a label, at most."""
ROOM = 0.13
"""From an upright label to the next, at least."""
LINE = 134
"""Letters in a line of words, at most."""
NAME, WORDS = 8, 9
"""Sizes of type, in points."""
INK, PALE = "#222222", "#9a9a9a"
COLOURS = {"forward": "#555555", "ascent": drawing.BLUE, "recomputed": drawing.VERMILLION, "descent": "#555555"}
ABOVE: dict[str, Any] = {"zorder": 4, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}
"""For words that the frontier's line would cross."""
LOOKS: dict[str, dict[str, Any]] = {
    "reached": {},
    "never reached": {"facecolor": "white", "edgecolor": PALE},
    "reused": {"facecolor": "#ececec", "edgecolor": PALE, "hatch": "//////"},
}


class Band(NamedTuple):
    """One pass: the nodes that it reaches, and what can be said of the others."""

    key: str
    title: str
    words: str
    reached: frozenset[int]
    others: str
    backward: bool


def bands(found: dict[str, Any]) -> list[Band]:
    """The four passes of a step, from what ``trace`` found."""
    n, visited, again = len(found["nodes"]), len(found["ascent"]), len(found["recomputed"])
    ascent = f"visits {visited} of {n} nodes, from the loss back to the frontier"
    ascent += f"; {n - visited} are never reached" if visited < n else ""
    second = f"recomputes {again} nodes"
    second += f", reuses {n - again} ({amount(found['bytes_reused'])} of values)" if again < n else ""
    descent = f"visits {len(found['descent'])} of {n} nodes"
    titles = {
        "forward": ("1  Forward pass at w", f"computes all {n} nodes", "reused", False),
        "ascent": ("2  Ascent: backward pass for the selected layers", ascent, "never reached", True),
        "recomputed": ("3  Second forward pass, at w + e", second, "reused", False),
        "descent": ("4  Descent: backward pass for all layers", descent, "never reached", True),
    }
    return [
        Band(key, title, words, found[key], others, backward)
        for key, (title, words, others, backward) in titles.items()
    ]


def amount(count: int) -> str:
    """In kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def saved(found: dict[str, Any]) -> str:
    """What the step costs, and what it saves, in words."""
    ascent, forward = found["saved_ascent"], found["saved_forward"]
    said = (
        f"This step does {found['cost']:.2f} times the operations of a step of SGD; SAM does {found['cost_sam']:.2f}."
    )
    if ascent + forward == 0:
        return f"{said} Nothing is saved: the selected layers take all of it."
    return (
        f"{said} Of SAM's step, {ascent + forward:.1%} is saved: {ascent:.1%} in the ascent, which does only what the"
        f" selected layers' gradients need, and {forward:.1%} in the second forward pass, which reuses values of the"
        " first."
    )


def draw(found: dict[str, Any], title: str, path: Path) -> None:
    """Write the picture of what ``trace`` found."""
    drawing.save(picture(found, title), path, dpi=180)


def picture(found: dict[str, Any], title: str) -> Any:
    """The figure. A cell's ``gid`` is ``pass.node.state``, as in ``ascent.12.reached``."""
    nodes = found["nodes"]
    names = {i: name.rpartition(".")[2] for i, name in enumerate(nodes) if found["made"][i]}
    pitch = (WIDTH - 2 * MARGIN) / len(nodes)
    half = max(0.4 * pitch, 0.5 * pitch - 0.04)
    x = [MARGIN + (i + 0.5) * pitch for i in range(len(nodes))]
    longest = LETTER * max(map(len, names.values()))
    upright = longest > pitch
    lines = [*wrap(f"Selected: {', '.join(found['selected'])}", LINE), *wrap(saved(found), LINE)]
    levels = groups(nodes)
    skips = any(j != i - 1 for i, inputs in enumerate(found["inputs"]) for j in inputs)
    chain = 0.7 + 0.2 * len(lines) + (longest if upright else 0.15)
    below = chain + (0.55 if skips else 0.2)
    first = below + 0.3 + 0.22 * len(levels)
    last = first + STEP * len(COLOURS)
    height = last + 0.5
    figure = drawing.figure(WIDTH, height)
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set(xlim=(0, WIDTH), ylim=(height, 0))
    panel.axis("off")
    panel.text(MARGIN, 0.3, title, fontsize=11, weight="bold", color=INK)
    for i, line in enumerate(lines):
        panel.text(MARGIN, 0.54 + 0.2 * i, line, fontsize=WORDS, color=INK)
    _chain(panel, found, names, x, pitch, chain, upright)
    for level, spans in enumerate(levels):
        _brackets(panel, spans, x, half, below + 0.22 * level)
    for row, band in enumerate(bands(found)):
        _band(panel, band, x, half, first + STEP * row)
    _frontier(panel, found, x, pitch, chain - 0.08, last - 0.18)
    _legend(figure, height)
    return figure


def groups(nodes: tuple[str, ...]) -> list[list[tuple[str, int, int]]]:
    """The parts of names before the last dot, the innermost first: runs of nodes as (part, first, last)."""
    parts = [name.split(".")[:-1] for name in nodes]
    found = []
    for level in reversed(range(max(map(len, parts)))):
        runs = [list(run) for _, run in groupby(range(len(nodes)), key=lambda i: parts[i][: level + 1])]
        found.append([(parts[run[0]][level], run[0], run[-1]) for run in runs if len(parts[run[0]]) > level])
    return found


def _chain(
    panel: Any, found: dict[str, Any], names: dict[int, str], x: list[float], pitch: float, y: float, upright: bool
) -> None:
    """The nodes with their connections; a connection that is not to the next node is an arc below."""
    from matplotlib.patches import Arc

    for i, inputs in enumerate(found["inputs"]):
        for j in inputs:
            start = x[j] if j >= 0 else x[0] - pitch
            if j == i - 1:
                panel.plot([max(start, MARGIN / 2), x[i]], [y, y], color=INK, linewidth=0.8, zorder=1)
            else:
                depth = min(0.16 + 0.03 * (i - j), 0.4)
                middle, width = (start + x[i]) / 2, x[i] - start
                panel.add_patch(
                    Arc((middle, y), width, 2 * depth, theta1=0, theta2=180, color=INK, linewidth=0.8, zorder=1)
                )
    size, label = min(0.8 * pitch, 0.16) * 72, 0.0
    for i in range(len(found["nodes"])):
        made, inside = set(found["made"][i]), i in found["ascent"]
        layer, chosen = bool(made), not made.isdisjoint(found["selected"])
        panel.plot(
            x[i],
            y,
            marker="D" if chosen else "s" if layer else "o",
            markersize=size * (1.0 if layer else 0.7),
            markerfacecolor=INK if chosen else COLOURS["ascent"] if inside else "white",
            markeredgecolor=INK if chosen else COLOURS["ascent"] if inside else "#777777",
            markeredgewidth=0.9,
            zorder=2,
            gid=f"node.{i}.{'selected' if chosen else 'layer' if layer else 'other'}",
        )
        if layer:
            label = max(x[i], label + ROOM) if upright else x[i]  # beside its node where the next one is close
            panel.text(
                label,
                y - 0.13,
                names[i],
                fontsize=NAME,
                weight="bold" if chosen else "normal",
                color=INK if chosen else "#666666",
                rotation=90 if upright else 0,
                ha="center",
                va="bottom",
            )


def _brackets(panel: Any, spans: list[tuple[str, int, int]], x: list[float], half: float, y: float) -> None:
    """A line below each group of nodes, with its name."""
    for name, first, last in spans:
        left, right = x[first] - half, x[last] + half
        panel.plot([left, right], [y, y], color=PALE, linewidth=1)
        if LETTER * len(name) <= right - left:
            panel.text(
                (left + right) / 2, y + 0.03, name, fontsize=NAME, color="#666666", ha="center", va="top", **ABOVE
            )


def _band(panel: Any, band: Band, x: list[float], half: float, y: float) -> None:
    """A title, and a cell a node; below them an arrow the way that the pass goes, over what it reaches."""
    from matplotlib.patches import Rectangle

    panel.text(MARGIN, y, band.title, fontsize=WORDS, weight="bold", color=COLOURS[band.key], va="bottom", **ABOVE)
    panel.text(WIDTH - MARGIN, y, band.words, fontsize=WORDS, color=INK, va="bottom", ha="right", **ABOVE)
    for i, place in enumerate(x):
        state = "reached" if i in band.reached else band.others
        look = {"facecolor": COLOURS[band.key], "edgecolor": COLOURS[band.key]} | LOOKS[state]
        corner = (place - half, y + 0.06)
        panel.add_patch(Rectangle(corner, 2 * half, 0.2, linewidth=0.6, gid=f"{band.key}.{i}.{state}", **look))
    ends = x[min(band.reached)] - half, x[max(band.reached)] + half
    start, end = reversed(ends) if band.backward else ends
    arrow = {"arrowstyle": "-|>", "color": COLOURS[band.key], "shrinkA": 0, "shrinkB": 0, "linewidth": 1.2}
    panel.annotate("", (end, y + 0.34), (start, y + 0.34), arrowprops=arrow)


def _frontier(panel: Any, found: dict[str, Any], x: list[float], pitch: float, top: float, bottom: float) -> None:
    """A line through all rows: left of it, no backward pass for the selected layers goes, and no value changes."""
    first = found["nodes"].index(found["frontier"])
    place = x[first] - 0.5 * pitch
    panel.plot([place, place], [top, bottom], color=INK, linewidth=1.1, linestyle=(0, (4, 2)), zorder=3, gid="frontier")
    side = "right" if place > WIDTH / 2 else "left"
    panel.text(place, bottom + 0.04, f"frontier: {found['frontier']}", fontsize=NAME, color=INK, ha=side, va="top")


def _legend(figure: Any, height: float) -> None:
    """In a strip of its own below everything."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(marker: str, face: str, edge: str) -> Any:
        return Line2D([], [], linestyle="", marker=marker, markersize=7, markerfacecolor=face, markeredgecolor=edge)

    entries = {
        "selected layer": mark("D", INK, INK),
        "layer": mark("s", "white", "#777777"),
        "other node": mark("o", "white", "#777777"),
        "in the cone of the selected": mark("s", COLOURS["ascent"], COLOURS["ascent"]),
        "done by the pass": Patch(facecolor=COLOURS["forward"]),
        "never reached": Patch(**LOOKS["never reached"]),
        "reused": Patch(**LOOKS["reused"]),
    }
    spaces = {"columnspacing": 1.3, "handletextpad": 0.5, "frameon": False, "bbox_to_anchor": (0.5, 0.02 / height)}
    figure.legend(list(entries.values()), list(entries), loc="lower center", ncols=7, fontsize=NAME, **spaces)

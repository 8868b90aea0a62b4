"""Faults in comparisons, costs, sharpness."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "a Fisher mask paid at every step",
        "lwsam_ref/training/methods.py",
        "(o.sparse_refresh * o.batch_size)",
        "o.batch_size",
        "ledger",
    ),
    Fault(
        "a picture that fills one cell too many",
        "lwsam_ref/analysis/trace_picture.py",
        "if i in band.reached else",
        "if i in band.reached or i + 1 in band.reached else",
        "trace_picture",
    ),
    Fault(
        "a picture in which what was reused looks recomputed",
        "lwsam_ref/analysis/trace_picture.py",
        """"edgecolor": COLOURS[band.key]} | LOOKS[state]""",
        """"edgecolor": COLOURS[band.key]}""",
        "trace_picture",
    ),
    Fault(
        "savings of the ascent counted as those of the second forward pass",
        "lwsam_ref/analysis/trace.py",
        "costs.executed([again]) / n",
        "costs.executed([ascent]) / n",
        "trace_picture",
    ),
    Fault(
        "a picture that counts the steps in which a layer was left alone",
        "lwsam_ref/analysis/history.py",
        "layer in step.selected",
        "layer not in step.selected",
        "run_picture",
    ),
    Fault(
        "a record that is being written taken for damage",
        "lwsam_ref/analysis/history.py",
        'content[: content.rfind(b"\\n") + 1]',
        "content",
        "run_picture",
    ),
    Fault(
        "a picture written in place",
        "lwsam_ref/analysis/drawing.py",
        "write_atomically(path, buffer.getvalue())",
        "path.write_bytes(buffer.getvalue())",
        "drawing",
    ),
]

"""Break the code on purpose, one fault at a time, and see a test or a statement of `lwsam verify` fail.

    python scripts/mutate.py                    # all of them
    python scripts/mutate.py --only dropout     # those with this word in the name
    python scripts/mutate.py --list

The project is copied, and its checks run once as they are: they must be green. Each fault is then put into a copy of
its own: a piece of text that occurs exactly once in its file, replaced by another. The test files most likely to see it
run first, then all others, then the statements, up to the first failure. Exit status 1 if a fault passes unseen.

Left out are tests that read the source (they would see the text, not the fault), and those that a plain `make test`
leaves out. Hypothesis draws the same examples every time and does not shrink them. To pytest this file is a plugin.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("lwsam_ref", "nets", "proofs", "tests", "scripts", "README.md", "pyproject.toml")
COLLECTED = ("tests", "lwsam_ref", "nets", "proofs", "README.md")
MARKS = "not slow and not cuda and not proofs"
READ_THE_SOURCE = ("tests/test_structure.py", "tests/test_mutations.py")
THE_COMMAND = "tests/test_proofs.py::test_verify_prints_every_statement_and_exits_with_0"  # the statements are a check
VERIFY = "verify"
LIMIT = 600
"""Seconds for one check."""


@dataclass(frozen=True)
class Fault:
    """In ``file``, ``text`` becomes ``replacement``. ``first`` names what should see it: laws, cone, ..., verify."""

    name: str
    file: str
    text: str
    replacement: str
    first: str

    def mutated(self, root: Path) -> str:
        """The file with the fault; a sentence and the end where the text is not there exactly once, or is no Python."""
        source = (root / self.file).read_text("utf-8")
        if (count := source.count(self.text)) != 1:
            sys.exit(f"{self.name}: the text is in {self.file} {count} times, not once: mend the list\n{self.text}")
        mutated = source.replace(self.text, self.replacement)
        compile(mutated, self.file, "exec")
        return mutated


ALGORITHM = "lwsam_ref/algorithms/layerwise_sam.py"
PERTURBATION = "lwsam_ref/algorithms/perturbation.py"
SELECTION = "lwsam_ref/algorithms/selection.py"
TAPE = "lwsam_ref/tape.py"
NETWORK = "lwsam_ref/network.py"
OBJECTIVE = "lwsam_ref/objective.py"
LAYERS = "lwsam_ref/layers.py"
TRAIN, TRAINER = "lwsam_ref/train.py", "lwsam_ref/trainer.py"
COMM, FILES = "lwsam_ref/comm.py", "lwsam_ref/files.py"
CHECKPOINT, RECORD = "lwsam_ref/checkpoint.py", "lwsam_ref/record.py"
METHODS = "lwsam_ref/methods.py"
NORM = "lwsam_ref/ops/normalization.py"
CONVOLUTION = "lwsam_ref/ops/convolution.py"
LOOKSAM = "lwsam_ref/algorithms/looksam.py"
ESAM = "lwsam_ref/algorithms/esam.py"
SPARSE = "lwsam_ref/algorithms/sparse_sam.py"
BUDGET = "lwsam_ref/budget.py"
COST = "lwsam_ref/cost.py"
APPENDIX = "proofs/appendix.py"
PROBLEMS = "proofs/problems.py"

FAULTS = (
    # -- which layers
    Fault(
        "norms of two steps ago select",
        ALGORITHM,
        'return step, {"descent_norms": step.descent_norms}',
        'return step, {"descent_norms": state.get("next", norms), "next": step.descent_norms}',
        "laws",
    ),
    Fault(
        "norms of the ascent select",
        ALGORITHM,
        "return Step(update, loss, descent.squared_norms()",
        "descent.assign(ascent)\n    return Step(update, loss, descent.squared_norms()",
        "laws",
    ),
    Fault(
        "norms of the update select",
        ALGORITHM,
        "loss, descent.squared_norms()",
        "loss, update.squared_norms()",
        "laws",
    ),
    Fault("ties go to the input", SELECTION, "(rank[i], -i)", "(rank[i], i)", "selection"),
    Fault(
        "high and low swapped", SELECTION, '{"high": high, "low": low,', '{"high": low, "low": high,', "cli selection"
    ),
    Fault("high takes the smallest", SELECTION, "[-n for n in", "[n for n in", "selection"),
    Fault("k + 1 layers", SELECTION, "(rank[i], -i))[:k]", "(rank[i], -i))[: k + 1]", "selection"),
    Fault("chance ignores the step", SELECTION, '"selection", *key)', '"selection", *key[:1])', "selection"),
    Fault(
        "the selection in order of rank",
        SELECTION,
        "for i in sorted(chosen))",
        "for i in chosen)",
        "selection",
    ),
    # -- the step
    Fault("the wrong sign of the perturbation", ALGORITHM, "weights, climb)", "weights, -1 * climb)", "laws"),
    Fault("no factor r", ALGORITHM, "weights, climb)", "weights, ascent)", "laws"),
    Fault(
        "a layer that is not selected is perturbed",
        ALGORITHM,
        "at_w.backward(only=selected)",
        "at_w.backward(only=(*selected, f.weights.layers[0]))",
        "laws",
    ),
    Fault("no blend", ALGORITHM, "update = blend(ascent, descent, alpha)", "update = descent.copy()", "laws"),
    Fault(
        "the blend on all layers",
        ALGORITHM,
        "blend(ascent, descent, alpha)",
        "blend(f.forward(batch).backward(), descent, alpha)",
        "laws",
    ),
    Fault(
        "the loss at w + e told as that at w",
        ALGORITHM,
        "Step(update, loss,",
        "Step(update, at_perturbed.loss,",
        "laws",
    ),
    Fault(
        "alpha swapped with 1 - alpha",
        PERTURBATION,
        "(1 - alpha) * ascent + alpha * descent",
        "alpha * ascent + (1 - alpha) * descent",
        "laws",
    ),
    Fault("weights stay perturbed", PERTURBATION, "        weights.assign(before)", "        pass", "laws"),
    Fault(
        "restored by subtraction",
        PERTURBATION,
        "weights.assign(before)",
        "weights.add(-1 * perturbation)",
        "laws",
    ),
    Fault(
        "not restored after an exception",
        PERTURBATION,
        "    try:\n        weights.add(perturbation)\n        yield\n    finally:\n        weights.assign(before)",
        "    weights.add(perturbation)\n    yield\n    weights.assign(before)",
        "laws",
    ),
    Fault("rho not divided by the norm", PERTURBATION, "self.rho / (norm + ~usable)", "self.rho", "laws"),
    Fault(
        "rho divided by the squared norm",
        PERTURBATION,
        "np.sqrt(ascent.squared_norm())",
        "ascent.squared_norm()",
        "laws",
    ),
    Fault(
        "rho divided by the norm of one layer",
        PERTURBATION,
        "np.sqrt(ascent.squared_norm())",
        "np.sqrt(max(ascent.squared_norms(), default=ascent.squared_norm()))",
        "laws",
    ),
    Fault(
        "a gradient of 0 divided by its norm",
        PERTURBATION,
        "usable * (self.rho / (norm + ~usable))",
        "self.rho / norm",
        "laws",
    ),
    Fault("squared norms summed in float32", "lwsam_ref/vector.py", "wide = _wide(x)", "wide = x", "vector"),
    # -- cone and tape
    Fault(
        "the ascent visits everything",
        TAPE,
        "self.network.nodes, self.network.cone(part)",
        "self.network.nodes, self.network.cone(self.network.weights.layout)",
        "cone",
    ),
    Fault(
        "the second pass visits everything",
        TAPE,
        "after._walk(sorted(self.network.cone(part)))",
        "after._walk(range(len(self.network.nodes)))",
        "cone",
    ),
    Fault(
        "resumed behind the first node of the cone",
        TAPE,
        "sorted(self.network.cone(part)))",
        "sorted(self.network.cone(part))[1:])",
        "cone",
    ),
    Fault(
        "resumed without the joins",
        TAPE,
        "after._walk(sorted(self.network.cone(part)))",
        "after._walk(i for i in sorted(self.network.cone(part)) if len(self.network.nodes[i].inputs) < 2)",
        "cone",
    ),
    Fault(
        "a cone that does not go through shortcuts",
        NETWORK,
        "cone.isdisjoint(node.inputs)",
        "cone.isdisjoint(node.inputs[:1])",
        "holes",
    ),
    Fault(
        "the frontier is the last node", NETWORK, "min(self.cone(part), default", "max(self.cone(part), default", "cone"
    ),
    Fault(
        "resume does not consume",
        TAPE,
        "after._entries, self._entries = self._alive(), None",
        "after._entries = list(self._alive())",
        "cone",
    ),
    Fault("gradients dropped where two paths meet", TAPE, "arriving[j] + gx if", "gx if", "gradients"),
    Fault(
        "gradients counted twice where two paths meet",
        TAPE,
        "arriving[j] + gx if",
        "arriving[j] + gx + gx if",
        "gradients",
    ),
    Fault(
        "a dropout mask drawn anew when resumed",
        TAPE,
        "(*self.run.key, i)",
        "(*self.run.key, i, len(self.passes))",
        "cone",
    ),
    Fault("one dropout mask for all nodes", TAPE, "key=(*self.run.key, i))", "key=self.run.key)", "holes"),
    Fault(
        "a value on the tape overwritten by a sum",
        LAYERS,
        "return xs[0] + xs[1], None",
        "return np.add(xs[0], xs[1], out=xs[0]), None",
        "gradients",
    ),
    Fault(
        "a gradient overwritten that two branches share",
        "lwsam_ref/ops/activation.py",
        "return gy * (y > 0)",
        "return np.multiply(gy, y > 0, out=gy)",
        "gradients",
    ),
    # -- LookSAM
    Fault("roundings are reused", LOOKSAM, "(4 * eps) ** 2", "0 * eps", "methods"),
    Fault("the part along the gradient added", LOOKSAM, "rest = whole - (", "rest = whole + (", "methods"),
    Fault(
        "LookSAM keeps the gradient whole",
        LOOKSAM,
        "for part in parts:\n        along, whole",
        "for part in parts[:0]:\n        along, whole",
        "methods",
    ),
    Fault(
        "gradient and SAM gradient swapped", LOOKSAM, "orthogonal(h, g, parts)", "orthogonal(g, h, parts)", "methods"
    ),
    Fault("the reused part at its old length", LOOKSAM, "a * ratio", "a", "methods"),
    Fault("the squared ratio of the lengths", LOOKSAM, "ratio = np.sqrt(", "ratio = (", "methods"),
    Fault(
        "an interval off by one", LOOKSAM, "if number % self.interval:", "if number % (self.interval + 1):", "methods"
    ),
    Fault("layer by layer is as a whole", LOOKSAM, "if not self.per_layer:", "if True:", "methods"),
    Fault(
        "parts without what belongs to no layer", LOOKSAM, "in layout.layers), rest", "in layout.layers),", "methods"
    ),
    # -- ESAM
    Fault(
        "a mask without 1 / beta",
        PERTURBATION,
        "(kept if self.beta == 1 else (1 / self.beta) * kept)",
        "kept",
        "methods",
    ),
    Fault("a mask ignored", PERTURBATION, "kept = e.scaled(self.mask)", "kept = e", "methods"),
    Fault("a mask inverted", ESAM, "draw(layout.size) < self.beta", "draw(layout.size) >= self.beta", "methods"),
    Fault("a mask that ignores the step", ESAM, 'weights", self.seed, number)', 'weights", self.seed)', "methods"),
    Fault("the samples of largest loss", ESAM, "at_perturbed.losses - losses", "at_perturbed.losses", "methods"),
    Fault("the descent takes every sample", ESAM, "f.forward(hardest)", "f.forward(batch)", "methods"),
    Fault("the easiest samples", OBJECTIVE, "np.argsort(-scores", "np.argsort(scores", "methods"),
    Fault(
        "samples in the order of their scores",
        OBJECTIVE,
        'np.sort(np.argsort(-scores, kind="stable")[:count])',
        'np.argsort(-scores, kind="stable")[:count]',
        "methods",
    ),
    Fault("no sample at all", OBJECTIVE, "max(1, round(share * ", "max(0, round(share * ", "methods"),
    Fault(
        "chosen samples take the masks of others",
        LAYERS,
        "rows, whole = self.rows or (slice(None), shape[0])",
        "rows, whole = slice(None), shape[0]",
        "methods",
    ),
    # -- sparse SAM
    Fault(
        "Fisher information of the batch's gradient",
        SPARSE,
        "in f.singly(batch, samples):",
        "in [f.forward(batch)]:",
        "methods",
    ),
    Fault("Fisher information without the square", SPARSE, "gradient.scaled(gradient.data)", "gradient", "methods"),
    Fault(
        "Fisher information of the smoothed loss",
        OBJECTIVE,
        "replace(self, label_smoothing=0.0, decay=0.0)",
        "self",
        "methods",
    ),
    Fault("a Fisher mask inverted", SPARSE, "np.argsort(-scores", "np.argsort(scores", "methods"),
    Fault("a Fisher mask made a step late", SPARSE, "self.refresh == 0", "self.refresh == 1", "methods"),
    Fault("the share that is not perturbed is", SPARSE, "round((1 - self.sparsity)", "round(self.sparsity", "methods"),
    # -- adaptive SAM
    Fault("T once", PERTURBATION, "(r * scaled).scaled(t), r", "r * scaled, r", "methods"),
    Fault(
        "an adaptive radius by the plain norm",
        PERTURBATION,
        "self.plain.factor(scaled)",
        "self.plain.factor(ascent)",
        "methods",
    ),
    Fault("the stabiliser left out", PERTURBATION, ".data) + self.stabiliser", ".data)", "methods"),
    # -- the budget
    Fault("weight gradients are free", BUDGET, "price = self.gradients[layer]", "price = 0", "budget"),
    Fault("dear cones are not opened", BUDGET, "opened(larger)) >= 0", "opened(larger)) >= self.limit // 2", "budget"),
    Fault("lists of cones that are no part", BUDGET, "if unions[i] <= nodes", "if unions[i]", "budget"),
    Fault("the cheapest choice, not the best", BUDGET, "for c in reversed(choices)", "for c in choices", "budget"),
    Fault(
        "the number of layers has no say", BUDGET, "choice[1:3] > kept[-1][1:3]", "choice[1] > kept[-1][1]", "budget"
    ),
    Fault("a budget relative to the forward pass", BUDGET, "share * costs.sgd", "share * costs.forward", "budget"),
    # -- costs
    Fault("what is executed ignores the samples", COST, "walk.samples * sum(", "sum(", "ledger"),
    Fault("Eq. 8 for a resumed step", COST, "self.forward if afresh else", "self.forward if True else", "ledger"),
    Fault("Eq. 9 without the second way back", COST, "(self.backward + self.resume(", "(self.resume(", "ledger"),
    Fault("ESAM's second pass for nothing", COST, "self.forward + self.above(", "self.above(", "ledger"),
    Fault("the way back leaves the cone", COST, " if j in inside)", ")", "ledger"),
    Fault("Fisher information at the price of training", COST, "in self.work[False]", "in self.work[True]", "ledger"),
    Fault("a convolution at half its price", LAYERS, "n = 2 * self.size**2", "n = self.size**2", "ledger"),
    Fault(
        "notes of what was not asked for",
        TAPE,
        "Visit(i, want, tuple(wanted))",
        "Visit(i, (True,) * len(want), tuple(wanted))",
        "ledger",
    ),
    Fault(
        "a Fisher mask paid at every step",
        "lwsam_ref/cost_table.py",
        "(c.refresh * c.batch_size)",
        "c.batch_size",
        "ledger",
    ),
    # -- as at test time
    Fault(
        "a running norm's gradient without gamma",
        NORM,
        "gy * (gamma * inverse).astype",
        "gy * inverse.astype",
        "gradients",
    ),
    Fault(
        "gamma's gradient of a running norm without the deviation",
        NORM,
        "as_rows(gy), x.shape[-1]) * inverse",
        "as_rows(gy), x.shape[-1])",
        "gradients",
    ),
    # -- running statistics
    Fault("running statistics move twice", OBJECTIVE, 'if self.f.bn_moves == "twice":', "if True:", "cone"),
    Fault(
        "running statistics move from the perturbed pass",
        ALGORITHM,
        """    at_w.commit()
    climb, r = radius.climb(f.weights, f.uphill(own, ascent))
    with perturbed(f.weights, climb):
        at_perturbed = at_w.resume(selected)  # line 6: forward over the cone only; consumes at_w
""",
        """    climb, r = radius.climb(f.weights, f.uphill(own, ascent))
    with perturbed(f.weights, climb):
        at_perturbed = at_w.resume(selected)
        at_perturbed.commit()
""",
        "cone",
    ),
    Fault("the running variance is biased", LAYERS, "variance * (count / max(1, count - 1))", "variance", "cone"),
    Fault(
        "running statistics used in training",
        OBJECTIVE,
        "Run(self.network.device, True, ",
        "Run(self.network.device, False, ",
        "cone",
    ),
    Fault(
        "batch statistics used when testing",
        OBJECTIVE,
        "Run(self.network.device, training=False), None)",
        "Run(self.network.device, training=True), None)",
        "holes",
    ),
    Fault(
        "a probe moves running statistics",
        "lwsam_ref/probe.py",
        "found = at_w.loss,",
        "at_w.commit()\n        found = at_w.loss,",
        "holes",
    ),
    # -- kernels
    Fault(
        "batch norm's gradient without that of the variance",
        NORM,
        "slope = -scale * inverse * all_gamma / count",
        "slope = 0 * scale",
        "gradients",
    ),
    Fault(
        "batch norm's gradient without that of the mean",
        NORM,
        "offset = -scale * all_beta / count",
        "offset = 0 * scale",
        "gradients",
    ),
    Fault(
        "convolution's gradient without the flip",
        CONVOLUTION,
        "turned = w[::-1, ::-1].transpose",
        "turned = w.transpose",
        "gradients",
    ),
    Fault(
        "a strided gradient off by one pixel",
        CONVOLUTION,
        "gx[block] = padded[:, pad : pad + height, pad : pad + width]",
        "gx[block] = padded[:, :height, :width]",
        "gradients",
    ),
    Fault(
        "average pool's gradient without 1 / (H W)",
        "lwsam_ref/ops/pooling.py",
        "gy / (height * width)",
        "gy / 1",
        "gradients",
    ),
    Fault("ReLU's gradient 1 at 0", "lwsam_ref/ops/activation.py", "(y > 0)", "(y >= 0)", "gradients"),
    Fault(
        "dropout does not scale what it keeps",
        "lwsam_ref/ops/activation.py",
        "(keep * (1.0 / (1.0 - rate)))",
        "keep",
        "holes",
    ),
    Fault(
        "dropout when testing",
        LAYERS,
        "if not run.training:\n            return xs[0], None",
        "if False:\n            return xs[0], None",
        "holes",
    ),
    Fault(
        "no label smoothing in the gradient",
        "lwsam_ref/ops/cross_entropy.py",
        "gz -= smoothing / k",
        "gz -= 0",
        "gradients",
    ),
    Fault("the gradient of the summed loss", "lwsam_ref/ops/cross_entropy.py", "gz /= n", "gz /= 1", "gradients"),
    Fault(
        "dropout keeps the share that it should drop",
        LAYERS,
        "(whole, *shape[1:]))[rows] >= rate",
        "(whole, *shape[1:]))[rows] < rate",
        "holes",
    ),
    Fault("initial weights twice as wide", LAYERS, "np.sqrt(6.0 / (", "np.sqrt(24.0 / (", "holes"),
    # -- decay, momentum, schedule
    Fault("weight decay on gamma and beta", OBJECTIVE, 'if t.role in ("kernel", "bias"):', "if True:", "gradients"),
    Fault(
        "weight decay in the ascent alone",
        OBJECTIVE,
        "if self.f._decayed is not None:",
        "if self.f._decayed is not None and only is not None:",
        "gradients",
    ),
    Fault(
        "weight decay in the descent alone",
        OBJECTIVE,
        "if self.f._decayed is not None:",
        "if self.f._decayed is not None and only is None:",
        "cone laws",
    ),
    Fault("no momentum", "lwsam_ref/optimizer.py", "u *= self.momentum", "u *= 0", "data"),
    Fault(
        "Nesterov's step",
        "lwsam_ref/optimizer.py",
        "w -= lr * u",
        "w -= lr * (self.momentum * u + update.data)",
        "data",
    ),
    Fault(
        "the learning rate drops an epoch late",
        "lwsam_ref/optimizer.py",
        "epoch >= round",
        "epoch > round",
        "data lwsam_ref/optimizer.py",
    ),
    # -- data
    Fault("epochs ignore the seed", "lwsam_ref/data/epochs.py", '"epoch", seed, epoch', '"epoch", 0, epoch', "data"),
    Fault("epochs are all alike", "lwsam_ref/data/epochs.py", '"epoch", seed, epoch', '"epoch", seed, 0', "data"),
    Fault(
        "the last partial batch is kept",
        "lwsam_ref/data/epochs.py",
        "return n // batch_size",
        "return -(-n // batch_size)",
        "data",
    ),
    Fault("crops to one side", "lwsam_ref/data/augment.py", "0, 2 * pad + 1, (2, n", "0, pad + 1, (2, n", "holes"),
    Fault("every image flipped", "lwsam_ref/data/augment.py", "< 0.5", "< 1.5", "data"),
    Fault(
        "augmentation ignores the step",
        TRAINER,
        "key = self.config.seed, number\n",
        "key = self.config.seed, 0\n",
        "holes",
    ),
    Fault(
        "dropout ignores the step",
        OBJECTIVE,
        "(self.seed, batch.step), batch.rows",
        "(self.seed, 0), batch.rows",
        "holes",
    ),
    # -- from the options to the run
    Fault("a checkpoint without running statistics", TRAINER, '"buffers": self.network.buffers.data,', "", "holes"),
    Fault("a checkpoint without velocity", TRAINER, '"velocity": self.optimizer.velocity.data,', "", "holes"),
    Fault(
        "a checkpoint without the norms",
        TRAINER,
        "            **state,\n",
        "",
        "holes",
    ),
    Fault("k + 1 of the options", METHODS, "LayerwiseSAM(c.k,", "LayerwiseSAM(c.k + 1,", "holes"),
    Fault("rho ignored", METHODS, "if config.rho > 0", "if False", "holes"),
    Fault("the criterion ignored", METHODS, "CRITERIA[c.criterion]", 'CRITERIA["high"]', "holes"),
    Fault(
        "alpha ignored",
        METHODS,
        "GeneralizedSAM(how, c.alpha)",
        "GeneralizedSAM(how, 1.0)",
        "holes",
    ),
    Fault("label smoothing ignored", TRAINER, "label_smoothing=config.label_smoothing,", "", "holes"),
    Fault("bn_moves ignored", TRAINER, "bn_moves=config.bn_moves,", "", "holes"),
    Fault("perturb ignored", TRAINER, "perturb=config.perturb,", "", "holes"),
    Fault("decay in optimiser and loss", TRAINER, "if not in_loss:", "if True:", "holes"),
    # -- on disk, by signals and among ranks
    Fault(
        "a mean over ranks that is a sum",
        COMM,
        "return self.total(array) / self.size",
        "return self.total(array)",
        "comm",
    ),
    Fault("ranks that differ go on", COMM, "if other != texts[0]:", "if False:", "parallel"),
    Fault("a write that failed leaves its part", FILES, "temporary.unlink(missing_ok=True)", "pass", "checkpoint"),
    Fault("the checkpoint before not kept", CHECKPOINT, ", keep=folder / BEFORE)", ")", "checkpoint"),
    Fault("a checksum not compared", CHECKPOINT, "not np.array_equal(digest, _digest(arrays))", "False", "checkpoint"),
    Fault("two processes in a folder", FILES, "fcntl.LOCK_EX |", "fcntl.LOCK_SH |", "checkpoint"),
    Fault("lines behind a checkpoint not cut off", RECORD, "self._metrics.truncate()", "pass", "resume"),
    Fault(
        "replicas that differ get into a checkpoint",
        TRAIN,
        '    same(trainer.comm, {"the state": trainer.digest})\n',
        "",
        "parallel",
    ),
    Fault(
        "an evaluation that is due forgotten",
        TRAIN,
        "_save(trainer, record, epoch)",
        "_save(trainer, record, epoch + 1)",
        "resume",
    ),
    Fault("a run interrupted without a checkpoint", TRAIN, "_save(trainer, record, epoch)", "pass", "resume"),
    # -- statements and their testers
    Fault(
        "Theorem A with 3/8 for 1/4",
        APPENDIX,
        "e.x * e.x * e.sp2)\n    left = e.loss - e.eta * e.g2 / 4 + allowed",
        "e.x * e.x * e.sp2)\n    left = e.loss - 3 * e.eta * e.g2 / 8 + allowed",
        "verify",
    ),
    Fault(
        "Theorem A without the ascent's noise",
        APPENDIX,
        "allowed = e.eta * (e.z * e.s2 + e.x * e.x * e.sp2)",
        "allowed = e.eta * e.z * e.s2",
        "verify",
    ),
    Fault("Theorem B without 1 in 1 + z", APPENDIX, "(1 + e.z) * climbed", "e.z * climbed", "verify"),
    Fault(
        "Theorem C with 2 + z q",
        APPENDIX,
        "promised = e.z * q * (2 - e.z * q)",
        "promised = e.z * q * (2 + e.z * q)",
        "verify",
    ),
    Fault(
        "Lemma A.2 with kappa for its root",
        APPENDIX,
        "left = e.x * e.x * e.pg2 * e.g2",
        "left = e.x * e.x * e.pg2 * e.pg2",
        "verify",
    ),
    Fault(
        "Lemma A.3 without the noise",
        APPENDIX,
        "right = e.g2 / 2 - e.x * e.pg2 - e.x * e.x * e.s2 / 2",
        "right = e.g2 / 2 - e.x * e.pg2",
        "verify",
    ),
    Fault(
        "a false statement declared true",
        APPENDIX,
        '"as printed, beyond x = 2", "false"',
        '"as printed, beyond x = 2", "true"',
        "verify",
    ),
    Fault(
        "the penalty on the other layers",
        "proofs/section3.py",
        "d = 1 - (1 - alpha) * self.p",
        "d = alpha + (1 - alpha) * self.p",
        "verify",
    ),
    Fault(
        "Theorem D with x for its square",
        "proofs/worst_case.py",
        "- z * mu * x**2 * kappa / 2",
        "- z * mu * x * kappa / 2",
        "proofs/worst_case.py",
    ),
    Fault(
        "a path left out",
        "proofs/trajectory.py",
        "for batch in self.batches:\n            step",
        "for batch in self.batches[:1]:\n            step",
        "proofs",
    ),
    Fault(
        "beta of ridges the mean, not the largest",
        PROBLEMS,
        "(a * a).sum(axis=1).max()",
        "(a * a).sum(axis=1).mean()",
        "proofs",
    ),
    Fault(
        "beta of a quadratic half of what it is",
        PROBLEMS,
        "/ (u @ u)\n    return q @ (d[:, None] * q) / 4",
        "/ (u @ u)\n    return q @ (d[:, None] * q) / 2",
        "proofs",
    ),
    Fault(
        "beta of the small network without its slope",
        PROBLEMS,
        "hidden * (1 + length**2) + block,",
        "block,",
        "holes",
    ),
)


# -- the checks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """By what a fault was caught (None: by nothing), and how long it took."""

    fault: Fault
    by: str | None
    seconds: float


def pytest_configure() -> None:
    """This file as a plugin: the copy is what is tested, and Hypothesis neither draws anew nor shrinks."""
    from hypothesis import Phase, settings

    here()
    settings.register_profile(
        "trial", settings(), phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
    )
    settings.load_profile("trial")


def here() -> None:
    """The package comes from the working directory, wherever another is installed."""
    import lwsam_ref
    import nets
    import proofs

    for package in (lwsam_ref, nets, proofs):
        if Path(str(package.__file__)).resolve().parent.parent != Path.cwd().resolve():
            sys.exit(f"asked to test the copy in {Path.cwd()}, but {package.__file__} was imported")


def statements() -> None:
    """`lwsam verify`, up to the first row that is not as declared; status 1 if there is one."""
    here()
    from proofs.verify import QUICK, tasks

    for task in tasks(QUICK, False):
        found = task()
        for row in found if isinstance(found, list) else [found]:
            if not row.as_declared:
                print(f"FAILED verify: {row.source} ({row.statement}; {row.method})")
                sys.exit(1)


def run(copy: Path, *command: str) -> tuple[int | None, str]:
    """Status (None past the limit) and output of a Python command in the copy, its packages before any other."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "scripts")]),
        "PYTHONDONTWRITEBYTECODE": "1",  # a fault of the same length in the same second would be taken for the old file
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *command],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, output


def check(copy: Path, what: Sequence[str], without: Sequence[str] = (), jobs: int = 0) -> str | None:
    """What fails first of test files, or of the statements; None if nothing does."""
    if what == [VERIFY]:
        status, output = run(copy, "-c", "import mutate; mutate.statements()")
    else:
        left_out = [f"--ignore={file}" for file in (*READ_THE_SOURCE, *without)] + [f"--deselect={THE_COMMAND}"]
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "mutate", "--tb=no", "-rfE", "-m", MARKS]
        options += ["-n", str(jobs)] if jobs else []
        status, output = run(copy, "-m", "pytest", *options, *left_out, *what)
    if status == 0:
        return None
    if status is None:
        return f"no end in {LIMIT} s: {' '.join(what)}"
    if status != 1:
        sys.exit(f"{' '.join(what)}: status {status}\n{output}")
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return found[1] if found else output.strip().splitlines()[-1]


def tries(fault: Fault) -> Iterator[tuple[list[str], list[str]]]:
    """What to check, in order: as named in ``first``, then all other tests, then the statements."""
    files = [n if "/" in n else f"tests/test_{n}.py" for n in fault.first.split() if n != VERIFY]
    if files:
        yield files, []
    if VERIFY in fault.first.split():
        yield [VERIFY], []
    yield list(COLLECTED), files
    if VERIFY not in fault.first.split():
        yield [VERIFY], []


def trial(fault: Fault, original: Path, copies: SimpleQueue[Path]) -> Seen:
    """The fault in a copy that is free, up to the first check that sees it."""
    start, copy = time.perf_counter(), copies.get()
    mutated = fault.mutated(original)
    try:
        (copy / fault.file).write_text(mutated, "utf-8")
        by = next((by for what, without in tries(fault) if (by := check(copy, what, without))), None)
    finally:
        shutil.copyfile(original / fault.file, copy / fault.file)
        copies.put(copy)
    return Seen(fault, by, time.perf_counter() - start)


def copy_project(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(ROOT / name, to / name)
    return to


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="faults with this in their name (again: or this)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults at a time [default: the cores]")
    parser.add_argument("--list", action="store_true", help="print the faults and do nothing")
    arguments = parser.parse_args()
    faults = [fault for fault in FAULTS if any(part.lower() in fault.name.lower() for part in arguments.only or [""])]
    if arguments.list:
        print("\n".join(f"{fault.name}  ({fault.file})" for fault in faults))
        return 0
    if not faults:
        sys.exit(f"asked for {' or '.join(arguments.only)}, but no fault has that in its name: see --list")
    start = time.perf_counter()
    with TemporaryDirectory(prefix="mutate-") as folder:
        original = copy_project(Path(folder) / "original")
        for fault in faults:
            fault.mutated(original)
        with ThreadPoolExecutor(2) as pool:
            for failed in pool.map(
                lambda what: check(original, what, jobs=arguments.jobs), ([VERIFY], list(COLLECTED))
            ):
                if failed:
                    sys.exit(f"without any fault, {failed} fails: mend that first")
        print(f"without any fault all is green: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        copies: SimpleQueue[Path] = SimpleQueue()
        for i in range(arguments.jobs):
            copies.put(Path(shutil.copytree(original, Path(folder) / str(i))))
        found = []
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for seen in pool.map(lambda fault: trial(fault, original, copies), faults):
                found.append(seen)
                print(f"{seen.fault.name}: {seen.by or 'SURVIVES'}", file=sys.stderr, flush=True)
    width = max(len(seen.fault.name) for seen in found)
    print(f"{'fault':{width}}  seconds  caught by")
    for seen in found:
        print(f"{seen.fault.name:{width}}  {seen.seconds:7.1f}  {seen.by or 'NOTHING: it survives'}")
    survivors = [seen.fault.name for seen in found if seen.by is None]
    said = f", {len(survivors)} survive: {'; '.join(survivors)}" if survivors else ", all caught"
    print(f"{len(found)} faults{said}; {time.perf_counter() - start:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

"""The methods, each on a screen, each a function of an objective and a batch.

They know the protocol and the vector, nothing else: what trains a network is what the theorems are tested on.
"""

from lwsam_ref.algorithms.esam import ESAM
from lwsam_ref.algorithms.generalized_sam import GeneralizedSAM, generalized_sam
from lwsam_ref.algorithms.layerwise_sam import LayerwiseSAM, layerwise_sam
from lwsam_ref.algorithms.looksam import LookSAM
from lwsam_ref.algorithms.perturbation import Adaptive, Masked, Normalised, Radius, Raw, blend, perturbed
from lwsam_ref.algorithms.protocol import (
    Evaluation,
    Method,
    Objective,
    SampledEvaluation,
    SampledObjective,
    State,
    Step,
)
from lwsam_ref.algorithms.selection import CRITERIA, high, low, random
from lwsam_ref.algorithms.sgd import SGD, sgd
from lwsam_ref.algorithms.sparse_sam import SparseSAM

__all__ = [
    "CRITERIA",
    "ESAM",
    "SGD",
    "Adaptive",
    "Evaluation",
    "GeneralizedSAM",
    "LayerwiseSAM",
    "LookSAM",
    "Masked",
    "Method",
    "Normalised",
    "Objective",
    "Radius",
    "Raw",
    "SampledEvaluation",
    "SampledObjective",
    "SparseSAM",
    "State",
    "Step",
    "blend",
    "generalized_sam",
    "high",
    "layerwise_sam",
    "low",
    "perturbed",
    "random",
    "sgd",
]

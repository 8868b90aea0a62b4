"""The methods, each on a screen, each a function of an objective and a batch.

They know the protocol and the vector, nothing else: what trains a network is what the theorems are tested on.
"""

from lwsam_ref.algorithms.generalized_sam import GeneralizedSAM, generalized_sam
from lwsam_ref.algorithms.layerwise_sam import LayerwiseSAM, layerwise_sam
from lwsam_ref.algorithms.perturbation import Normalised, Radius, Raw, blend, perturbed
from lwsam_ref.algorithms.protocol import Consumed, Evaluation, Method, Objective, State, Step
from lwsam_ref.algorithms.selection import CRITERIA, high, low, random
from lwsam_ref.algorithms.sgd import SGD, sgd

__all__ = [
    "CRITERIA",
    "SGD",
    "Consumed",
    "Evaluation",
    "GeneralizedSAM",
    "LayerwiseSAM",
    "Method",
    "Normalised",
    "Objective",
    "Radius",
    "Raw",
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

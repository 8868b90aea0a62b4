"""Data sets, deterministic epochs, augmentation."""

from lwsam_ref.data.augment import crop_and_flip
from lwsam_ref.data.dataset import DATASETS, Dataset, Split, load
from lwsam_ref.data.epochs import batches, batches_per_epoch

__all__ = ["DATASETS", "Dataset", "Split", "batches", "batches_per_epoch", "crop_and_flip", "load"]

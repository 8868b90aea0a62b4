"""Reference implementation of layer-wise sharpness-aware minimisation (Lee, KDD 2024)."""

__version__ = "0.2.0"

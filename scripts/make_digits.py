"""Take the UCI handwritten digits once from scikit-learn into ``lwsam_ref/data/digits.npz``.

    pip install scikit-learn && python scripts/make_digits.py

The file holds ``images`` (1797, 8, 8) and ``labels`` (1797,), both uint8; pixels are 0 to 16. The archive is
written with fixed time stamps, so that the script makes the same bytes again.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "lwsam_ref" / "data" / "digits.npz"


def main() -> None:
    digits = load_digits()
    arrays = {"images": digits.images.astype(np.uint8), "labels": digits.target.astype(np.uint8)}
    if not np.array_equal(arrays["images"], digits.images):
        raise SystemExit("the pixels are no small integers: nothing written")
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED
            )
    print(TARGET, TARGET.stat().st_size, "bytes, sha256", hashlib.sha256(TARGET.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()

"""Features of an import beside those of the library that its weights come from."""

import functools
import importlib.util
from typing import Any

import jax
import numpy as np

from jax_ssl.interop.importing import Imported
from jax_ssl.interop.judges import judged

NEEDED = ("torch", "torchvision", "timm", "transformers")
IMAGES, SEED = 10, 0
# Of the standard deviation of the features. In float32 small networks differ by 1e-5
# of it, and deep ones by a little more; what is read wrongly differs by 1e-2.
TOLERANCE = 1e-4


def verified(found: Imported) -> dict[str, Any]:
    """The largest difference of features on ten images of random pixels.

    Pooled features and the grid are those of torchvision, timm or transformers, which
    read the file themselves.

    Raises:
        ValueError: if one of them is not installed, or the features differ.
    """
    if missing := [n for n in NEEDED if importlib.util.find_spec(n) is None]:
        raise ValueError(
            f"--verify compares with torch's features, and {', '.join(missing)} is not "
            "installed: pip install 'jax_ssl[verify]', or leave --verify out."
        )
    shape = list(found.card["input"]["shape"])
    if found.card["encoder"].get("positions") == "learned":
        # Where nothing is interpolated, on which the libraries differ.
        shape[:2] = [found.card["encoder"]["image_size"]] * 2
    images = np.random.default_rng(SEED).normal(size=(IMAGES, *shape))
    images = images.astype(np.float32)
    apply = functools.partial(found.encoder.apply, train=False)
    with jax.default_matmul_precision("highest"):
        ours = jax.jit(apply)(found.variables, images)
    judge, *theirs = judged(found, images)
    largest = {}
    for name, own, wanted in zip(
        ("pooled", "grid"), (ours.pooled, ours.grid), theirs, strict=True
    ):
        off = np.abs(np.asarray(own, np.float64) - wanted).max()
        spread = float(np.std(wanted))
        largest[name] = {"largest": float(off), "of_spread": float(off / spread)}
    worst = max(line["of_spread"] for line in largest.values())
    said = (
        f"verified with {judge} on {IMAGES} images: features differ by at most "
        f"{worst:.1e} of their standard deviation"
    )
    if not worst <= TOLERANCE:
        raise ValueError(
            f"{said}, which is more than {TOLERANCE:.0e}. The weights are not what "
            "they are read as; try another --from."
        )
    return {"judge": judge, "images": IMAGES, "differences": largest, "said": said}

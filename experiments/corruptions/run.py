"""The library's corruptions beside those of the PyPI package imagecorruptions.

Run:   pip install --no-deps imagecorruptions opencv-python-headless scikit-image \
           lazy_loader networkx imageio tifffile pooch "setuptools<81"
       PYTHONPATH=. python experiments/corruptions/run.py [--seed=3]

The package is Hendrycks & Dietterich's released code with ImageMagick's motion blur
written anew in Python (Michaelis et al., 2019, arXiv:1907.07484). Both draw the same
random numbers, except for impulses and glass, whose order of draws is another, and
frost, which is drawn here and photographed there. The image is scikit-image's
photograph of a cat, 224 x 224. Writes results.json and side_by_side.jpg, and prints the
mean absolute differences in levels of 255.
"""

import argparse
import pathlib
import sys
import types
import warnings

import numpy as np
from PIL import Image

from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.data.corrupted import cut
from jax_ssl.data.corruption_kinds import KINDS, SEVERITIES

HERE = pathlib.Path(__file__).parent
SHOWN = ("motion_blur", "snow", "glass_blur", "frost")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    judge, photograph = theirs(), cut(cat(), 224, 224)
    rows, pictures = [], []
    for kind, own in KINDS.items():
        for severity in SEVERITIES:
            np.random.seed(options.seed)
            other = np.asarray(judge[kind](Image.fromarray(photograph), severity))
            draws = Draws(options.seed)
            found = own.apply(photograph / 255, own.imagenet[severity - 1], draws)
            found = 255 * np.clip(found, 0, 1)
            rows.append(
                {
                    "kind": kind,
                    "severity": severity,
                    "mean_absolute_difference": distance(found, other),
                    "of_ours_to_the_photograph": distance(found, photograph),
                    "of_theirs_to_the_photograph": distance(other, photograph),
                }
            )
            if kind in SHOWN and severity in (1, 3, 5):
                pictures.append(np.concatenate([found, other], axis=1))
        print(kind, [row["mean_absolute_difference"] for row in rows[-5:]])
    write_json_atomic(HERE / "results.json", {"seed": options.seed, "rows": rows})
    lines = [np.concatenate(pictures[i : i + 3], axis=1) for i in range(0, 12, 3)]
    sheet = Image.fromarray(np.concatenate(lines).astype(np.uint8))
    sheet.save(HERE / "side_by_side.jpg", quality=80)


class Draws(np.random.RandomState):
    """NumPy's old generator with the word of the new one for integers."""

    def integers(self, low, high, size):
        return self.randint(low, high, size)


def theirs():
    """The package's functions by name, with the names that its dependencies lost."""
    import scipy.ndimage
    import skimage.filters

    warnings.simplefilter("ignore")
    np.float_ = np.float64
    old = types.ModuleType("scipy.ndimage.interpolation")
    old.map_coordinates = scipy.ndimage.map_coordinates
    sys.modules["scipy.ndimage.interpolation"] = old
    gaussian = skimage.filters.gaussian

    def named(image, *given, multichannel=False, **more):
        return gaussian(
            image, *given, channel_axis=-1 if multichannel else None, **more
        )

    skimage.filters.gaussian = named
    from imagecorruptions import corruptions

    return {kind: getattr(corruptions, kind) for kind in KINDS}


def cat():
    """scikit-image's photograph of a cat, uint8 [300, 451, 3]."""
    import skimage.data

    return skimage.data.chelsea()


def distance(a, b):
    """Mean absolute difference, in levels of 255."""
    return round(float(np.abs(np.float64(a) - np.float64(b)).mean()), 3)


if __name__ == "__main__":
    main()

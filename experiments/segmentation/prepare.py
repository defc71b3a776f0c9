"""Makes the .npz files that configs/unet_isbi.py and configs/segmenter_camvid.py read.

    PYTHONPATH=. python experiments/segmentation/prepare.py isbi FILE isbi.npz
    PYTHONPATH=. python experiments/segmentation/prepare.py camvid FOLDER camvid.npz \
        --height=120 --width=160

The first reads the 30 slices of the ISBI 2012 challenge, "images" and "labels" [30,
512, 512] uint8, 255 inside of a cell and 0 on a membrane. The second reads a folder of
camvid_{train,val,test}.npz, with the files of the images one after the other under
"jpeg", their borders under "offsets", and "labels" [N, 360, 480] uint8, of which 11 is
no class. With --height and --width images become means of areas, and masks the class of
the nearest pixel.
"""

import argparse
import io
import itertools
import pathlib

import numpy as np
from PIL import Image
from scipy import ndimage

from jax_ssl.core.fields import VOID
from jax_ssl.data.borders import border_distances

TEST_SLICES = 6  # The last ones.
CLASSES = {
    "isbi": ("membrane", "cell"),
    "camvid": (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name", choices=CLASSES)
    options.add_argument("source", type=pathlib.Path)
    options.add_argument("output", type=pathlib.Path)
    options.add_argument("--height", type=int, help="of the images that are written")
    options.add_argument("--width", type=int)
    given = options.parse_args()
    sides = None if given.height is None else (given.height, given.width)
    make = {"isbi": isbi, "camvid": camvid}[given.name]
    arrays = make(given.source, sides)
    names = np.array(CLASSES[given.name])
    np.savez_compressed(given.output, mask_names=names, **arrays)
    for name, array in arrays.items():
        print(f"{name}: {array.dtype} {array.shape}")
    describe(arrays["train_mask"], names)


def isbi(path, sides):
    """The slices in order, and how far pixels are from the borders of the cells."""
    with np.load(path) as stored:
        images, labels = stored["images"], stored["labels"]
    images = np.stack([shrunk(image, sides) for image in images])[..., None]
    masks = np.stack([nearest(label > 127, sides) for label in labels]).astype(np.uint8)
    borders = np.stack([border_distances(ndimage.label(mask)[0]) for mask in masks])
    made = {"image": images, "mask": masks, "borders": borders}
    parts = {"train": slice(-TEST_SLICES), "test": slice(-TEST_SLICES, None)}
    return {
        f"{part}_{name}": values[rows]
        for part, rows in parts.items()
        for name, values in made.items()
    }


def camvid(folder, sides):
    """The three parts of SegNet's split."""
    made = {}
    for part in ("train", "val", "test"):
        with np.load(folder / f"camvid_{part}.npz") as stored:
            jpeg, offsets, labels = (stored[k] for k in ("jpeg", "offsets", "labels"))
        files = [jpeg[a:b].tobytes() for a, b in itertools.pairwise(offsets)]
        images = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
        masks = np.where(labels == len(CLASSES["camvid"]), VOID, labels)
        made[f"{part}_image"] = np.stack([shrunk(image, sides) for image in images])
        made[f"{part}_mask"] = np.stack([nearest(mask, sides) for mask in masks])
    return made


def shrunk(image, sides):
    """An image [H, W] or [H, W, 3] uint8 of these sides, the mean of areas."""
    if sides is None:
        return image
    return np.asarray(Image.fromarray(image).resize(sides[::-1], Image.Resampling.BOX))


def nearest(mask, sides):
    """A mask [H, W] of these sides, the class of the pixel in the middle."""
    if sides is None:
        return mask
    rows, columns = (
        ((np.arange(n) + 0.5) * whole / n).astype(int)
        for n, whole in zip(sides, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def describe(masks, names):
    """Prints how often each class occurs, and the weight that makes up for it.

    The weight is the median frequency over its own: the frequency of a class is its
    share of the pixels of the images in which it occurs (Eigen & Fergus, 2015, arXiv
    1411.4734, section 6.3.2, as SegNet has it).
    """
    counted = (masks != VOID).sum((1, 2))
    each = np.stack([(masks == k).sum((1, 2)) for k in range(len(names))])
    share = each.sum(1) / np.maximum((counted * (each > 0)).sum(1), 1)
    weights = np.median(share) / share
    for name, number, weight in zip(names, each.sum(1), weights, strict=True):
        print(
            f"{name}: {number / counted.sum():.2%} of the pixels, weight {weight:.3f}"
        )
    print("class_weights =", tuple(round(float(w), 3) for w in weights))


if __name__ == "__main__":
    main()

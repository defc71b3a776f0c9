"""Coloured shapes on textured grounds, and their boxes, in the layout of COCO.

    python experiments/detection/shapes.py --output=shapes

Each picture has one to four discs, squares and triangles whose boxes do not overlap by
more than a tenth; colour, place and size say nothing about the class.
"""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image

CLASSES = ("disc", "square", "triangle")
MOST, SIDE = 4, 64
PARTS = {"train": 1024, "test": 256}


def drawn(rng):
    """One picture [64, 64, 3] uint8 and its boxes [4, 5], rows of -1 where none is."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    wave = np.sin((x * rng.normal() + y * rng.normal()) / 6 + rng.uniform(0, 6))
    image = rng.uniform(0.1, 0.9, 3) + 0.08 * wave[..., None]
    image = image + rng.normal(0, 0.03, image.shape)
    boxes = np.full((MOST, 5), -1, np.float32)
    taken = np.zeros((SIDE, SIDE), bool)
    for i in range(rng.integers(1, MOST + 1)):
        number, r = rng.integers(len(CLASSES)), rng.uniform(5, 16)
        cx, cy = rng.uniform(r, SIDE - r, 2)
        u, v = (x - cx) / r, (y - cy) / r
        shape = {
            "disc": np.hypot(u, v) < 1,
            "square": np.maximum(abs(u), abs(v)) < 1,
            "triangle": (abs(u) < (1 + v) / 2) & (v < 1),
        }[CLASSES[number]]
        if (taken & shape).sum() > 0.1 * shape.sum():
            continue
        taken |= shape
        colour = (image[int(cy), int(cx)] + rng.uniform(0.3, 0.7, 3)) % 1
        image[shape] = colour + rng.normal(0, 0.03, (shape.sum(), 3))
        rows, columns = (np.flatnonzero(shape.any(axis)) for axis in (1, 0))
        boxes[i] = number, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8), boxes


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="shapes", type=pathlib.Path)
    options = parser.parse_args()
    for seed, (part, count) in enumerate(PARTS.items()):
        rng = np.random.default_rng(seed)
        (options.output / part).mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for i in range(count):
            pixels, boxes = drawn(rng)
            name = f"{i:05d}.png"
            Image.fromarray(pixels).save(options.output / part / name)
            images.append({"id": i, "file_name": name})
            for number, x0, y0, x1, y1 in boxes[boxes[:, 0] >= 0].tolist():
                place = {"image_id": i, "category_id": int(number)}
                annotations.append({**place, "bbox": [x0, y0, x1 - x0, y1 - y0]})
        kinds = [{"id": i, "name": name} for i, name in enumerate(CLASSES)]
        told = {"images": images, "annotations": annotations, "categories": kinds}
        (options.output / f"{part}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()

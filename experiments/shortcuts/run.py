"""Is the task of relative patches solved by the lens, or by what the images show?

Run:   PYTHONPATH=. JAX_PLATFORMS=cpu python experiments/shortcuts/run.py \
           --data_dir=DIR, a folder of prepared TFDS data sets with CIFAR-10

Red and blue are magnified by 2 % about the middle of each image, as by a lens. The
images are random textures that look alike everywhere, so that nothing but this shift,
or edges that go on, can say where a patch was; and CIFAR-10's photographs. Networks are
trained with the ways open or closed, and judged on held-out images with the shift and
without it, and by what their features are worth on CIFAR-10's classes. Writes
results.json and prints the tables of README.md.
"""

import argparse
import functools
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.ndimage import affine_transform
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from jax_ssl.augment.puzzles import relative_patch as patches
from jax_ssl.data.tfds import tfds
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.methods.relative_patch import relative_patch
from jax_ssl.parallel.rows import map_examples
from jax_ssl.run.environment import environment
from jax_ssl.train.step import init, train_step

HERE = pathlib.Path(__file__).parent
SHIFT = 0.02  # Red and blue are so much larger than green.
MEAN, STD = (0.5,), (0.25,)  # Of the views, and of images in the evaluation.
SIDE, WAVES = 48, 24  # Pixels and waves of a texture.
HELD_OUT, BATCH = 512, 64
SHOTS = 3000, 2000  # Photographs that the classifiers learn from, and are asked about.

OPEN = {"gap": 0, "jitter": 0, "colours": "keep"}
# Name -> (images, are they shifted, what the views close).
CONDITIONS = {
    "textures: all open": ("textures", True, {}),
    "textures: gap, jitter": ("textures", True, {"gap": 4, "jitter": 2}),
    "textures: gap, jitter, no shift": ("textures", False, {"gap": 4, "jitter": 2}),
    "textures: drop": ("textures", True, {"colours": "drop"}),
    "textures: gap, jitter, project": (
        "textures",
        True,
        {"gap": 4, "jitter": 2, "colours": "project"},
    ),
    "textures: gap, jitter, drop": (
        "textures",
        True,
        {"gap": 4, "jitter": 2, "colours": "drop"},
    ),
    "photographs: all open": ("photographs", True, {}),
    "photographs: gap, jitter, drop": (
        "photographs",
        True,
        {"gap": 2, "jitter": 1, "colours": "drop"},
    ),
    "photographs: gap, jitter, project": (
        "photographs",
        True,
        {"gap": 2, "jitter": 1, "colours": "project"},
    ),
}
SIZE = {"textures": 12, "photographs": 8}  # Of a patch.
STEPS = {"textures": 100, "photographs": 200}
COUNT = {"textures": 2500, "photographs": 8000}  # Images, with those held out.


def textures(count, seed, shift):
    """[count, SIDE, SIDE, 3] uint8: grey waves of all directions, in a tint.

    The magnified planes are computed and not interpolated, which would blur each place
    in its own way.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (count, WAVES, 1))
    wave = 2 * np.pi / np.exp(rng.uniform(np.log(4), np.log(12), (count, WAVES, 1)))
    phase = rng.uniform(0, 2 * np.pi, (count, WAVES, 1))
    gain = rng.uniform(0.5, 1, (count, 1, 1, 3))
    tint = rng.uniform(-0.1, 0.1, (count, 1, 1, 3))
    planes = []
    for factor in (1 + shift, 1.0, 1 + shift):
        at = (np.arange(SIDE) - (SIDE - 1) / 2) / factor
        rows = np.exp(1j * (wave * np.sin(angle) * at + phase)).astype(np.complex64)
        columns = np.exp(1j * wave * np.cos(angle) * at).astype(np.complex64)
        planes.append((rows.swapaxes(1, 2) @ columns).real)
    values = np.stack(planes, -1) / np.sqrt(WAVES / 2)
    return as_bytes(0.5 + tint + 0.16 * gain * values)


def magnified(images, shift):
    """Photographs [n, h, h, 3] uint8 whose red and blue are larger about the middle."""
    if not shift:
        return images
    out = images / 255.0
    middle = (images.shape[1] - 1) / 2
    for c in (0, 2):
        out[..., c] = affine_transform(
            out[..., c],
            np.diag([1, 1 / (1 + shift), 1 / (1 + shift)]),
            offset=[0, *[middle * shift / (1 + shift)] * 2],
            mode="nearest",
        )
    return as_bytes(out)


def as_bytes(values):
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def images_of(kind, data_dir, seed, shift):
    if kind == "textures":
        return textures(COUNT[kind], seed, shift)
    return magnified(photographs(data_dir, "train", COUNT[kind])["image"], shift)


@functools.cache
def photographs(data_dir, split, count):
    source = tfds(dataset="cifar10", data_dir=data_dir, split=split)
    return source[np.arange(count)]


def trained(condition, data_dir, seed):
    """The method, its last state, and accuracy and loss on held-out images."""
    kind, shifted, closed = CONDITIONS[condition]
    views = patches(
        size=SIZE[kind],
        areas=None,
        coarse_probability=0.0,
        normalize=False,
        mean=MEAN,
        std=STD,
        **{**OPEN, **closed},
    )
    encoder = ConvNet(widths=(32, 32, 64))
    method = relative_patch(encoder, views, patch_dim=64, hidden_dims=(64,))
    steps = STEPS[kind]
    rate = optax.warmup_cosine_decay_schedule(0.0, 0.003, 20, steps)
    tx = optax.adam(rate)
    parts = {
        name: images_of(kind, data_dir, seed, SHIFT if there else 0.0)
        for name, there in (("shift", True), ("no shift", False))
    }
    images = parts["shift" if shifted else "no shift"][:-HELD_OUT]
    batch = {"image": jnp.asarray(images[:BATCH])}
    train = jax.jit(functools.partial(init, method, tx))(jax.random.key(seed), batch)
    step = jax.jit(functools.partial(train_step, method, tx))
    rng = np.random.default_rng(seed)
    order = np.concatenate(
        [rng.permutation(len(images)) for _ in range(1 + steps * BATCH // len(images))]
    )
    for s in range(steps):
        rows = order[s * BATCH : (s + 1) * BATCH]
        train, _ = step(train, {"image": jnp.asarray(images[rows])})

    @jax.jit
    def judged(images):
        seen = map_examples(method.views, jax.random.key(9), {"image": images})
        key, at = jax.random.key(0), jnp.int32(0)
        value, (_, more) = method.loss(
            train.params, train.state, seen, key=key, step=at
        )
        return {"loss": value, "accuracy": more["relative_patch_accuracy"]}

    held = {name: judged(all_[-HELD_OUT:]) for name, all_ in parts.items()}
    held = {name: {k: float(v) for k, v in x.items()} for name, x in held.items()}
    return method, train, held


def worth(features, data_dir):
    """Accuracy of k-NN and of a linear classifier on CIFAR-10's classes."""
    parts = [
        photographs(data_dir, split, n)
        for split, n in zip(("train", "test"), SHOTS, strict=True)
    ]
    known, asked = (features(part["image"]) for part in parts)
    labels, wanted = (part["label"] for part in parts)
    neighbours = KNeighborsClassifier(20, metric="cosine").fit(known, labels)
    scaler = StandardScaler().fit(known)
    linear = LogisticRegression(C=0.1, max_iter=200)
    linear.fit(scaler.transform(known), labels)
    return {
        "20-NN": float(neighbours.score(asked, wanted)),
        "linear": float(linear.score(scaler.transform(asked), wanted)),
    }


def features_of(method, train):
    @jax.jit
    def pooled(images):
        variables = method.exports["encoder"](train.params, train.state)
        seen = (images / 255 - MEAN[0]) / STD[0]
        return method.encoder.apply(variables, seen, train=False).pooled

    return lambda images: np.concatenate(
        [np.asarray(pooled(part)) for part in np.split(images, len(images) // 500)]
    )


def untrained(method, seed):
    """A fresh state of the method."""
    start = functools.partial(init, method, optax.identity())
    return jax.jit(start)(jax.random.key(seed), {"image": jnp.zeros((2, 48, 48, 3))})


def table(rows):
    """Of each condition both seeds, in %."""
    lines = [
        "| condition | task, held out | the same images without the shift "
        "| 20-NN | linear |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(row["condition"] for row in rows):
        mine = [row for row in rows if row["condition"] == name]

        def cell(*path, mine=mine):
            if path[0] not in mine[0]:
                return "–"
            values = [row[path[0]][path[1]] for row in mine]
            return " / ".join(f"{100 * value:.1f}" for value in values)

        cells = [
            cell("shift", "accuracy"),
            cell("no shift", "accuracy"),
            cell("worth", "20-NN"),
            cell("worth", "linear"),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--seeds", default="0,1")
    options = parser.parse_args()
    rows, about = [], environment()  # The commit that it begins with.

    def keep(condition, seed, **found):
        rows.append({"condition": condition, "seed": seed, **found})
        print(rows[-1], flush=True)
        found = {"environment": about, "shift": SHIFT, "runs": rows}
        (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")

    for seed in map(int, options.seeds.split(",")):
        for name in CONDITIONS:
            began = time.process_time()
            method, train, held = trained(name, options.data_dir, seed)
            found = worth(features_of(method, train), options.data_dir)
            seconds = round(time.process_time() - began, 1)
            keep(name, seed, **held, worth=found, cpu_seconds=seconds)
        control = features_of(method, untrained(method, seed))
        keep("untrained encoder", seed, worth=worth(control, options.data_dir))
    pixels = lambda images: images.reshape(len(images), -1) / 255
    keep("raw pixels", 0, worth=worth(pixels, options.data_dir))
    print(table(rows))


if __name__ == "__main__":
    main()

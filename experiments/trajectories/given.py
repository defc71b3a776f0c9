"""What both sides are given: first weights and pixels, from NumPy alone.

Weights are made from the name of a parameter here, such as "encoder/conv0/kernel", so
that records need not hold them; the judges lay them out anew for torch.
"""

import zlib

import numpy as np

STEPS = 20
BATCH = 16
SIDE = 8  # Pixels of an image.
WIDTHS = (8, 16)  # Channels of the small convolutional network.
NUM_EXAMPLES = 64  # Of the data sets whose images have numbers.
NUMBERS = 200  # Of the parameters that a record keeps, about.


def generator(*words):
    """A NumPy generator of its own for these words."""
    return np.random.default_rng([zlib.crc32(str(word).encode()) for word in words])


def weight(name, shape):
    """First value of a parameter, [*shape] float32, by its name and in our layout."""
    normal = generator("weight", name).normal(size=shape)
    last = name.split("/")[-1]
    if last == "kernel":
        normal /= np.sqrt(np.prod(shape[:-1]))
    elif last == "scale":
        normal = 1 + 0.2 * normal
    elif last == "gain":
        normal = np.ones(shape)
    elif last == "prototypes":
        normal = unit(normal)
    else:
        normal *= 0.1
    return normal.astype(np.float32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def unit_rows(name, shape):
    """First rows of a queue or a bank, of length 1."""
    return unit(generator("rows", name).normal(size=shape)).astype(np.float32)


def images(name, *shape):
    """Pixels of all steps, [STEPS, BATCH, *shape] float32.

    Views of an image are alike by half: what they share is drawn once.
    """
    draw = generator("images", name)
    shared = draw.normal(size=(STEPS, BATCH, *(1 for _ in shape[:-3]), *shape[-3:]))
    own = draw.normal(size=(STEPS, BATCH, *shape))
    return (0.7 * (shared + own)).astype(np.float32)


def indices(name):
    """Which images of the data set a step sees, [STEPS, BATCH] int32.

    Each epoch sees all of them once, in an order of its own.
    """
    draw = generator("indices", name)
    epochs = -(-STEPS * BATCH // NUM_EXAMPLES)
    rows = np.concatenate([draw.permutation(NUM_EXAMPLES) for _ in range(epochs)])
    return rows[: STEPS * BATCH].reshape(STEPS, BATCH).astype(np.int32)


def crops(name):
    """Two large and two small crops of each image, as `images`."""
    small = images(f"{name}, small", 2, SIDE // 2, SIDE // 2, 3)
    return images(name, 2, SIDE, SIDE, 3), small


def orders(name, count, size):
    """Permutations of `size` things, [STEPS, count, size] int32."""
    draw = generator("orders", name)
    every = [draw.permutation(size) for _ in range(STEPS * count)]
    return np.array(every, np.int32).reshape(STEPS, count, size)


def slots(name, count):
    """Images drawn as noise, [STEPS, BATCH, count] int32."""
    draw = generator("slots", name)
    return draw.integers(0, NUM_EXAMPLES, (STEPS, BATCH, count), np.int32)


def hidden(name, count):
    """Patches that are hidden, [STEPS, BATCH, 2, count] bool, in half of the crops."""
    draw = generator("hidden", name)
    share = draw.uniform(0.1, 0.5, (STEPS, BATCH, 2, 1))
    share *= draw.random((STEPS, BATCH, 2, 1)) < 0.5
    return draw.random((STEPS, BATCH, 2, count)) < share


def chosen(leaves):
    """Which numbers of each leaf a record keeps, {name: places in the flat leaf}.

    Args:
        leaves: {name: array}.
    """
    each = max(2, NUMBERS // len(leaves))
    out = {}
    for name, leaf in leaves.items():
        size = int(np.prod(leaf.shape))
        draw = generator("chosen", name)
        out[name] = np.sort(draw.choice(size, min(each, size), replace=False))
    return out


def compared(leaves):
    """The leaves that a record speaks of, {name: [n] float64}, sorted by name.

    What no loss sees is left out: its gradient is rounding alone, from which Adam makes
    steps of full length. These are the bias of an attention's keys, and that of the
    last norm of a transformer where a linear map and a batch norm follow.
    """
    out = {}
    unseen = {"encoder/norm/bias"} if "projector/norm0/scale" in leaves else set()
    for name in sorted(leaves):
        if name.removeprefix("teacher/") in unseen:
            continue
        leaf = np.asarray(leaves[name], np.float64).ravel()
        if name.endswith("qkv/bias"):
            query, _, value = np.split(leaf, 3)
            leaf = np.concatenate([query, value])
        out[name] = leaf
    return out


def sampled(leaves):
    """The numbers that a record keeps, [n] float64."""
    leaves = compared(leaves)
    places = chosen(leaves)
    return np.concatenate([leaf[places[name]] for name, leaf in leaves.items()])


def norms(leaves):
    """Euclidean norm of every leaf, [leaves] float64."""
    return np.array([np.linalg.norm(leaf) for leaf in compared(leaves).values()])

"""Several seeds as one program against a run of each seed after the other.

    PYTHONPATH=. python experiments/benchmarks/seeds.py --seeds=3 --rounds=5

SimCLR's whole step, with its views, on random images that stay on the device. The two
alternate in one process, and the best round of each is kept: by the clock, and by the
processor time of all threads, which does not count other work on the machine. A run
alone compiles its program anew; all seeds in one compile once.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from conditions import conditions

from jax_ssl.augment.views import two_crops
from jax_ssl.core.compiling import jit
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import simclr
from jax_ssl.ops.conv import kernels_in_turn
from jax_ssl.train.seeds import AXES, stacked
from jax_ssl.train.step import init, train_step

# Name, settings of the encoder, side of the views, batch size.
CASES = {
    "Perceptron, 128-128": ("dense", {"widths": (128, 128)}, 16, 32),
    "ConvNet 24-48-96": ("convnet", {"widths": (24, 48, 96)}, 32, 64),
    "ResNet-18": ("resnet18", {"stem": "small"}, 32, 16),
    "ViT, 4 blocks of 96": (
        *("vit", {"patch": 4, "image_size": 32, "dim": 96, "depth": 4, "num_heads": 3}),
        *(32, 32),
    ),
}


def timed(fn, *args):
    """(Seconds by the clock, seconds of processor), outputs."""
    clock, processor = time.perf_counter(), time.process_time()
    outputs = jax.block_until_ready(fn(*args))
    return (time.perf_counter() - clock, time.process_time() - processor), outputs


def compare(title, count, rounds):
    """A line of the table."""
    name, settings, side, size = CASES[title]
    encoder = ENCODERS[name](**settings)
    method = simclr(encoder, two_crops(size=side, blur_probability=0.0))
    tx = optax.sgd(0.05, momentum=0.9)
    images = jax.random.bits(jax.random.key(1), (count, size, side, side, 3), jnp.uint8)
    batches = [{"image": images[i]} for i in range(count)]
    start = jax.jit(lambda key, batch: init(method, tx, key, batch))
    states = [start(jax.random.key(i), batches[i]) for i in range(count)]

    def step(train, batch):
        return train_step(method, tx, train, batch)

    mapped = jax.vmap(step, in_axes=(AXES, 0), out_axes=(AXES, 0))
    piled = stacked(states), {"image": images}
    (one_compile, _), one = timed(
        lambda: jit(step).lower(states[0], batches[0]).compile()
    )
    with kernels_in_turn():
        (all_compile, _), together = timed(lambda: jit(mapped).lower(*piled).compile())

    def in_turn():
        return [one(states[i], batches[i]) for i in range(count)]

    for fn in (in_turn, lambda: together(*piled)):
        jax.block_until_ready(fn())
    times = {"turn": [], "one": []}
    for _ in range(rounds):
        times["turn"].append(timed(in_turn)[0])
        times["one"].append(timed(together, *piled)[0])
    turn, one = (np.min(times[key], axis=0) for key in ("turn", "one"))
    ratio = turn / one
    return (
        f"| {title} | {size} | {1e3 * turn[0]:.0f} | {1e3 * one[0]:.0f} "
        f"| {ratio[0]:.2f} | {ratio[1]:.2f} | {count * one_compile:.1f} "
        f"| {all_compile:.1f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    print(f"{conditions()}; {options.seeds} seeds, best of {options.rounds} rounds\n")
    print(
        "| encoder | batch | ms, in turn | ms, one program | times as fast | by "
        "processor time | s to compile, in turn | one program |"
    )
    print("| --- " + "| ---: " * 7 + "|")
    for title in CASES:
        print(compare(title, options.seeds, options.rounds), flush=True)


if __name__ == "__main__":
    main()

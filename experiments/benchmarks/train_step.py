"""The whole train step, beside the same step in PyTorch, in one run.

    python experiments/benchmarks/train_step.py --scale=full --markdown=train_step.md
    python experiments/benchmarks/train_step.py --scale=small --torch=eager

A case is a method, an encoder and a batch size. Ours is `train_step` with everything in
it: views from uint8 images that lie on the device, both passes, optimizer, teacher.
"step alone" is the same on views made before. PyTorch's step (train_step_torch.py, timm
modules, bfloat16 autocast, compiled) is always given ready-made views.

The two frameworks run one after the other in processes of their own, so that each has
the device's memory to itself. "small" shrinks images, widths and batches until a laptop
can do it: it shows that the script works, and says nothing about an accelerator.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import time

CASES = {
    # Name: (method, encoder, batch at full scale, settings of both sides).
    "simclr_r50": ("simclr", "resnet50", 256, {}),
    "barlow_vit_s": ("barlow_twins", "vit_s", 256, {"hidden_dim": 2048}),
    "barlow_vit_l": ("barlow_twins", "vit_l", 384, {"hidden_dim": 2048}),
    "dino_vit_s": ("dino", "vit_s", 64, {"num_prototypes": 65536}),
    "mae_vit_b": ("mae", "vit_b", 256, {}),
    "mae_vit_l": ("mae", "vit_l", 256, {}),
}
LOCAL_CROPS = 8
ROUNDS = {"full": (3, 10), "small": (1, 3)}  # Unmeasured steps, and measured.


def sizes(scale):
    """(image side, local crop's side, share of the batch) of a scale."""
    return (224, 96, 1.0) if scale == "full" else (64, 32, 1 / 32)


def batch_of(case, scale):
    return max(4, round(CASES[case][2] * sizes(scale)[2]))


def timed(step, wait, scale):
    """Seconds of a step, the median of several, each waited for."""
    warm, rounds = ROUNDS[scale]
    for _ in range(warm):
        wait(step())
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        wait(step())
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[len(seconds) // 2]


def ours(case, scale, remat):
    """Our row, measured in this process."""
    import jax
    import jax.numpy as jnp
    import optax

    from jax_ssl.augment import VIEWS
    from jax_ssl.config.bind import bind
    from jax_ssl.encoders import ENCODERS
    from jax_ssl.methods import METHODS
    from jax_ssl.parallel.rows import map_examples
    from jax_ssl.train.flops import live_flops, mfu
    from jax_ssl.train.record import peak_memory
    from jax_ssl.train.step import init, train_step

    method_name, encoder_name, _, settings = CASES[case]
    side, local, _ = sizes(scale)
    B = batch_of(case, scale)
    shape = {"dtype": "bfloat16"}
    if encoder_name.startswith("vit"):
        shape["image_size"] = side
        if method_name == "mae":
            shape |= {"positions": "sincos", "scheme": "mae"}
        if remat:
            shape["remat"] = remat
    if scale == "small":
        settings = {k: min(v, 256) for k, v in settings.items()}
    if method_name == "barlow_twins":
        settings = {**settings, "output_dim": settings["hidden_dim"]}
    crops = {"size": side}
    if method_name == "dino":
        crops = {
            "global_size": side,
            "local_size": local,
            "num_locals": LOCAL_CROPS,
        }
    wires = {"batch_size": B, "num_examples": B, "steps_per_epoch": 1}
    wires["total_steps"] = 100
    wires["views"] = bind(VIEWS[method_name], wires, crops)
    wires["encoder"] = bind(ENCODERS[encoder_name], wires, shape)
    method = bind(METHODS[method_name], wires, settings)
    tx = optax.adamw(1e-4) if "vit" in encoder_name else optax.sgd(0.1, momentum=0.9)

    key = jax.random.key(0)
    image = jax.random.randint(key, (B, side, side, 3), 0, 256, jnp.uint8)
    batch = {"image": image, "index": jnp.arange(B)}
    train = jax.jit(functools.partial(init, method, tx))(key, batch)
    whole = functools.partial(train_step, method, tx, view_dtype=jnp.bfloat16)
    traced = jax.jit(whole, donate_argnums=0).trace(train, batch)
    flops = live_flops(traced.jaxpr)
    compiled = traced.lower().compile()

    def run(step, state, argument):
        def once():
            state[0], metrics = step(state[0], argument)
            return metrics["loss"]

        return once

    seconds = timed(run(compiled, [train], batch), jax.block_until_ready, scale)
    memory = peak_memory(jax.devices()[:1])
    analysis = compiled.memory_analysis()
    planned = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes

    # The same step on views made before.
    views = jax.jit(functools.partial(map_examples, method.views))(key, batch)
    views = jax.tree.map(
        lambda leaf: (
            leaf.astype(jnp.bfloat16)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
            else leaf
        ),
        views,
    )
    given = {f"view{i}": leaf for i, leaf in enumerate(jax.tree.leaves(views))}
    tree = jax.tree.structure(views)

    def unwrapped(key, example):
        del key
        return jax.tree.unflatten(
            tree, [example[f"view{i}"] for i in range(len(given))]
        )

    alone = dataclasses.replace(method, views=unwrapped)
    step = functools.partial(train_step, alone, tx, view_dtype=jnp.bfloat16)
    train = jax.jit(functools.partial(init, method, tx))(key, batch)
    step = jax.jit(step, donate_argnums=0)
    without_views = timed(run(step, [train], given), jax.block_until_ready, scale)
    return {
        "seconds": seconds,
        "seconds_alone": without_views,
        "flops": flops,
        "mfu": mfu(flops, seconds, jax.devices()[:1]),
        "memory": memory,
        "planned_memory": planned,
    }


def apart(arguments):
    """A row measured in a process of its own; None, and why, where it failed."""
    found = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if found.returncode:
        return None
    return json.loads(found.stdout.splitlines()[-1])


def row(case, scale, mine, theirs):
    B = batch_of(case, scale)

    def per_second(found, name="seconds"):
        return f"{B / found[name]:,.4g}" if found else "failed"

    def gib(found):
        memory = found and (found["memory"] or found.get("planned_memory"))
        return f"{memory / 2**30:.2f}" if memory else "–"

    used = mine and mine["mfu"]
    faster = (
        f"{theirs['seconds'] / mine['seconds_alone']:.2f}" if mine and theirs else "–"
    )
    return (
        f"| {case} | {B} | {per_second(mine)} | {per_second(mine, 'seconds_alone')} "
        f"| {f'{used:.1%}' if used else '–'} | {gib(mine)} "
        f"| {per_second(theirs) if theirs is not False else '–'} | {gib(theirs)} "
        f"| {faster} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--scale", choices=("small", "full"), default="full")
    parser.add_argument(
        "--torch", choices=("compiled", "eager", "no"), default="compiled"
    )
    parser.add_argument("--remat", default="", help="of our transformers")
    parser.add_argument("--markdown", help="file to write")
    parser.add_argument("--case", help="this one alone, ours, as JSON")
    options = parser.parse_args()
    # JAX would otherwise take three quarters of the memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.case:
        print(json.dumps(ours(options.case, options.scale, options.remat)))
        return
    from conditions import conditions

    here = pathlib.Path(__file__)
    lines = [
        conditions(),
        "",
        f"Scale {options.scale!r}; PyTorch {options.torch}. Images per second.",
        "",
        "| case | batch | ours | ours, step alone | MFU | GiB | PyTorch, step alone "
        "| GiB | ours / PyTorch, step alone |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    for case in options.cases.split(","):
        common = [f"--case={case}", f"--scale={options.scale}"]
        mine = apart([str(here), *common, f"--remat={options.remat}"])
        theirs = False
        if options.torch != "no":
            judge = str(here.with_name("train_step_torch.py"))
            theirs = apart([judge, *common, f"--mode={options.torch}"])
        lines.append(row(case, options.scale, mine, theirs))
        print(lines[-1], flush=True)
    if options.markdown:
        pathlib.Path(options.markdown).write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()

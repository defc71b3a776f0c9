"""The whole train step, beside the same step in PyTorch, in one run.

    python experiments/benchmarks/train_step.py --scale=full --markdown=train_step.md
    python experiments/benchmarks/train_step.py --scale=laptop --markdown=train_step.md

A case is a method, an encoder, the side of the images and a batch size. "Whole" is
`train_step` with everything in it: views from uint8 images that lie in memory, both
passes, optimizer, teacher. "Alone" is the same on views made before. PyTorch's step is
in train_step_torch.py, with timm's modules.

"laptop" is for a CPU: float32, small images and batches, PyTorch eager. The two
frameworks are two processes that take turns, a step each, and the median counts; where
views are included, PyTorch's come from a DataLoader with a worker for each core, which
have nothing to do while the other side runs. "full" is for a GPU: bfloat16,
PyTorch compiled and under autocast, and one process after the other, so that each has
the device's memory to itself.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

from jax_ssl.core.allocator import HUGE, KEPT, tunables

FULL = {
    # Name: method, encoder, side, batch, settings of the method.
    "simclr_r50": ("simclr", "resnet50", 224, 256, {}),
    "barlow_vit_s": ("barlow_twins", "vit_s", 224, 256, {"hidden_dim": 2048}),
    "barlow_vit_l": ("barlow_twins", "vit_l", 224, 384, {"hidden_dim": 2048}),
    "dino_vit_s": ("dino", "vit_s", 224, 64, {"num_prototypes": 65536}),
    "mae_vit_b": ("mae", "vit_b", 224, 256, {}),
    "mae_vit_l": ("mae", "vit_l", 224, 256, {}),
}
LAPTOP = {
    "simclr_r18": ("simclr", "resnet18", 32, 64, {}),
    "simclr_r50": ("simclr", "resnet50", 64, 8, {}),
    "simclr_vit_ti": ("simclr", "vit_ti", 32, 64, {}),
    "byol_r18": ("byol", "resnet18", 32, 64, {}),
    "mae_vit_s": ("mae", "vit_s", 112, 4, {}),
    "dino_vit_s": ("dino", "vit_s", 112, 4, {"num_prototypes": 4096}),
}
SCALES = {"full": FULL, "laptop": LAPTOP}
# Of DINO, by the side of the global crops: side and number of the local ones.
LOCALS = {224: (96, 8), 112: (48, 6)}
# Unmeasured steps, and measured ones.
ROUNDS = {"full": (3, 10), "laptop": (2, 9)}
# Before what a worker says, since libraries print too.
SAID = "> "
# Steps of a turn in which views are made, so that a DataLoader gets under way.
TOGETHER = 8
# Seconds between turns: the threads of a side wait for work busily for a while.
PAUSE = 0.3
# Of glibc's malloc, as jax-ssl starts itself; PyTorch gets them too.
TUNABLES = tunables({**HUGE, **KEPT})


def patch_of(side):
    return 4 if side == 32 else 16


def threads():
    return len(os.sched_getaffinity(0))


def serve(begin, turns):
    """A worker's life: says what it is, then takes turns until nobody asks for more.

    Args:
        begin: JSON values about this side.
        turns: {name: function that does a number of steps and waits for them}.
    """
    print(SAID + json.dumps(begin), flush=True)
    for line in sys.stdin:
        name, steps = line.split()
        started = time.perf_counter()
        turns[name](int(steps))
        print(SAID + json.dumps(time.perf_counter() - started), flush=True)


class Worker:
    """One side of a case, in a process of its own."""

    def __init__(self, script, options, environment):
        command = [sys.executable, str(script), *options, "--worker"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=os.environ | environment
        )
        self.about = self._read()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith(SAID):
                return json.loads(line.removeprefix(SAID))
        raise RuntimeError(f"it ended with {self.process.wait()}")

    def turn(self, name, steps=1):
        """Seconds of a step."""
        time.sleep(PAUSE)
        print(name, steps, file=self.process.stdin, flush=True)
        return self._read() / steps

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def views_settings(method, side):
    if method == "dino":
        local, count = LOCALS[side]
        return {"global_size": side, "local_size": local, "num_locals": count}
    if side == 32:  # SimCLR's for CIFAR-10, appendix B.9; BYOL's with these numbers.
        blur = 0.0 if method == "simclr" else (0.0, 0.0)
        found = {"size": side, "blur_probability": blur}
        return {**found, "strength": 0.5} if method == "simclr" else found
    return {"size": side}


def ours(case, scale, remat):
    """Our side of a case: how it is made, and then its turns."""
    import jax
    import jax.numpy as jnp
    import optax

    from jax_ssl.augment import VIEWS
    from jax_ssl.config.bind import bind
    from jax_ssl.core.compiling import jit
    from jax_ssl.core.heap import fill_after_compiling
    from jax_ssl.encoders import ENCODERS
    from jax_ssl.methods import METHODS
    from jax_ssl.parallel.rows import map_examples
    from jax_ssl.train.flops import live_flops
    from jax_ssl.train.record import peak_memory
    from jax_ssl.train.step import init, train_step

    fill_after_compiling()  # As jax-ssl does.
    method_name, encoder_name, side, B, settings = SCALES[scale][case]
    dtype = "float32" if scale == "laptop" else "bfloat16"
    shape = {"dtype": dtype}
    if encoder_name.startswith("vit"):
        shape |= {"image_size": side, "patch": patch_of(side)}
        if method_name == "mae":
            shape |= {"positions": "sincos", "scheme": "mae"}
        if remat:
            shape["remat"] = remat
    elif side == 32:
        shape["stem"] = "small"
    if method_name == "barlow_twins":
        settings = {**settings, "output_dim": settings["hidden_dim"]}
    wires = {"batch_size": B, "num_examples": B, "steps_per_epoch": 1}
    wires["total_steps"] = 100
    wires["views"] = bind(VIEWS[method_name], wires, views_settings(method_name, side))
    wires["encoder"] = bind(ENCODERS[encoder_name], wires, shape)
    method = bind(METHODS[method_name], wires, settings)
    tx = optax.adamw(1e-4) if "vit" in encoder_name else optax.sgd(0.1, momentum=0.9)

    key = jax.random.key(0)
    image = jax.random.randint(key, (B, side, side, 3), 0, 256, jnp.uint8)
    batch = {"image": image, "index": jnp.arange(B)}
    views = jit(lambda key, batch: map_examples(method.views, key, batch))(key, batch)
    views = jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
        views,
    )
    given = {f"view{i}": leaf for i, leaf in enumerate(jax.tree.leaves(views))}
    tree = jax.tree.structure(views)

    def unwrapped(key, example):
        del key
        return jax.tree.unflatten(
            tree, [example[f"view{i}"] for i in range(len(given))]
        )

    class Side:
        """A method with its state, and its compiled step."""

        def __init__(self, method, batch):
            self.batch = batch
            self.train = jit(lambda key: init(method, tx, key, batch))(key)
            step = jit(
                lambda train, batch: train_step(
                    method, tx, train, batch, view_dtype=dtype
                ),
                donate_argnums=0,
            )
            traced = step.trace(self.train, batch)
            self.flops = live_flops(traced.jaxpr)
            begun = time.perf_counter()
            self.compiled = traced.lower().compile()
            self.compilation = time.perf_counter() - begun

        def __call__(self, steps):
            for _ in range(steps):
                self.train, metrics = self.compiled(self.train, self.batch)
            jax.block_until_ready((self.train, metrics))

    alone = Side(dataclasses.replace(method, views=unwrapped), given)
    whole = Side(method, batch)
    planned = whole.compiled.memory_analysis()
    serve(
        {
            "flops": alone.flops,
            "compilation": alone.compilation,
            "memory": peak_memory(jax.devices()[:1])
            or planned.temp_size_in_bytes + planned.argument_size_in_bytes,
        },
        {"alone": alone, "whole": whole},
    )


def median(values):
    return sorted(values)[len(values) // 2]


def measured(workers, scale, rounds, parts, whole):
    """{side: {"alone": seconds, "whole": seconds}}, of sides that take turns."""
    warm, _ = ROUNDS[scale]
    found = {}
    for kind in parts:
        steps = {"alone": 1, "whole": TOGETHER}[kind]
        asked = workers
        if kind == "whole":
            asked = {k: w for k, w in workers.items() if whole or k != "torch"}
        seconds = {side: [] for side in asked}
        count = warm + (rounds if kind == "alone" else max(1, rounds // 3))
        for _ in range(count):
            for side, worker in asked.items():
                seconds[side].append(worker.turn(kind, steps))
        for side, values in seconds.items():
            found.setdefault(side, {})[kind] = median(values[warm:])
    return found


def side_by_side(case, options):
    """What was measured of a case, and about its sides."""
    here = pathlib.Path(__file__)
    common = [f"--case={case}", f"--scale={options.scale}"]
    makers = {"ours": (here, [*common, f"--remat={options.remat}"])}
    if options.torch != "no":
        judge = here.with_name("train_step_torch.py")
        makers["torch"] = (judge, [*common, f"--mode={options.torch}"])
    whole = options.scale == "laptop" and SCALES[options.scale][case][0] != "dino"
    groups = [list(makers)] if options.scale == "laptop" else [[x] for x in makers]
    seconds, about = {}, {}
    for group in groups:
        # JAX would otherwise take three quarters of a GPU's memory at once.
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        environment |= {"GLIBC_TUNABLES": TUNABLES}
        workers = {side: Worker(*makers[side], environment) for side in group}
        about |= {side: worker.about for side, worker in workers.items()}
        parts = options.parts.split(",")
        seconds |= measured(workers, options.scale, options.rounds, parts, whole)
        for worker in workers.values():
            worker.close()
    return seconds, about


def row(case, scale, seconds, about):
    batch = SCALES[scale][case][3]

    def said(side, kind):
        found = seconds.get(side, {}).get(kind)
        return f"{batch / found:,.4g}" if found else "–"

    def ratio(kind):
        sides = [seconds.get(side, {}).get(kind) for side in ("torch", "ours")]
        return f"{sides[0] / sides[1]:.2f}" if all(sides) else "–"

    def gib(side):
        memory = about.get(side, {}).get("memory")
        return f"{memory / 2**30:.2f}" if memory else "–"

    cells = [case, batch, said("ours", "alone"), said("torch", "alone")]
    cells += [ratio("alone"), said("ours", "whole"), said("torch", "whole")]
    cells += [ratio("whole"), f"{about['ours']['flops'] / 1e9:,.4g}"]
    rate = about["ours"]["flops"] / seconds["ours"]["alone"] / 1e9
    cells += [f"{rate:,.4g}", f"{about['ours']['compilation']:.1f}"]
    cells += [gib("ours"), gib("torch")]
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = (
    "case",
    "batch",
    *("ours, alone", "PyTorch, alone", "ratio"),
    *("ours, whole", "PyTorch, whole", "ratio"),
    *("GFLOP a step", "our GF/s, alone", "s to compile", "GiB", "PyTorch's"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--cases", help="names, with commas between")
    parser.add_argument(
        "--torch", choices=("compiled", "eager", "no"), help="default: as the scale"
    )
    parser.add_argument("--rounds", type=int, help="measured turns of each side")
    parser.add_argument(
        "--parts", default="alone,whole", help="alone: without PyTorch's views"
    )
    parser.add_argument("--remat", default="", help="of our transformers")
    parser.add_argument("--markdown", help="file to write")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        ours(options.case, options.scale, options.remat)
        return
    from conditions import conditions

    options.torch = options.torch or (
        "eager" if options.scale == "laptop" else "compiled"
    )
    options.rounds = options.rounds or ROUNDS[options.scale][1]
    lines = [
        conditions(),
        "",
        f"Scale {options.scale!r}; PyTorch {options.torch}. Images per second.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"| --- |{' ---: |' * (len(HEAD) - 1)}",
    ]
    print("\n".join(lines), flush=True)
    cases = options.cases.split(",") if options.cases else SCALES[options.scale]
    for case in cases:
        try:
            lines.append(row(case, options.scale, *side_by_side(case, options)))
        except RuntimeError as error:
            lines.append(f"| {case} | failed: {error} |")
        print(lines[-1], flush=True)
    if options.markdown:
        pathlib.Path(options.markdown).write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()

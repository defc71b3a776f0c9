"""Views per second of our operations and recipes, beside torchvision's, in one run.

    python experiments/benchmarks/views.py --markdown=speed.md
    python experiments/benchmarks/views.py --device=gpu

On a CPU every contestant gets the same images, one core and one thread, and the time is
that of the process, so that other work on the machine does not count; rounds of the
contestants alternate and the best of each is kept. torchvision's PIL pipeline starts
from decoded PIL images and ends in standardized float tensors; ours starts from uint8
arrays and ends in the same. torchvision and kornia are optional: what is missing is
left out. On a GPU only ours is measured, by the clock, batch after batch.
"""

import argparse
import functools
import os
import platform
import subprocess
import time

CORE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
SIDE = 256


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--images", type=int, default=None, help="default 32; GPU 256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=0, help="the core to run on")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--step", action="store_true", help="also time a train step")
    parser.add_argument("--markdown", help="file for the tables")
    return parser.parse_args()


OPTIONS = parsed()
if OPTIONS.device == "cpu":  # Before anything starts its threads.
    os.sched_setaffinity(0, {OPTIONS.core})
    os.environ |= CORE
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()

import jax  # noqa: E402 - the environment above must come first
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.datasets import load_sample_image  # noqa: E402

from jax_ssl.augment import VIEWS, crop, steps  # noqa: E402
from jax_ssl.encoders import ENCODERS  # noqa: E402
from jax_ssl.methods import simclr  # noqa: E402
from jax_ssl.ops.platforms import one_by_one  # noqa: E402
from jax_ssl.parallel.rows import map_examples  # noqa: E402
from jax_ssl.train.step import init, train_step  # noqa: E402

try:
    import judges
except Exception as error:  # A torchvision built for another torch fails in many ways.
    print(f"torchvision is left out: {error}")
    judges = None


def cpu():
    return OPTIONS.device == "cpu"


def photographs(count):
    """[count, 256, 256, 3] uint8: parts of scikit-learn's two photographs."""
    rng = np.random.default_rng(0)
    whole = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    cut = []
    for i in range(count):
        top, left = rng.integers(0, 427 - SIDE), rng.integers(0, 640 - SIDE)
        cut.append(whole[i % 2][top : top + SIDE, left : left + SIDE])
    return np.stack(cut)


def batched(fn, images):
    """A call that makes the views of all images once more, with a new key."""
    run = jax.jit(functools.partial(map_examples, fn))
    number = iter(range(10**9))
    batch = {"image": images, "index": np.arange(len(images), dtype=np.int32)}
    if OPTIONS.device == "gpu":
        batch = jax.device_put(batch)
    return lambda: jax.block_until_ready(run(jax.random.key(next(number)), batch))


def our_step(step, images):
    """One operation for certain, on 224 x 224 floats; the crop on the whole image."""
    if isinstance(step, crop.RandomCrop):
        one = one_by_one(lambda key, x: step(key, x, None))
        return batched(lambda key, example: one(key, example["image"]), images)
    floats = jnp.asarray(images[:, :224, :224], jnp.float32) / 255
    one = one_by_one(step)
    return batched(lambda key, example: one(key, example["image"]), floats)


def each(fn, images):
    """A call that puts every image through a pipeline."""

    def run():
        for image in images:
            fn(image)

    return run


def measured(contestants):
    """Best seconds of each contestant over alternating rounds, after one to warm up."""
    clock = time.process_time if OPTIONS.device == "cpu" else time.perf_counter
    best = {}
    for fn in contestants.values():
        fn()
    for _ in range(OPTIONS.rounds):
        for name, fn in contestants.items():
            start = clock()
            fn()
            best[name] = min(best.get(name, 1e9), clock() - start)
    return best


def row(name, seconds, count):
    """A line of a table: milliseconds per image and ratios to ours."""
    mine = seconds["ours"]
    cells = [name, f"{1e3 * mine / count:.3f}", f"{count / mine:,.0f}"]
    for other in COLUMNS[1:]:
        if other in seconds:
            cells.append(f"{1e3 * seconds[other] / count:.3f}")
            cells.append(f"{seconds[other] / mine:.2f}")
        else:
            cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


COLUMNS = ("ours", "PIL", "v2", "kornia")
HEAD = (
    "| {} | ours, ms/image | images/s | torchvision PIL, ms | PIL / ours "
    "| torchvision v2 tensors, ms | v2 / ours | kornia, ms | kornia / ours |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def recipes(images):
    sources = {"": images, "simclr_cifar": images[:, ::8, ::8]}
    pil = judges.recipes(judges.T) if judges and cpu() else {}
    tensors = judges.recipes(judges.v2) if judges and cpu() else {}
    made = {name: VIEWS[name]() for name in (*RECIPES,)}
    made["simclr, Pillow's blur"] = VIEWS["two_crops"](blur_kernel="pillow")
    lines = [HEAD.format("recipe")]
    for name, recipe in made.items():
        if OPTIONS.only not in name:
            continue
        source = np.ascontiguousarray(sources.get(name, images))
        runs = {"ours": batched(labelled(recipe), source)}
        if name in pil:
            planes = judges.planes(source)
            runs["PIL"] = each(pil[name], [Image.fromarray(x) for x in source])
            runs["v2"] = each(tensors[name], list(planes))
            if judges.K and name == "simclr":
                pair = judges.kornia_pair()
                runs["kornia"] = functools.partial(pair, planes.float() / 255)
        lines.append(row(name, measured(runs), len(source)))
        print(lines[-1], flush=True)
    return lines


RECIPES = (
    *("simclr", "moco_v2", "byol", "barlow_twins", "dino", "swav", "mae"),
    *("supervised", "simclr_cifar"),
)


def labelled(recipe):
    return lambda key, example: recipe(key, {**example, "label": example["index"]})


def operations(images):
    """Each operation alone and for certain; the image is 224 x 224 but for the crop."""
    whole = {
        "crop bicubic 224": crop.RandomCrop(),
        "crop bilinear 224": crop.RandomCrop(interpolation="bilinear"),
        "crop bicubic 96 of 5-40 %": crop.RandomCrop(
            size=96, min_scale=0.05, max_scale=0.4
        ),
    }
    mine = {
        "jitter, all four": steps.ColorJitter(probability=1.0),
        "brightness": steps.ColorJitter(amounts=(0.8, 0, 0, 0), probability=1.0),
        "contrast": steps.ColorJitter(amounts=(0, 0.8, 0, 0), probability=1.0),
        "saturation": steps.ColorJitter(amounts=(0, 0, 0.8, 0), probability=1.0),
        "hue": steps.ColorJitter(amounts=(0, 0, 0, 0.2), probability=1.0),
        "grayscale": steps.Grayscale(probability=1.0),
        "blur, 23 taps": steps.Blur(probability=1.0),
        "blur, Pillow's": steps.Blur(probability=1.0, kernel="pillow"),
        "solarize": steps.Solarize(probability=1.0),
    }
    pil = judges.operations(judges.T) if judges and cpu() else {}
    tensors = judges.operations(judges.v2) if judges and cpu() else {}
    lines = [HEAD.format("operation")]
    for name, step in {**whole, **mine}.items():
        if OPTIONS.only not in name:
            continue
        source = images if name in whole else images[:, :224, :224]
        runs = {"ours": our_step(step, images)}
        if name in pil:
            runs["PIL"] = each(pil[name], [Image.fromarray(x) for x in source])
        if name in tensors:
            runs["v2"] = each(tensors[name], list(judges.planes(source)))
        lines.append(row(name, measured(runs), len(images)))
        print(lines[-1], flush=True)
    return lines


def finished(fn, *args):
    return jax.block_until_ready(fn(*args))


def shares(images):
    """What part of a SimCLR train step its views are, in the same run."""
    lines = [
        "| train step | ms/image | views | share |",
        "| --- | ---: | ---: | ---: |",
    ]
    gpu = OPTIONS.device == "gpu"
    cases = [("resnet18", 32, "small", images[:, ::8, ::8])]
    cases += [("resnet50" if gpu else "resnet18", 224, "imagenet", images)]
    for name, size, stem, source in cases:
        source = np.ascontiguousarray(source if gpu else source[:8])
        dtype = "bfloat16" if gpu else "float32"
        views = VIEWS["simclr_cifar" if size == 32 else "simclr"]()
        method = simclr(ENCODERS[name](stem=stem, dtype=dtype), views)
        batch = jax.device_put({"image": source})
        tx = optax.sgd(0.1)
        make = jax.jit(functools.partial(init, method, tx))
        state = make(jax.random.key(0), batch)
        step = jax.jit(functools.partial(train_step, method, tx))
        # Not in turns: right after a step the views' process time is several times as
        # long, for a reason that was not found.
        found = measured({"views": batched(views, source)})
        found |= measured({"step": functools.partial(finished, step, state, batch)})
        per = {key: 1e3 * value / len(source) for key, value in found.items()}
        lines.append(
            f"| SimCLR, {name}, {size} px, batch {len(source)}, {dtype} "
            f"| {per['step']:.2f} | {per['views']:.2f} "
            f"| {100 * found['views'] / found['step']:.1f} % |"
        )
        print(lines[-1], flush=True)
    return lines


def surroundings():
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    names = {"jax": jax.__version__, "Pillow": Image.__version__}
    if judges:
        names |= judges.VERSIONS
    what = jax.devices()[0].device_kind
    if OPTIONS.device == "cpu":
        with open("/proc/cpuinfo") as file:
            models = [line for line in file if line.startswith("model name")]
        what = f"one core of {models[0].split(':')[1].strip()}"
    versions = ", ".join(f"{name} {version}" for name, version in names.items())
    return (
        f"{time.strftime('%Y-%m-%d')}, commit {commit}, {what}, Python "
        f"{platform.python_version()}, {versions}; {OPTIONS.rounds} rounds."
    )


def main():
    count = OPTIONS.images or (32 if OPTIONS.device == "cpu" else 256)
    images = photographs(count)
    said = surroundings()
    print(said)
    tables = [recipes(images), operations(images)]
    if OPTIONS.step:
        tables.append(shares(images))
    if OPTIONS.markdown:
        with open(OPTIONS.markdown, "w") as file:
            file.write("\n\n".join([said, *("\n".join(t) for t in tables)]) + "\n")


if __name__ == "__main__":
    main()

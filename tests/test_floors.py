"""Who may import whom: the floors of the house, checked in the syntax trees."""

import ast
import importlib
import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Folders and top-level modules by floor; a unit imports itself and what is granted.
FLOORS = (
    ("core",),
    ("parallel", "ops"),
    ("nn", "losses", "augment", "data"),
    ("encoders", "optim"),
    ("methods", "checkpoint", "interop"),
    ("train",),
    ("evaluate",),
    ("config", "plan", "report"),
    ("run", "cli", "__main__", "__init__"),
)
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}


def below(floor):
    return tuple(unit for units in FLOORS[:floor] for unit in units)


GRANTED = {
    "core": (),
    "parallel": ("core",),
    "ops": ("core",),
    "nn": ("core", "ops", "parallel.chunks"),
    "losses": ("core", "ops", "parallel.bank", "parallel.ring", "parallel.rows"),
    "augment": ("core", "ops"),
    "data": ("core",),
    "encoders": ("core", "ops", "nn"),
    "optim": ("core",),
    "methods": ("core", "ops", "nn", "losses", "augment", "encoders"),
    # An export may be a safetensors file, which interop reads.
    "checkpoint": (*below(4), "interop.safetensors"),
    "interop": ("core", "ops", "nn", "losses", "augment", "encoders"),
    "train": below(5),
    # An encoder comes with its variables, so that no protocol can know the method that
    # trained it; the data are swept as the training sweeps them.
    "evaluate": (
        *(unit for unit in below(5) if unit != "methods"),
        "train.feeds",
        "train.sweep",
    ),
    "config": below(7),
    # The terminal shows plans and evaluations in the same tables.
    "plan": (*below(7), "config", "report.table"),
    "report": (),  # It draws what it is given.
    "run": below(8),
    "cli": (*below(8), "run"),
    "__main__": ("cli", "core.allocator", "core.signals"),
    "__init__": (),
}
# Imports that stay on their own floor, each with its reason above or in the house.
SIDEWAYS = {
    ("checkpoint", "interop.safetensors"),
    ("plan", "config"),
    ("plan", "report.table"),
    ("cli", "run"),
    ("__main__", "cli"),
}

# A notebook can use floors 0 to 4 with little more than jax.
LIGHT = {"jax", "numpy", "flax", "optax", "chex"}
HEAVY = {
    "data": {
        "PIL",
        "array_record",
        "datasets",
        "etils",
        "importlib_resources",
        "scipy",
        "sklearn",
        "soundfile",
        "tensorflow",
        "tensorflow_datasets",
    },
    "checkpoint": {"orbax"},
    "interop": {
        "jax2onnx",
        "onnxruntime",
        "safetensors",
        "timm",
        "torch",
        "torchvision",
        "transformers",
    },
}
TABLES = {
    "ENCODERS",
    "METHODS",
    "OPTIMIZERS",
    "PROTOCOLS",
    "SCHEDULES",
    "SOURCES",
    "VIEWS",
}


def imported(tree, package):
    """(line, dotted name) of every imported thing, at any depth of the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package[: len(package) - node.level + 1]
                module = ".".join([*base, *filter(None, [module])])
            for name in node.names:
                yield node.lineno, f"{module}.{name.name}"


def inside(name, prefix):
    return name == prefix or name.startswith(prefix + ".")


def complaint_about_ours(unit, name):
    """What is wrong with importing `name`, "jax_ssl." taken off; None if nothing."""
    if inside(name, unit) or name == "__version__":
        return None
    if not any(inside(name, prefix) for prefix in GRANTED[unit]):
        granted = ", ".join(GRANTED[unit]) or "nothing"
        return f"{unit} (floor {FLOOR[unit]}) may import {granted}"
    if name.split(".")[-1] in TABLES and FLOOR[unit] < 7:
        return "only config and plan read the tables"
    return None


def complaint_about_others(unit, name):
    """The same for names outside the package."""
    package, floor = name.split(".")[0], FLOOR[unit]
    if package in sys.stdlib_module_names:
        return None
    if package == "flax":
        if inside(name, "flax.struct"):
            return None if unit == "core" else "only core imports flax.struct"
        if inside(name, "flax.traverse_util"):
            return None
        if not inside(name, "flax.linen"):
            return "of flax, only linen, traverse_util and core's struct are used"
        return None if 2 <= floor <= 4 else "flax.linen stays on floors 2 to 4"
    if package in ("tensorflow", "tensorflow_datasets"):
        return None if unit == "data" else f"only data imports {package}"
    if package in ("ml_collections", "absl"):
        return None if floor >= 7 else f"{package} stays on floors 7 and 8"
    if floor <= 4 and package not in LIGHT | HEAVY.get(unit, set()):
        return f"{unit} (floor {floor}) imports no {package}"
    return None


def offences(path, source):
    """One line for every import of `path`, relative to the root, that breaks a rule."""
    parts = pathlib.PurePosixPath(path).with_suffix("").parts
    unit = parts[1]
    if unit not in FLOOR:
        return [f"{path}:1: {unit} has no floor; give it one in tests/test_floors.py"]
    found = []
    for line, name in imported(ast.parse(source), parts[:-1]):
        if inside(name, "jax_ssl"):
            why = complaint_about_ours(unit, name.removeprefix("jax_ssl."))
        else:
            why = complaint_about_others(unit, name)
        if why:
            found.append(f"{path}:{line}: imports {name}; {why}")
    return found


def test_every_import_keeps_to_its_floor():
    files = sorted((ROOT / "jax_ssl").rglob("*.py"))
    assert len(files) > 30
    found = [
        offence
        for file in files
        for offence in offences(file.relative_to(ROOT).as_posix(), file.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


def test_references_know_nothing_of_jax():
    found = []
    for file in sorted((ROOT / "tests" / "references").rglob("*.py")):
        path = file.relative_to(ROOT)
        for line, name in imported(ast.parse(file.read_text()), path.parts[:-1]):
            if name.split(".")[0] in ("jax", "jaxlib", "jax_ssl", "flax", "optax"):
                found.append(f"{path}:{line}: imports {name}")
    assert not found, "\n" + "\n".join(found)


def is_there(name):
    """Whether `name`, dotted, is a module of the project or a name in one."""
    module, _, last = name.rpartition(".")
    loaded = importlib.import_module(module)
    # Only a package has modules below it.
    return hasattr(loaded, last) or (
        hasattr(loaded, "__path__") and importlib.util.find_spec(name) is not None
    )


def test_all_that_others_import_from_the_package_is_there():
    # Slow tests, experiments and the site are run seldom: a name that has moved away
    # from under them is found here.
    files = [
        file
        for folder in ("configs", "docs", "experiments", "tests")
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert len(files) > 300
    found = [
        f"{file.relative_to(ROOT)}:{line}: no {name}"
        for file in files
        for line, name in imported(ast.parse(file.read_text()), file.parts[:-1])
        if name.startswith("jax_ssl.") and not is_there(name)
    ]
    assert not found, "\n" + "\n".join(found)


def test_grants_lead_down_but_for_the_listed_pairs():
    assert set(GRANTED) == set(FLOOR)
    up = {
        (unit, grant)
        for unit, grants in GRANTED.items()
        for grant in grants
        if FLOOR[grant.split(".")[0]] >= FLOOR[unit]
    }
    assert up == SIDEWAYS


CONVICTED = {
    "upwards": ("losses/a.py", "from jax_ssl.methods.simclr import simclr"),
    "sideways": ("ops/a.py", "import jax_ssl.parallel.rows"),
    "sideways by name": ("nn/a.py", "from jax_ssl.losses import contrastive"),
    "parallel in a loss": (
        "losses/a.py",
        "from jax_ssl.parallel.mesh import make_mesh",
    ),
    "parallel as a whole": ("losses/a.py", "from jax_ssl import parallel"),
    "data in a method": ("methods/a.py", "from jax_ssl.data.order import sweep"),
    "optim in a method": ("methods/a.py", "from jax_ssl.optim.lars import lars"),
    "parallel in a method": ("methods/a.py", "from jax_ssl.parallel import rows"),
    "checkpoint in a method": ("methods/a.py", "import jax_ssl.checkpoint.export"),
    "method in a probe": ("evaluate/a.py", "from jax_ssl.methods import simclr"),
    "step in a probe": ("evaluate/a.py", "from jax_ssl.train.step import train_step"),
    "anything in the report": ("report/a.py", "from jax_ssl.evaluate import knn"),
    "evaluate in the loop": ("train/a.py", "from jax_ssl.evaluate.knn import knn"),
    "a table low down": ("train/a.py", "from jax_ssl.encoders import ENCODERS"),
    "relative": ("core/a.py", "from ..ops import normalize"),
    "relative, one up": ("core/a.py", "from .. import ops"),
    "in a function": ("core/a.py", "def f():\n    import jax_ssl.ops.conv"),
    "linen in core": ("core/a.py", "import flax.linen as nn"),
    "linen in train": ("train/a.py", "from flax import linen as nn"),
    "linen in ops": ("ops/a.py", "from flax.linen import Module"),
    "struct outside core": ("methods/a.py", "import flax.struct"),
    "nnx": ("nn/a.py", "from flax import nnx"),
    "tensorflow": ("evaluate/a.py", "import tensorflow as tf"),
    "tfds": ("config.py", "import tensorflow_datasets as tfds"),
    "config dicts": ("methods/a.py", "from ml_collections import ConfigDict"),
    "flags": ("train/a.py", "from absl import flags"),
    "torch in an encoder": ("encoders/a.py", "import torch"),
    "orbax outside checkpoint": ("methods/a.py", "import orbax.checkpoint as ocp"),
    "a folder without a floor": ("helpers/a.py", ""),
}


@pytest.mark.parametrize("case", CONVICTED)
def test_the_walker_convicts(case):
    path, source = CONVICTED[case]
    lines = offences(f"jax_ssl/{path}", source)
    assert len(lines) == 1
    assert lines[0].startswith(f"jax_ssl/{path}:{max(1, source.count(chr(10)) + 1)}: ")


ACQUITTED = {
    "own folder": ("ops/a.py", "from jax_ssl.ops.normalize import l2_normalize"),
    "relative": ("ops/a.py", "from .normalize import l2_normalize"),
    "rows in a loss": ("losses/a.py", "from jax_ssl.parallel.rows import map_examples"),
    "ring in a loss": (
        "losses/a.py",
        "from jax_ssl.parallel.ring import logsumexp_over_rows",
    ),
    "rows by name": ("losses/a.py", "from jax_ssl.parallel import rows"),
    "sweep in a probe": ("evaluate/a.py", "from jax_ssl.train.sweep import Sweep"),
    "data in a probe": ("evaluate/a.py", "from jax_ssl.data.source import Source"),
    "linen in an encoder": ("encoders/a.py", "import flax.linen as nn"),
    "struct in core": ("core/a.py", "import flax.struct"),
    "tfds in data": ("data/a.py", "def f():\n    import tensorflow_datasets"),
    "the tables in config": ("config.py", "from jax_ssl.methods import METHODS"),
    "a table at home": ("methods/a.py", "from jax_ssl.methods import METHODS"),
    "the version": ("checkpoint/a.py", "from jax_ssl import __version__"),
    "flags in the command line": ("cli.py", "from absl import flags"),
}


@pytest.mark.parametrize("case", ACQUITTED)
def test_the_walker_acquits(case):
    path, source = ACQUITTED[case]
    assert offences(f"jax_ssl/{path}", source) == []

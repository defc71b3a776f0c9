"""Nonsense for every setting of every section: a sentence that names it, or a build.

Values that make sense for one setting are nonsense for another, so nothing is said here
of which is refused: NaN and infinity alone never pass.
"""

import copy
import math

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from jax_ssl.config import Experiment, resolved
from jax_ssl.config.bind import NEEDED, bind, unwrapped
from jax_ssl.config.sections import TABLES
from jax_ssl.config.settings import catalogue, describe
from jax_ssl.core.fields import spec_of
from jax_ssl.data import synthetic_scenes

HUGE, NAN = 1e999, float("nan")
NONSENSE = (
    *(0, -1, 5, 2**63, -(2**63), HUGE, -HUGE, NAN, 0.5, None, True, "x", "", "a\0b"),
    *([], {}, [0], [-1], [NAN], [None], [[]], [HUGE, 1], (3, -2), [["(", None]]),
    *({"x": 1}, {"name": "x"}, {"name": "constant", "value": NAN}),
)
VIT = {"name": "vit", "dim": 8, "depth": 1, "num_heads": 2, "patch": 4}
VIT |= {"image_size": 8, "mask_token": True}
VIEW = {"name": "identity"}
BASE = {
    "encoder": {"name": "convnet", "widths": (4,)},
    "method": {"name": "simclr", "hidden_dim": 4, "output_dim": 4},
    "views": {"name": "two_crops", "size": 8},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "data": {"name": "synthetic", "num_examples": 16, "size": 8},
    "feed": {"batch_size": 8},
    "evals": {"view": VIEW},
    "run": {"num_steps": 10},
    "doctor": None,
}
WAVE_GRU = {"name": "wave_gru", "widths": (4,), "kernels": (4,), "strides": (2,)}
WAVES = {"name": "synthetic_waves", "num_examples": 16, "samples": 64}
FRAMES = {"name": "synthetic_frames", "num_examples": 16, "size": 8}
ALONE = ("views.film", "views.whole_film", "data.synthetic_scenes")
ALONE_FILMS = synthetic_scenes(num_examples=1, size=(8, 8))
# Settings without a default, and a few whose default is too large for 16 examples.
GIVEN = {"learning_rate": 0.1, "size": 8, "samples": 32, "teacher": VIT, "view": VIEW}
GIVEN |= {"num_classes": 2, "value": 0.1, "init_value": 0.1, "end_value": 0.2}
GIVEN |= {"peak_value": 0.1, "drops": (1,), "epochs": 0.5, "batch_size": 8}
GIVEN |= {"dim": 8, "depth": 1, "num_heads": 2, "patch": 4, "image_size": 8}
GIVEN |= dict.fromkeys(
    ("path", "images", "dataset", "data_dir", "split"), "/nonexistent"
)
SMALL = {
    "encoder.alexnet": {"kernel": 3, "stride": 1, "pools": (1,)},
    "method.clusterfit": {"num_clusters": 4},
    "method.deepcluster": {"num_clusters": 4},
    "method.distillation": {"num_classes": 2},
    "method.deepcluster_v2": {"num_prototypes": 4},
    "method.segmenter": {"num_classes": 2},
    "method.detector": {"num_classes": 2},
    "views.detection_crops": {"size": 8, "carried": ()},
    "views.detection_whole": {"size": 8, "carried": ()},
    "views.segmentation_crops": {"carried": ()},
    "data.revisited": {"split": "queries"},
    "evals.revisited": {"ground_truth": "/nonexistent"},
    "evals.linear_segmentation": {"num_classes": 2},
    "evals.unet_segmentation": {"num_classes": 2},
    "schedule.warmup_cosine": {"warmup_steps": 1},
}


def paths():
    """Every factory once: partials of one differ in their defaults alone."""
    first = {unwrapped(maker)[0]: path for path, maker in reversed(catalogue().items())}
    return sorted(first.values())


def config_of(path):
    """A config that uses what the path names, and its section there."""
    config = copy.deepcopy(BASE)
    section, _, name = path.partition(".")
    needed = {s.name for s in describe(catalogue()[path]) if s.default is NEEDED}
    own = {key: GIVEN[key] for key in GIVEN if key in needed} | SMALL.get(path, {})
    if section == "schedule":
        own = config["optimizer"]["learning_rate"] = {"name": name, **own}
    elif section in TABLES:
        own = config[section] = {"name": name, **own}
    elif name:
        config["evals"][name] = own
    else:
        own = config[section] = {**(config.get(section) or {}), **own}
    if name in ("mae", "dinov2", "dinov2_distillation") and section == "method":
        config["encoder"] = dict(VIT)
    if name in ("random_window", "two_windows", "wave_window"):
        config["data"] = WAVES
        config["evals"]["view"] = {"name": "wave_window", "samples": 32}
    if name == "cpc_audio":
        config["encoder"], config["data"] = dict(WAVE_GRU), WAVES
        config["views"] = {"name": "random_window", "samples": 32}
        config["evals"]["view"] = {"name": "wave_window", "samples": 32}
    if name in ("two_frames", "first_frame"):
        config["data"], config["evals"]["view"] = FRAMES, {"name": "first_frame"}
    if name == "synthetic_waves":
        config["views"] = {"name": "two_windows", "samples": 32}
        config["evals"]["view"] = {"name": "wave_window", "samples": 32}
        own.update(num_examples=16, samples=64)
    if name == "synthetic_frames":
        config["views"], config["evals"]["view"] = (
            {"name": "two_frames"},
            {"name": "first_frame"},
        )
        own.update(num_examples=16, size=8)
    if path in ALONE:
        own.update(size=(8, 8))
    return config, own


def alone(path, own):
    """Makes a part and uses it, where no method here reads what it gives."""
    settings = {name: value for name, value in own.items() if name != "name"}
    fields = ALONE_FILMS.fields
    made = bind(catalogue()[path], {"fields": fields}, settings)
    if path.startswith("data."):
        made[np.arange(1)]
    else:
        jax.eval_shape(made, jax.random.key(0), spec_of(fields))


def drawn(path):
    """One value for each setting, another one for the next."""
    for i, setting in enumerate(describe(catalogue()[path]), start=len(path)):
        yield setting, NONSENSE[i % len(NONSENSE)]


def everything(path):
    for setting in describe(catalogue()[path]):
        for value in NONSENSE:
            yield setting, value


def wrong(path, pairs):
    """What is neither built nor refused by a sentence that names the setting."""
    for setting, value in pairs:
        config, own = config_of(path)
        own[setting.name] = value
        if path == "run" and setting.name == "num_epochs":
            del own["num_steps"]
        try:
            alone(path, own) if path in ALONE else Experiment(
                resolved(ConfigDict(config))
            )
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
            known = isinstance(error, FileNotFoundError) or setting.name in said
            if not known or "\n" in said or len(said) > 700:
                yield setting.name, value, said
        except Exception as error:
            yield setting.name, value, repr(error)
        else:
            if isinstance(value, float) and not math.isfinite(value):
                yield setting.name, value, "was accepted"


@pytest.mark.parametrize("path", paths())
def test_some_nonsense_is_refused_by_the_name_of_its_setting(path):
    assert list(wrong(path, drawn(path))) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", paths())
def test_all_nonsense_is_refused_by_the_name_of_its_setting(path):
    assert list(wrong(path, everything(path))) == []


@pytest.mark.parametrize("section", sorted(BASE))
@pytest.mark.parametrize("value", [5, "x", [], NAN, None, {}])
def test_a_section_is_a_mapping(section, value):
    config = {**BASE, section: value}
    if section == "doctor" and value in (None, {}):
        return
    with pytest.raises(ValueError, match=section):
        Experiment(resolved(ConfigDict(config)))

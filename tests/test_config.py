import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.config.bind import bind, pick
from jax_ssl.core.fields import INDEX, LENGTH, ON_CANVAS, Field, spec_of
from jax_ssl.encoders import ENCODERS
from jax_ssl.train.feeds import Feed
from jax_ssl.train.program import program

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
PAGES = sorted(path for path in CONFIGS.glob("*.py") if path.stem != "common")


def heard(shape):
    """The fields of a sound."""
    return {"wave": Field("wave", shape, jnp.float32, rate=16_000), "length": LENGTH}


def seen(shape):
    """The field of an image."""
    return {"image": Field("image", shape, jnp.uint8)}


def filmed(size, num_frames=3, stereo=False):
    """The fields of a film of one camera, or of two, and of what is known of it."""
    shape = (num_frames, *size, 3)
    found = {"depth": Field("depth", size, jnp.float32)}
    if not stereo:
        found["frames"] = Field("frames", shape, jnp.uint8)
        return found | {"intrinsics": Field("matrix", (3, 3), jnp.float32)}
    for side in ("left", "right"):
        found[f"{side}_frames"] = Field("frames", shape, jnp.uint8)
        found[f"{side}_camera"] = Field("matrix", (3, 4), jnp.float32)
    return found


class Fake:
    """A source with the shapes of a data set, and none of its images."""

    name = "fake"

    def __init__(self, length, shape, canvas=False, **film):
        self.length = length
        known = {1: heard, 2: functools.partial(filmed, **film), 3: seen}
        self.fields = {
            **known[len(shape)](shape),
            "index": INDEX,
            "label": Field("label", (), jnp.int32),
            **(ON_CANVAS if canvas else {}),
        }

    def __len__(self):
        return self.length

    def keep(self, names):
        self.fields = {name: self.fields[name] for name in names}
        return self


SHAPES = {
    "digits": ((1437, (8, 8, 1)), False),
    "cifar10": ((50_000, (32, 32, 3)), False),
    "imagenet2012": ((1_281_167, (512, 512, 3)), True),
    "imagenet2012_subset/1pct": ((12_811, (512, 512, 3)), True),
    "imagenette/160px-v2": ((9469, (256, 256, 3)), True),
    "folder": ((400, (128, 128, 3)), True),
    "npz": ((2700, (8192,)), False),
    "isbi.npz": ((24, (512, 512, 1)), False),
    "camvid.npz": ((367, (120, 160, 3)), False),
    "sounds": ((70_000, (81_920,)), False),
    "synthetic_scenes": ((512, (64, 96)), False),
    "kitti": ((40_000, (376, 1242)), False),
    "flying_chairs": ((22_232, (384, 512)), False),
    "coco": ((117_266, (640, 640, 3)), True),
}


def page(name="simclr_digits.py"):
    return load_page(str(CONFIGS / name))


def lighter(config):
    """The page with networks of its kinds that are traced in a fraction of the time."""
    encoder, method = dict(config["encoder"]), dict(config["method"])
    if encoder["name"].startswith("resnet"):
        # A decoder of depth doubles as often as all four stages halve.
        stages = 4 if method["name"] == "monodepth2" else 2
        encoder |= {"name": "resnet18", "stage_sizes": (1,) * stages}
    elif encoder["name"].startswith("vit"):
        encoder["scan_layers"] = True
    if "decoder_depth" in method:
        method["decoder_depth"] = 1
    return {**config, "encoder": encoder, "method": method}


def source_of(config):
    data = config["data"]
    name = data.get("dataset", data["name"])
    shape, canvas = SHAPES[data["path"] if data.get("path") in SHAPES else name]
    film = {n: data[n] for n in ("num_frames", "stereo") if data.get(n)}
    fake = Fake(*shape, canvas=canvas, **film)
    for field, kind in (data.get("fields") or {}).items():
        if kind in ("mask", "distance"):
            dtype = jnp.uint8 if kind == "mask" else jnp.float32
            classes = len(config["method"].get("class_weights") or "ab")
            names = tuple(map(str, range(classes))) if kind == "mask" else None
            fake.fields[field] = Field(kind, shape[1][:2], dtype, names=names)
    if name == "coco":
        names = tuple(map(str, range(80)))
        fake.fields["boxes"] = Field("boxes", (93, 5), jnp.float32, names=names)
    return fake


def experiment_of(config):
    """Built for as many of the devices as can share its batches."""
    shared = math.gcd(config["feed"]["batch_size"], jax.device_count())
    devices = jax.devices()[:shared]
    return Experiment(config, source=source_of(config), devices=devices)


def kinds():
    """The first page of every method with every kind of encoder."""
    first: dict = {}
    for path in PAGES:
        config = load_page(str(path))
        pair = config["method"]["name"], config["encoder"]["name"][:6]
        # What a method's first encoder shows, the others show again.
        again = any(method == pair[0] for method, _ in first)
        # Both have the loss, the views and the encoder of "dinov2".
        again = again or pair[0] == "dinov2_distillation"
        marks = [pytest.mark.slow] if again else []
        first.setdefault(pair, pytest.param(path, marks=marks, id=path.stem))
    return list(first.values())


KINDS = kinds()
TRACED = [kind.values[0] for kind in KINDS if not kind.marks]


@pytest.mark.parametrize(
    "path", [p for p in PAGES if p not in TRACED], ids=lambda path: path.stem
)
def test_every_other_page_is_built(path):
    experiment = experiment_of(resolved(load_page(str(path))))
    assert float(experiment.learning_rate(0)) >= 0


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_the_folder_page_grows_by_one_argument(size):
    config = resolved(load_page(f"{CONFIGS / 'folder.py'}:{size}"))
    shape = (*(config["data"]["canvas"],) * 2, 3)
    experiment = Experiment(config, source=Fake(5000, shape, canvas=True))
    # Of a laptop's size, whatever the number of images.
    if size == "small":
        assert experiment.plan.num_steps == 400
    with pytest.raises(ValueError, match="no size 'huge'; choose small, medium"):
        load_page(f"{CONFIGS / 'folder.py'}:huge")


def traced(path, *, trains):
    """The program of a page with a light encoder: its first state, or its step too."""
    config = resolved(load_page(str(path)))
    maker, settings = pick(ENCODERS, config["encoder"], "encoder")
    assert bind(maker, {}, settings)
    experiment = experiment_of(lighter(config))
    assert float(experiment.learning_rate(0)) >= 0
    feed = Feed(
        experiment.source,
        mesh=experiment.mesh,
        seed=0,
        batch_size=experiment.feeding.batch_size,
    )
    return program(
        experiment.method, experiment.tx, feed, experiment.mesh, trains=trains
    )


@pytest.mark.parametrize("path", KINDS)
def test_methods_fit_their_encoders_and_views(path):
    assert traced(path, trains=False).abstract.step.shape == ()


@pytest.mark.slow
@pytest.mark.parametrize("path", KINDS)
def test_steps_of_pages_are_traced_too(path):
    assert traced(path, trains=True).checked_leaves


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_is_a_lab_notebook_page(path):
    text = path.read_text()
    assert "Paper:" in text
    assert "Run:" in text
    assert "Ours:" in text


def test_a_protocol_of_several_parts_is_for_the_end_of_a_run():
    config = override(page(), ["evals.layers={'epochs': 3}"])
    asked = Experiment(resolved(config), source=source_of(config)).protocols
    stages = [protocol for protocol in asked if protocol.name == "layers"]
    assert len(stages) == len(config["encoder"].get("widths", (24, 48)))
    config = override(page(), ["evals.online={'protocol': 'layers'}"])
    with pytest.raises(ValueError, match=r"evals.online.protocol = 'layers' judges"):
        Experiment(resolved(config), source=source_of(config))


def test_every_protocol_predicts_every_field_of_labels():
    config = override(page("cpc_audio_digits.py"), ["evals.knn={'k': 5}"])
    asked = Experiment(resolved(config), source=source_of(config)).protocols
    found = [(p.name, p.needs) for p in asked]
    names = ("frames", "knn", "linear")
    assert found == [(n, (field,)) for n in names for field in ("label", "speaker")]
    config = override(config, ["evals.labels=()"])
    asked = Experiment(resolved(config), source=source_of(config)).protocols
    assert [(p.name, p.needs) for p in asked] == [(n, ("label",)) for n in names]


def test_deepcluster_has_the_papers_network_too():
    config = resolved(page("deepcluster_imagenet.py:alexnet"))
    assert config["encoder"]["name"] == "alexnet"
    experiment = Experiment(config, source=source_of(config))
    stages = [p for p in experiment.protocols if p.name == "layers"]
    assert len(stages) == 5
    with pytest.raises(ValueError, match="no network 'vgg16'; choose alexnet or"):
        page("deepcluster_imagenet.py:vgg16")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mae_cifar10.py:bert", {"encode": "all", "mask_ratio": 0.15}),
        ("mae_cifar10.py", {"encode": "visible", "mask_ratio": 0.75}),
        ("mae_imagenet.py:vit_l-800-all", {"encode": "all", "mask_ratio": 0.75}),
        ("mae_imagenet.py:vit_l-1600", {"encode": "visible", "mask_ratio": 0.75}),
    ],
)
def test_pages_of_mae_say_where_mask_tokens_are(name, wanted):
    config = resolved(page(name))
    experiment = Experiment(config, source=source_of(config))
    assert wanted.items() <= config["method"].items()
    assert experiment.method.encoder.mask_token == (wanted["encode"] == "all")
    with pytest.raises(ValueError, match="say "):
        page(f"{name.partition(':')[0]}:huge")


def test_cpc_on_librispeech_has_the_released_codes_settings_too():
    config = resolved(page("cpc_audio_librispeech.py:cpc_audio"))
    assert config["method"]["num_negatives"] == 128
    assert Experiment(config, source=source_of(config)).method.health.chance(64) == (
        pytest.approx(4.8598, abs=1e-4)
    )
    with pytest.raises(ValueError, match="no recipe 'deep'; choose one of paper, cpc"):
        page("cpc_audio_librispeech.py:deep")


def test_page_takes_an_argument():
    steps = [
        resolved(page(f"simclr_imagenet.py:{n}"))["run"]["num_epochs"]
        for n in (100, 1000)
    ]
    assert steps == [100, 1000]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("method.temprature=0.1", "'temprature'; did you mean 'temperature'"),
        ("method.temperature='hot'", "'temperature' = 'hot' must be float"),
        ("method.temperature=-1", "temperature = -1.* must be positive"),
        ("method.name=simclear", "did you mean 'simclr'"),
        ("optimiser.name=sgd", "no section 'optimiser'; did you mean 'optimizer'"),
        ("feed.batch_size=1000000", "1000000"),
        ("feed.batch_size=100", "cannot be shared by 8 devices.* 96 and 104"),
        ("run.chunks=3", "by 8 devices in run.chunks = 3.* 240 and 264"),
        ("run.view_dtype=half", "view_dtype' = 'half' must be .*bfloat16"),
        ("data.batch_size=100", "data has no .*; there is config.feed.batch_size"),
        ("run.doctor=None", "run has no setting 'doctor'; there is config.doctor"),
        ("feed.batchsize=100", "did you mean 'batch_size'"),
        ("run.num_steps=5", "exactly one of the two"),
        ("run.epochs=5", "no setting 'epochs'"),
        ("mesh.fsdp=3", "fsdp = 3 does not divide"),
        ("encoder.widths=(0,)", "widths"),
        ("evals.view.name=centre_crop", "did you mean 'center_crop'"),
        (
            "optimizer.learning_rate.warmup_epochs=1e6",
            r"^config\.optimizer\.learning_rate: warmup_epochs = 1000000.0 \(",
        ),
        ("run.num_epochs.x=5", "'num_epochs' is the value 300"),
        ("nonsense", "not of the form"),
    ],
)
def test_bad_settings_are_refused_before_compilation(assignment, message):
    with pytest.raises(ValueError, match=message):
        Experiment(resolved(override(page(), [assignment])))


@pytest.mark.parametrize(
    ("section", "own"),
    [
        (
            "views",
            "border, degrees, max_scale, mean, min_scale, noise, shear, std, translate",
        ),
        (
            "feed",
            "batch_size, labelled, labels_per_class, labels_seed, resident, workers",
        ),
        ("mesh", "fsdp, rules"),
        ("evals.knn", "k, label, reads, temperature"),
    ],
)
def test_an_unknown_key_is_answered_with_the_keys_of_its_section_alone(section, own):
    with pytest.raises(ValueError, match=f"'zzzz'; it has {own}\\.$"):
        resolved(override(page(), [f"{section}.zzzz=1"]))


def test_batch_norm_groups_that_do_not_divide_are_refused():
    experiment = Experiment(resolved(override(page(), ["encoder.groups=7"])))
    feed = Feed(experiment.source, mesh=experiment.mesh, seed=0, batch_size=256)
    with pytest.raises(ValueError, match=r"groups = 7 .* 512 rows"):
        program(experiment.method, experiment.tx, feed, experiment.mesh)


def test_a_view_knows_the_fields_of_the_source():
    def built(name):
        view = {"name": "center_crop", "size": 6, "carried": (name,)}
        return Experiment(resolved(override(page(), [f"evals.view={view}"])))

    experiment = built("label")
    example = spec_of(experiment.source.fields)
    made = jax.eval_shape(experiment.view, jax.random.key(0), example)
    assert made["image"].shape == (6, 6, 1)
    assert made["label"].dtype == jnp.int32
    with pytest.raises(ValueError, match=r"config\.evals\.view: .* have no 'mask'"):
        built("mask")


def feed_of(experiment):
    size = experiment.feeding.batch_size
    source = experiment.source
    return Feed(source, mesh=experiment.mesh, seed=0, batch_size=size)


def test_chunks_that_cut_through_groups_are_refused_before_compilation():
    changes = ["run.chunks=4", "encoder.groups=8"]
    experiment = Experiment(resolved(override(page(), changes)))
    with pytest.raises(ValueError, match=r"groups to a multiple of 32, or run.chunks"):
        experiment.program(feed_of(experiment))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "encoder.groups=7",
            r"^config\.encoder: batch norm in groups = 7 .* of 512\.$",
        ),
        ("run.init_from={'nope': 'x'}", r"^config\.run\.init_from = .*is 'encoder'\.$"),
    ],
)
def test_a_wrong_setting_is_not_blamed_on_a_combination(change, message):
    experiment = Experiment(resolved(override(page(), [change])))
    with pytest.raises(ValueError, match=message):
        experiment.program(feed_of(experiment))


def test_a_wrong_pair_is_not_blamed_on_a_combination():
    changes = [
        "encoder={'name': 'convnet', 'widths': (4,)}",
        "method={'name': 'amdim', 'sides': (9, 3), 'output_dim': 4}",
    ]
    experiment = Experiment(resolved(override(page(), changes)))
    with pytest.raises(ValueError, match=r"^config\.method: sides = .*these\.$"):
        experiment.program(feed_of(experiment))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("optimizer.exclude=['[']", "config.optimizer: exclude"),
        ("optimizer.rates=[['[', 0.1]]", "config.optimizer: rates"),
        ("mesh.rules=[['[', ['data']]]", "config.mesh.rules"),
    ],
)
def test_patterns_are_read_at_the_start(change, named):
    config = resolved(override(page(), [change]))
    with pytest.raises(
        ValueError, match=rf"^{named}: the pattern '\[' is not a regular"
    ):
        Experiment(config)


def test_rules_of_the_page_place_arrays():
    wide = ["mesh.fsdp=2", "encoder.widths=(8, 512)", "method.hidden_dim=1024"]
    rules = "mesh.rules=[['projector/dense0/kernel$', [None, ['data', 'fsdp']]]]"
    experiment = Experiment(resolved(override(page(), [*wide, rules])))
    made = experiment.program(feed_of(experiment))
    projector = made.abstract.params["projector"]
    assert projector["dense0"]["kernel"].sharding.spec == P(None, ("data", "fsdp"))
    assert projector["dense1"]["kernel"].sharding.spec == P()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (["projektor", ["fsdp"]], "'projektor' decides over no array"),
        (["dense0/kernel", ["model"]], "'model'.* does not fit .* the axes {'data'"),
        (["dense0/bias|norm0/bias", ["fsdp", "data"]], "does not fit .*norm0/bias"),
    ],
)
def test_rules_that_fit_nothing_are_refused(rule, message):
    experiment = Experiment(resolved(override(page(), [f"mesh.rules={[rule]!r}"])))
    with pytest.raises(ValueError, match=message):
        experiment.program(feed_of(experiment))


def test_override_reaches_settings_that_the_page_does_not_spell_out():
    config = resolved(override(page(), ["method.head_layers=3", "mesh.fsdp=2"]))
    assert config["method"]["head_layers"] == 3
    assert config["mesh"]["fsdp"] == 2


def test_another_name_keeps_the_settings_that_both_have():
    changes = ["encoder.name=resnet18", "encoder.stem=small", "encoder.groups=2"]
    config = resolved(override(page(), changes))
    assert config["encoder"]["name"] == "resnet18"
    assert "widths" not in config["encoder"]


def test_a_section_may_be_replaced_whole():
    config = override(page(), ["encoder={'name': 'convnet', 'widths': (4,)}"])
    assert resolved(config)["encoder"]["widths"] == [4]


def test_override_leaves_the_page_alone():
    config = page()
    before = config.to_dict()
    override(config, ["method.temperature=9.0"])
    assert config.to_dict() == before


def test_missing_page_is_named():
    with pytest.raises(ValueError, match=r"no config page 'configs/nope.py'"):
        load_page("configs/nope.py")


def test_a_page_of_the_library_is_found_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = load_page("simclr_digits").to_dict()
    assert here == load_page(str(CONFIGS / "simclr_digits.py")).to_dict()
    assert load_page("folder:medium").to_dict()["encoder"]["name"] == "resnet18"
    with pytest.raises(ValueError, match="did you mean 'simclr_digits'"):
        load_page("configs/simclr_digit.py")
    with pytest.raises(ValueError, match="no config page 'common'"):
        load_page("common")
    # A file of that name counts first.
    (tmp_path / "simclr_digits").write_text("")
    with pytest.raises(ValueError, match="is not a Python file"):
        load_page("simclr_digits")


def test_page_without_get_config_is_named(tmp_path):
    (tmp_path / "page.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="no function get_config"):
        load_page(str(tmp_path / "page.py"))


def test_resolved_config_is_plain_and_resolves_to_itself():
    once = resolved(page())
    assert resolved(ConfigDict(once)) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import common_settings\n",
            r"imports 'common_settings', .*common_settings.py",
        ),
        ("def get_config(:\n", r"SyntaxError"),
        (
            "def get_config(a):\n    return 1 / 0\n",
            r"fails in line 2: ZeroDivisionError",
        ),
        (
            "def get_config(a):\n    return {'y': {}}[a]\n",
            r"does not take the argument 'x' \(KeyError: 'x' in line 2\)\.$",
        ),
        ("def get_config():\n    return {}\n", r"takes no argument; leave out ':x'"),
        ("def get_config(a, b):\n    return {}\n", r"argument 'x' fails: TypeError"),
        (
            "def get_config(a):\n    return {'run': {'seed': min}}\n",
            r"run\.seed = <built",
        ),
    ],
)
def test_a_page_that_fails_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "page.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        resolved(load_page(f"{tmp_path / 'page.py'}:x"))


def test_numpy_scalars_of_a_page_are_numbers():
    tree = page().to_dict()
    tree["method"]["temperature"], tree["run"]["seed"] = np.float32(0.5), np.int64(3)
    made = resolved(ConfigDict(tree))
    assert (made["method"]["temperature"], made["run"]["seed"]) == (0.5, 3)

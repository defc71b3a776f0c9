"""Laws of distillation; the battery is in `tests/test_contract.py`."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.checkpoint.export import export_encoder, load_encoder
from jax_ssl.core.types import Features
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.case import Case
from tests.images import labelled_image, one_image
from tests.leaves import assert_equal
from tests.methods.errors import Linear, central_differences, stirred
from tests.methods.pairs import float64
from tests.references import prediction as reference

B, K = 8, 3
KEY, STEP = jax.random.key(1), jnp.int32(0)
TEACHER = {"name": "convnet", "widths": (6, 12)}
PLAIN = {"name": "linear", "width": 6}


def half_labelled(key, example):
    """One view, and for every other image its label."""
    seen = labelled_image(key, example)
    label = jnp.where(example["index"] % 2 == 0, seen["label"].astype(jnp.int32), -1)
    return {**seen, "label": label}


# The teacher is as it was drawn, with a head that tells its features apart.
CASES = {
    "distillation": Case(
        "distillation",
        {
            "num_classes": K,
            "teacher": {"name": "convnet", "widths": (4, 8)},
            "hard_weight": 0.3,
            "hint": (0, 0),
            "first_std": 1.0,
        },
        half_labelled,
        learning_rate=0.03,
    ),
    "distillation-features": Case(
        "distillation",
        {"target": "features", "teacher": {"name": "convnet", "widths": (4, 8)}},
        one_image,
        learning_rate=0.05,
    ),
}


def elder(section):
    settings = dict(section)
    name = settings.pop("name")
    return Linear(**settings) if name == "linear" else ENCODERS[name](**settings)


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(B, 8, 8, 3))
    label = np.where(np.arange(B) % 2, -1, rng.integers(0, K, B))
    return {"image": jnp.float32(image), "label": jnp.int32(label)}


def made(views, encoder=None, teacher=PLAIN, **settings):
    encoder = encoder or Linear()
    given = {"teacher": teacher, "num_classes": K, "first_std": 0.5, **settings}
    method = METHODS["distillation"](encoder, half_labelled, elder, **given)
    params, state = jax.jit(method.init)(jax.random.key(0), views)
    return method, stirred(params), state._replace(teacher=stirred(state.teacher))


def value_of(method):
    return jax.jit(functools.partial(method.loss, key=KEY, step=STEP))


SETTINGS = {
    "logits": {"temperature": 3.0, "hard_weight": 0.25},
    "soft": {"temperature": 1.0, "hard_weight": 0.0},
    "features": {"target": "features"},
    "hint": {"hint": (-1, 0), "hint_weight": 2.0, "hard_weight": 1.0},
}


class Staged(Linear):
    """The linear encoder, its features being a stage too."""

    def __call__(self, x, *, train):
        found = super().__call__(x, train=train)
        return Features(found.pooled, found.grid, (found.grid,))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow if k == "soft" else []) for k in SETTINGS],
)
def test_loss_and_gradient_are_those_of_float64(kind, rng):
    views = {
        "image": rng.uniform(size=(B, 3, 3, 1)).astype(np.float32),
        "label": np.array([0, -1, 2, 1, -1, -1, 2, 0], np.int32),
    }
    settings = SETTINGS[kind]
    method = METHODS["distillation"](
        Staged(), None, lambda section: Staged(6), teacher={}, num_classes=K, **settings
    )
    params, state = method.init(KEY, views)
    params, state = stirred(params), state._replace(teacher=stirred(state.teacher))
    grad = jax.value_and_grad(method.loss, has_aux=True)
    (value, _), slope = jax.jit(functools.partial(grad, key=KEY, step=STEP))(
        params, state, views
    )
    flat = np.float64(views["image"]).reshape(B, -1)

    def through(x, dense):
        return x @ dense["kernel"] + dense["bias"]

    def features(p):
        return np.maximum(through(flat, p["encoder"]["dense"]), 0)

    known = float64(state.teacher.params)

    def loss(p):
        own, other = features(p), features(known)
        if kind == "features":
            return np.mean((through(own, p["adapter"]["dense"]) - other) ** 2)
        scores = [through(x, q["head"]["dense"]) for x, q in ((own, p), (other, known))]
        hard, _ = reference.labelled_cross_entropy(scores[0], views["label"])
        share = settings["hard_weight"]
        soft, _ = reference.softened_kl(*scores, settings.get("temperature", 4.0))
        total = share * hard + (1 - share) * soft
        if kind == "hint":
            total += np.mean((through(own, p["hint"]["dense"]) - other) ** 2)
        return total

    wide = float64(params)
    assert value == pytest.approx(loss(wide), rel=1e-5)
    ravel = jax.flatten_util.ravel_pytree
    wanted = ravel(central_differences(loss, wide))[0]
    off = np.linalg.norm(np.float64(ravel(slope)[0]) - wanted)
    assert off < 1e-5 * np.linalg.norm(wanted)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(views):
    twin = METHODS["distillation"](
        Linear(),
        None,
        lambda section: Linear(),
        teacher={},
        num_classes=K,
        hard_weight=0.0,
    )
    params, held = twin.init(KEY, views)
    held = held._replace(teacher=held.teacher._replace(params=params))
    grad = jax.value_and_grad(twin.loss, has_aux=True)
    (value, (_, told)), slope = grad(params, held, views, key=KEY, step=STEP)
    assert value == 0
    assert told["agreement"] == 1
    assert max(abs(leaf).max() for leaf in jax.tree.leaves(slope)) < 1e-6


def test_labels_that_are_not_there_are_not_read_and_the_teacher_stays(views):
    method, params, state = made(views)
    other = {**views, "label": jnp.where(views["label"] < 0, -7, views["label"])}
    loss = value_of(method)
    found = loss(params, state, views)
    assert_equal(loss(params, state, other), found)
    assert_equal(found[1][0].teacher, state.teacher)
    _, after = method.update(params, found[1][0], step=jnp.int32(1))
    assert_equal(after.teacher, state.teacher)


@pytest.mark.parametrize(
    "name",
    [
        "classifier",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("mean_teacher", "distillation")
        ),
    ],
)
def test_an_exported_classifier_is_a_teacher(views, tmp_path, name):
    """Of a classifier, of a mean teacher, and of a student, which can teach in turn."""
    pair = {**views, "image": jnp.stack([views["image"]] * 2, axis=1)}
    makers = {
        "classifier": (views, {"mixup": 0.0, "cutmix": 0.0}),
        "mean_teacher": (pair, {}),
        "distillation": (views, {"teacher": PLAIN}),
    }
    method, params, state = made(views, teacher=TEACHER)
    load = method.loads["teacher"]
    assert (load.required, load.export) == (True, "classifier")
    seen, settings = makers[name]
    wires = (elder,) if name == "distillation" else ()
    teacher = METHODS[name](
        elder(TEACHER), None, *wires, num_classes=K, first_std=0.5, **settings
    )
    own, held = jax.jit(teacher.init)(jax.random.key(7), seen)
    path = tmp_path / f"{name}.npz"
    export_encoder(path, teacher.exports["classifier"](own, held), {})
    variables, _ = load_encoder(path)
    _, filled = load.fill(params, state, variables)
    said = np.asarray(teacher.health.project(own, held, views["image"]))
    _, (_, told) = value_of(method)(params, filled, views)
    student = np.asarray(method.health.project(params, filled, views["image"]))
    agreement = (said.argmax(-1) == student.argmax(-1)).mean()
    np.testing.assert_allclose(told["agreement"], agreement)
    soft, _ = reference.softened_kl(student, said, 4.0)
    np.testing.assert_allclose(told["soft_loss"], soft, rtol=1e-4)


def test_pictures_are_softened_by_the_temperature(views):
    """Heads that see no features say their bias: T log p is p at temperature T."""
    method, params, state = made(views, temperature=3.0)
    examples = {"view": views["image"]}
    wanted = {"teacher": np.array([0.6, 0.3, 0.1]), "student": np.full(K, 1 / K)}

    def saying(copy, p):
        head = copy["head"]["dense"]
        blind = {"kernel": 0 * head["kernel"], "bias": jnp.float32(3 * np.log(p))}
        return {**copy, "head": {"dense": blind}}

    taught = saying(state.teacher.params, wanted["teacher"])
    state = state._replace(teacher=state.teacher._replace(params=taught))
    params = saying(params, wanted["student"])

    @jax.jit
    def pictures(params, state, examples):
        (shown,) = method.shows(params, state, examples, KEY).values()
        assert [kind for kind, _ in shown.columns.values()][1:] == ["probabilities"] * 3
        return {name: x for name, (_, x) in shown.columns.items()}, shown.labels

    found, labels = pictures(params, state, examples)
    for name, p in wanted.items():
        values = found[f"probabilities at temperature 3: {name}"]
        np.testing.assert_allclose(values, np.tile(p, (B, 1)), atol=1e-6)
    assert labels == {}
    features = METHODS["distillation"](
        Linear(), None, elder, teacher=PLAIN, target="features"
    )
    assert features.shows(params, state, examples, KEY) == {}


def test_any_exported_encoder_teaches_features(views, tmp_path):
    method, params, state = made(views, target="features", num_classes=None)
    load = method.loads["teacher"]
    assert load.export == "encoder"
    export_encoder(tmp_path / "encoder.npz", load.take(params, state), {})
    variables, _ = load_encoder(tmp_path / "encoder.npz")
    nothing = jax.tree.map(jnp.zeros_like, state.teacher)
    _, filled = load.fill(params, state._replace(teacher=nothing), variables)
    assert_equal(filled.teacher, state.teacher)
    assert method.health.classes is None
    assert set(method.exports) == {"encoder"}
    # Without labels, images alone are views.
    value, _ = value_of(method)(params, state, views["image"])
    assert value == value_of(method)(params, state, views)[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": None}, "num_classes = None: logits .* target = 'features'"),
        ({"num_classes": 1}, "num_classes = 1 must be at least 2"),
        ({"target": "attention"}, "target = 'attention' must be one of"),
        ({"temperature": 0.0}, "temperature = 0.0 must be positive"),
        ({"hard_weight": 1.1}, "hard_weight = 1.1"),
        ({"hint_weight": -1.0}, "hint_weight = -1.0"),
        ({"hint": (2, 0)}, r"hint = \(2, 0\): the student has 2 stages.*no stage 2"),
        ({"hint": (0, 1)}, r"has 8 x 8 cells and the teacher's 4 x 4"),
    ],
)
def test_settings_are_refused(views, settings, message):
    with pytest.raises(ValueError, match=message):
        made(views, ENCODERS["convnet"](widths=(4, 8)), teacher=TEACHER, **settings)


def test_views_without_labels_are_refused_where_they_are_read(views):
    method, *_ = made(views)
    with pytest.raises(ValueError, match=r"reads \{'image', 'label'\}"):
        method.init(KEY, views["image"])

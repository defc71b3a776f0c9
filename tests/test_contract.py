"""The battery: the laws that every method keeps, on one small case of each."""

import functools
import inspect
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.config.bind import bind
from jax_ssl.core.trees import global_norm
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.parallel import rules
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.step import init, train_step
from tests.cases import METHODS_UNDER_TEST
from tests.images import BATCH, batch, examples

# SGD: Adam's first updates are ±lr·sign(g), and rounding flips signs near zero. Its
# rate is part of the state, so that one compiled step serves all tests of a case.
SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=0.002, momentum=0.9)
COLLECTIVE = r"(all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)\("


@pytest.fixture(params=METHODS_UNDER_TEST, scope="module")
def case(request):
    return METHODS_UNDER_TEST[request.param]


@pytest.fixture(scope="module")
def method(case):
    return case.build()


@pytest.fixture(scope="module")
def first(method):
    """State of a fresh run on one device."""
    return jax.jit(functools.partial(init, method, SGD))(jax.random.key(0), batch())


@pytest.fixture(scope="module")
def step(method):
    return jax.jit(functools.partial(train_step, method, SGD))


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def run(step, train, steps, start=0):
    for s in range(start, start + steps):
        train, metrics = step(train, batch(s))
    return train, metrics


def data(tree):
    """Leaves as NumPy arrays, keys as their data."""

    def leaf(x):
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return jax.tree.map(leaf, tree)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, data(a), data(b))


def test_init_traces_abstractly(method, first):
    abstract = jax.eval_shape(
        functools.partial(init, method, SGD), jax.random.key(0), batch()
    )
    assert shapes(abstract) == shapes(first)


def test_state_is_closed(step, first):
    after = jax.eval_shape(step, first, batch())[0]
    assert jax.tree.structure(after) == jax.tree.structure(first)
    assert shapes(after) == shapes(first)


def test_state_holds_arrays_only(first):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(first))


def test_step_is_pure(method, step, first):
    before = data(first)
    with jax.checking_leaks():
        jax.make_jaxpr(functools.partial(train_step, method, SGD))(first, batch())
    assert_equal(step(first, batch()), step(first, batch()))
    assert_equal(before, first)


def test_metrics_are_float_scalars(step, first):
    metrics = step(first, batch())[1]
    assert metrics.pop("nonfinite_leaf") == -1
    for name, value in metrics.items():
        assert value.shape == (), name
        assert value.dtype == jnp.float32, name
        assert np.isfinite(value), name


@pytest.mark.parametrize(("devices", "fsdp"), [(2, 1), (4, 2), (8, 1)])
def test_any_device_count_gives_the_same_state(
    method, step, first, devices, fsdp, monkeypatch
):
    monkeypatch.setattr(rules, "FSDP_MIN_BYTES", 1)  # Or nothing here would be split.
    expected = run(step, first, 4)
    found = run_on_mesh(method, first, devices, fsdp)
    assert_same_run(first, found, expected)


# On one device the loop is the same without the mesh: tests/parallel/test_chunks.py.
@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_chunks_give_the_same_state(case, devices):
    spans = "groups" in inspect.signature(ENCODERS[case.encoder["name"]]).parameters
    method = case.build(**({"groups": 4} if spans else {}))
    first = jax.jit(functools.partial(init, method, SGD))(jax.random.key(0), batch())
    expected = run(jax.jit(functools.partial(train_step, method, SGD)), first, 4)
    found = run_on_mesh(method, first, devices, chunks=2)
    assert_same_run(first, found, expected)


def run_on_mesh(method, first, devices, fsdp=1, **settings):
    """Four steps on a mesh."""
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    with jax.set_mesh(mesh):
        placed = rules.shardings(first, mesh)
        train = jax.device_put(first, placed)
        step = functools.partial(train_step, method, SGD, **settings)
        step = jax.jit(step, out_shardings=(placed, None))
        for s in range(4):
            train, metrics = step(train, jax.device_put(batch(s), row_sharding(mesh)))
    return train, metrics


def assert_same_run(first, found, expected):
    """Same state and metrics to rounding, of a run that did not stand still."""
    moved = jax.tree.map(jnp.subtract, expected[0].params, first.params)
    assert global_norm(moved) > 1e-3

    def assert_close(tolerance, a, b):
        np.testing.assert_allclose(a, b, atol=tolerance * max(1, np.abs(b).max()))

    train, wanted = data(found[0]), data(expected[0])
    for part, tolerance in (("params", 1e-5), ("state", 1e-5), ("opt_state", 1e-4)):
        # The slots hold the gradient, many times as steep as what it has moved.
        close = functools.partial(assert_close, tolerance)
        jax.tree.map(close, getattr(train, part), getattr(wanted, part))
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-5)


def test_bfloat16_stays_finite_in_float32_params(case):
    method = case.build(dtype="bfloat16")
    train = jax.jit(functools.partial(init, method, SGD))(jax.random.key(0), batch())
    half = jax.jit(functools.partial(train_step, method, SGD))
    train, metrics = run(half, train, 2)
    assert metrics["loss"].dtype == jnp.float32
    assert all(np.isfinite(value) for value in metrics.values())
    for leaf in jax.tree.leaves((train.params, train.state)):
        assert leaf.dtype != jnp.bfloat16


def test_no_gradient_flows_into_the_state(method, first):
    views = jax.jit(functools.partial(map_examples, method.views))
    views = views(jax.random.key(1), batch())

    def value(state):
        key = jax.random.key(2)
        return method.loss(first.params, state, views, key=key, step=first.step)[0]

    gradient = jax.jit(jax.grad(value, allow_int=True))(first.state)
    for leaf in jax.tree.leaves(gradient):
        if leaf.dtype != jax.dtypes.float0:
            assert not np.any(leaf)


def test_loss_falls_on_fixed_images(case, step, first):
    """Training ends below a stated share of what no training would give.

    The control is the same run at learning rate zero: its last losses, on the same
    views, are those of chance and of statistics that drift.
    """
    rows = examples(64)

    def last_loss(rate):
        rates = {"learning_rate": jnp.asarray(rate, jnp.float32)}
        slots = first.opt_state._replace(
            hyperparams={**first.opt_state.hyperparams, **rates}
        )
        train = first.replace(opt_state=slots)
        losses = []
        for s in range(60):
            at = np.arange(s * BATCH, (s + 1) * BATCH) % 64
            train, metrics = step(
                train, {k: jnp.asarray(v[at]) for k, v in rows.items()}
            )
            losses.append(float(metrics["loss"]))
        return np.mean(losses[-8:])

    assert last_loss(case.learning_rate) < case.share * last_loss(0.0)


def test_export_loads_into_a_bare_encoder(method, step, first):
    train, _ = run(step, first, 1)
    variables = method.export(train.params, train.state)
    image = jnp.asarray(batch()["image"], jnp.float32) / 255
    own = jax.eval_shape(
        functools.partial(method.encoder.init, train=False), jax.random.key(0), image
    )
    assert shapes(dict(variables)) == shapes(dict(own))
    features = method.encoder.apply(variables, image, train=False)
    assert features.pooled.shape[0] == BATCH
    assert features.pooled.dtype == jnp.float32
    assert np.isfinite(features.pooled).all()


def test_resume_is_bit_exact(method, step, first, tmp_path):
    straight, _ = run(step, first, 6)
    half, _ = run(step, first, 3)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(half)
        checkpoints.wait()
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first
        )
        restored = checkpoints.restore(abstract)
    resumed, _ = run(step, restored, 3, start=3)
    assert_equal(resumed, straight)


def test_views_contain_no_collective(method):
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        rows = jax.device_put(batch(), row_sharding(mesh))
        views = jax.jit(functools.partial(map_examples, method.views))
        text = views.lower(jax.random.key(0), rows).compile().as_text()
    assert not re.search(COLLECTIVE, text)


def test_unknown_setting_is_named(case):
    counts = {"num_examples": 64, "steps_per_epoch": 4, "batch_size": 16}
    wires = {"encoder": None, "views": None, **counts}
    with pytest.raises(ValueError, match="has no setting 'tempratur'"):
        bind(METHODS[case.method], wires, {"tempratur": 1.0})


def test_file_says_paper_and_views_and_is_short(case):
    module = sys.modules[METHODS[case.method].__module__]
    text = inspect.getdoc(module)
    assert re.search(r"arXiv:\d{4}\.\d{5}", text.splitlines()[0])
    assert re.search(r"^Views: ", text, re.MULTILINE)
    path = pathlib.Path(module.__file__)
    assert len(path.read_text().splitlines()) < 300

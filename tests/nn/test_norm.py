import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jax_ssl.nn.norm import BatchNorm, norm_groups, normalized
from jax_ssl.parallel.mesh import BATCH_AXES, make_mesh, row_sharding
from tests.references.nn_layers import batch_norm

SHAPES = [((2, 3), 1), ((12, 5), 4), ((8, 3, 2, 7), 2), ((6, 5, 3), 6)]


def variables(rng, width):
    draw = lambda: jnp.asarray(rng.uniform(0.5, 1.5, width), jnp.float32)
    return {
        "params": {"scale": draw(), "bias": draw()},
        "batch_stats": {"mean": draw(), "var": draw()},
    }


@functools.partial(jax.jit, static_argnums=0)
def train(norm, variables, x):
    return norm.apply(variables, x, train=True, mutable=["batch_stats"])


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_output_and_running_statistics_are_the_reference(rng, shape, groups):
    x = rng.normal(3, 2, shape).astype(np.float32)
    start = variables(rng, shape[-1])
    norm = BatchNorm(groups=groups, momentum=0.8)
    y, moved = train(norm, start, x)
    params, stats = start["params"], start["batch_stats"]
    want, mean, var = batch_norm(x, params["scale"], params["bias"], groups)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=2e-5)
    for name, value in (("mean", mean), ("var", var)):
        expected = 0.8 * np.asarray(stats[name], np.float64) + 0.2 * value
        np.testing.assert_allclose(
            moved["batch_stats"][name], expected, rtol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(("shape", "groups"), SHAPES[1:3])
def test_gradient_is_that_of_central_differences(rng, shape, groups):
    x = rng.normal(size=shape).astype(np.float32)
    weights = rng.normal(size=shape)
    start = variables(rng, shape[-1])
    norm = BatchNorm(groups=groups)

    def ours(x, params):
        y, _ = train(norm, {**start, "params": params}, x)
        return jnp.sum(y * weights)

    def reference(x, scale, bias):
        return np.sum(batch_norm(x, scale, bias, groups)[0] * weights)

    by_x, by_params = jax.grad(ours, (0, 1))(x, start["params"])
    point = [np.asarray(v, np.float64) for v in (x, *start["params"].values())]
    names = ("x", *start["params"])
    point = dict(zip(names, point, strict=True))
    found = {"x": by_x, **by_params}
    for name, value in point.items():
        wanted = np.empty_like(value)
        for place in np.ndindex(value.shape):
            step = np.zeros_like(value)
            step[place] = 1e-5
            above = reference(**{**point, name: value + step})
            below = reference(**{**point, name: value - step})
            wanted[place] = (above - below) / 2e-5
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-4)


def test_evaluation_uses_and_keeps_the_running_statistics(rng):
    x = rng.normal(size=(4, 3)).astype(np.float32)
    start = variables(rng, 3)
    y, moved = BatchNorm().apply(start, x, train=False, mutable=["batch_stats"])
    params, stats = start["params"], start["batch_stats"]
    want = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    np.testing.assert_allclose(y, want * params["scale"] + params["bias"], rtol=1e-5)
    for name in stats:
        np.testing.assert_array_equal(moved["batch_stats"][name], stats[name])


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_result_does_not_depend_on_the_number_of_devices(rng, groups):
    x = rng.normal(1, 2, (16, 2, 3)).astype(np.float32)
    weights = rng.normal(size=x.shape).astype(np.float32)
    start = variables(rng, 3)
    norm = BatchNorm(groups=groups)

    @jax.jit
    def step(x, start):
        def loss(x, params):
            y, moved = train(norm, {**start, "params": params}, x)
            return jnp.sum(y * weights), (y, moved)

        return jax.grad(loss, (0, 1), has_aux=True)(x, start["params"])

    results = []
    for count in (1, 2, 4, 8):
        mesh = make_mesh(devices=jax.devices()[:count])
        with jax.set_mesh(mesh):
            results.append(step(jax.device_put(x, row_sharding(mesh)), start))
    for result in results[1:]:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
            result,
            results[0],
        )


def test_groups_within_devices_do_not_communicate():
    mesh = make_mesh()
    norm = BatchNorm(groups=16)
    x = jax.ShapeDtypeStruct((32, 4, 3), jnp.float32, sharding=row_sharding(mesh))
    start = norm.init(jax.random.key(0), jnp.zeros((32, 4, 3)), train=False)
    with jax.set_mesh(mesh):
        forward = jax.jit(lambda x: train(norm, start, x)[0])
        text = forward.lower(x).compile().as_text()
    for word in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert word not in text


def test_mean_far_above_deviation_keeps_its_digits(rng):
    x = (1e4 + rng.normal(size=(64, 16, 3))).astype(np.float32)
    y, moved = train(BatchNorm(momentum=0.0), variables(rng, 3), x)
    y = (y - y.mean((0, 1))) / y.std((0, 1))
    want, _, var = batch_norm(x, 1, 0)
    np.testing.assert_allclose(y, want, atol=5e-3)
    np.testing.assert_allclose(moved["batch_stats"]["var"], var, rtol=1e-3)


def test_rows_of_one_group_do_not_see_the_others(rng):
    x = rng.normal(size=(6, 4)).astype(np.float32)
    start = variables(rng, 4)
    y, _ = train(BatchNorm(groups=2), start, x)
    changed, _ = train(BatchNorm(groups=2), start, np.concatenate([x[:3], 9 * x[3:]]))
    np.testing.assert_array_equal(y[:3], changed[:3])
    halves = [train(BatchNorm(), start, half)[0] for half in (x[:3], x[3:])]
    np.testing.assert_allclose(y, np.concatenate(halves), atol=1e-5)


def test_groups_that_do_not_divide_the_rows_are_named():
    norm = BatchNorm(groups=4)
    with pytest.raises(ValueError, match=r"groups = 4 .* 6 rows"):
        jax.eval_shape(
            functools.partial(norm.init, train=True),
            jax.random.key(0),
            jnp.ones((6, 2)),
        )


def test_bfloat16_input_is_normalised_in_float32(rng):
    x = jnp.asarray(100 + rng.normal(size=(32, 3)), jnp.bfloat16)
    y, moved = train(BatchNorm(dtype=jnp.bfloat16, momentum=0.0), variables(rng, 3), x)
    assert y.dtype == jnp.bfloat16
    stats = moved["batch_stats"]
    assert {leaf.dtype for leaf in stats.values()} == {jnp.dtype("float32")}
    wide = np.asarray(x, np.float64)
    np.testing.assert_allclose(stats["mean"], wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats["var"], wide.var(0), rtol=1e-4)


def test_initialising_in_train_mode_leaves_the_statistics_at_their_start(rng):
    start = BatchNorm().init(jax.random.key(0), rng.normal(size=(4, 2)), train=True)
    np.testing.assert_array_equal(start["batch_stats"]["mean"], np.zeros(2))
    np.testing.assert_array_equal(start["batch_stats"]["var"], np.ones(2))


@pytest.mark.parametrize("use_scale", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_exist_where_asked_for(use_scale, use_bias):
    norm = BatchNorm(use_scale=use_scale, use_bias=use_bias)
    params = norm.init(jax.random.key(0), jnp.ones((2, 3)), train=False).get(
        "params", {}
    )
    assert ("scale" in params, "bias" in params) == (use_scale, use_bias)


def test_norm_groups_reads_the_field():
    assert norm_groups(BatchNorm(groups=3)) == 3
    assert norm_groups(object()) == 1


def test_inside_a_shard_map_scale_and_offset_get_the_whole_gradient(rng):
    x = rng.normal(1, 2, (16, 2, 3)).astype(np.float32)
    weights = rng.normal(size=x.shape).astype(np.float32)
    scale, bias = (rng.normal(size=3).astype(np.float32) for _ in range(2))

    def loss(x, scale, bias, groups):
        y = normalized(x.reshape(groups, -1, 2, 3), scale, bias, 1e-5)[0]
        return y.reshape(x.shape)

    def whole(x, scale, bias):
        return jnp.sum(loss(x, scale, bias, 8) * weights)

    def apart(x, scale, bias):
        y = jax.shard_map(
            functools.partial(loss, groups=1),
            in_specs=(P(BATCH_AXES), P(), P()),
            out_specs=P(BATCH_AXES),
        )(x, scale, bias)
        return jnp.sum(y * weights)

    expected = jax.grad(whole, (0, 1, 2))(x, scale, bias)
    with jax.set_mesh(make_mesh()):
        found = jax.jit(jax.grad(apart, (0, 1, 2)))(x, scale, bias)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

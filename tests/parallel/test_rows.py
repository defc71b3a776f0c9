"""Functions over rows: the same on any number of devices, with no stray collective."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.parallel.rows import map_examples, mean_over_rows, shard_count

MESHES = [(1, 1), (2, 1), (4, 2), (8, 1), (8, 8)]
COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)


def mesh_of(devices, fsdp):
    return make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])


def test_shard_count_is_that_of_the_ambient_mesh():
    assert shard_count() == 1
    for devices, fsdp in MESHES:
        with jax.set_mesh(mesh_of(devices, fsdp)):
            assert shard_count() == devices
    with jax.set_mesh(jax.make_mesh((8,), ("model",))):
        assert shard_count() == 1


class TestMapExamples:
    @pytest.fixture
    def batch(self, rng):
        return {
            "image": rng.integers(0, 256, (16, 4, 5, 3), np.uint8),
            "index": np.arange(16, dtype=np.int32),
        }

    @staticmethod
    def noisy(key, example):
        noise = jax.random.uniform(key, example["image"].shape)
        return {"view": example["image"] / 255 + noise, "index": example["index"]}

    def run(self, key, batch, mesh):
        step = jax.jit(lambda key, batch: map_examples(self.noisy, key, batch))
        with jax.set_mesh(mesh):
            batch = jax.device_put(batch, row_sharding(mesh))
            return step(key, batch), step.lower(key, batch).compile().as_text()

    @pytest.mark.parametrize(("devices", "fsdp"), MESHES)
    def test_the_same_pixels_on_any_mesh_and_no_collective(self, batch, devices, fsdp):
        key = jax.random.key(3)
        # Compiled as well: fused, x / 255 + noise rounds once less.
        expected = jax.jit(lambda *args: map_examples(self.noisy, *args))(key, batch)
        mesh = mesh_of(devices, fsdp)
        got, text = self.run(key, batch, mesh)
        np.testing.assert_array_equal(got["view"], expected["view"])
        np.testing.assert_array_equal(got["index"], batch["index"])
        assert got["view"].sharding.is_equivalent_to(row_sharding(mesh), 4)
        assert not [word for word in COLLECTIVES if word in text]

    def test_every_row_has_its_own_key_by_its_number_in_the_batch(self, batch):
        key = jax.random.key(3)
        got = map_examples(self.noisy, key, batch)
        for i in (0, 7, 15):
            row = jax.tree.map(lambda x, i=i: x[i], batch)
            alone = self.noisy(jax.random.fold_in(key, i), row)
            np.testing.assert_allclose(got["view"][i], alone["view"], rtol=1e-6)
        noise = np.asarray(got["view"]) - batch["image"] / np.float32(255)
        assert len(np.unique(noise.reshape(16, -1)[:, 0].round(4))) == 16

    def test_the_first_rows_do_not_depend_on_the_batch_size(self, batch):
        key = jax.random.key(3)
        half = jax.tree.map(lambda x: x[:8], batch)
        whole = map_examples(self.noisy, key, batch)["view"][:8]
        np.testing.assert_array_equal(
            map_examples(self.noisy, key, half)["view"], whole
        )


def row_loss(mine, everyone, start):
    """Weighted squared distance to every other row; needs `start` to skip itself."""
    row = start + jnp.arange(mine.shape[0])
    distance = jnp.sum(jnp.square(mine[:, None] - everyone), axis=-1)  # [b, B]
    itself = row[:, None] == jnp.arange(everyone.shape[0])
    return (1.0 + row) * jnp.sum(jnp.where(itself, 0, jnp.tanh(distance)), axis=1)


def reference(x):
    """Value and gradient in float64 loops."""
    x = np.asarray(x, np.float64)
    B = len(x)
    value, gradient = 0.0, np.zeros_like(x)
    for i in range(B):
        for k in range(B):
            if k == i:
                continue
            gap = x[i] - x[k]
            t = np.tanh(gap @ gap)
            value += (1 + i) * t / B
            slope = (1 + i) * (1 - t**2) * 2 * gap / B
            gradient[i] += slope
            gradient[k] -= slope
    return value, gradient


class TestMeanOverRows:
    @pytest.fixture
    def x(self, rng):
        return rng.normal(size=(16, 3)).astype(np.float32)

    @pytest.mark.parametrize(("devices", "fsdp"), MESHES)
    def test_value_and_gradient_match_float64_loops(self, x, devices, fsdp):
        step = jax.jit(jax.value_and_grad(lambda x: mean_over_rows(row_loss, x)))
        mesh = mesh_of(devices, fsdp)
        with jax.set_mesh(mesh):
            value, gradient = step(jax.device_put(x, row_sharding(mesh)))
        expected, expected_gradient = reference(x)
        assert value.shape == ()
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        # 1 - tanh² magnifies the few units in tanh's last place that LLVM may be off.
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=5e-5)

    def test_without_a_mesh_it_is_one_call(self, x):
        value = mean_over_rows(row_loss, jnp.asarray(x))
        np.testing.assert_allclose(value, reference(x)[0], rtol=1e-5)

    def test_each_shard_sees_its_rows_all_rows_and_its_start(self, x):
        def seen(mine, everyone, start):
            at = jax.lax.dynamic_slice_in_dim(everyone, start, mine.shape[0])
            return jnp.max(jnp.abs(at - mine), axis=1) + (everyone.shape[0] != 16)

        mesh = make_mesh(fsdp=2)
        with jax.set_mesh(mesh):
            x = jax.device_put(x, row_sharding(mesh))
            assert jax.jit(lambda x: mean_over_rows(seen, x))(x) == 0

    def test_rows_cross_once_each_way_and_no_square_is_held(self, x):
        step = jax.jit(jax.value_and_grad(lambda x: mean_over_rows(row_loss, x)))
        mesh = make_mesh()
        with jax.set_mesh(mesh):
            x = jax.device_put(x, row_sharding(mesh))
            text = step.lower(x).compile().as_text()
        assert text.count(" all-gather(") == 1
        assert text.count(" reduce-scatter(") == 1
        assert "f32[16,3]{1,0} all-gather(" in text
        assert "f32[2,16]" in text
        assert "f32[16,16]" not in text

    def test_closed_over_values_may_be_traced_and_have_gradients(self, x):
        def loss(scale, x):
            return mean_over_rows(lambda *rows: scale * row_loss(*rows), x)

        mesh = make_mesh()
        with jax.set_mesh(mesh):
            x_sharded = jax.device_put(x, row_sharding(mesh))
            slope = jax.jit(jax.grad(loss))(2.0, x_sharded)
        np.testing.assert_allclose(slope, reference(x)[0], rtol=1e-5)

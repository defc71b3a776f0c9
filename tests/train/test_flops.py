from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.train.flops import jaxpr_flops, mfu, peak_flops

M, K, N = 64, 32, 16
PRODUCT = 2 * M * K * N


def device(kind):
    return SimpleNamespace(device_kind=kind)


def count(fn, *args):
    return jaxpr_flops(jax.jit(fn).trace(*args).jaxpr)


@pytest.fixture(scope="module")
def operands():
    return jnp.ones((M, K)), jnp.ones((K, N))


@pytest.mark.parametrize(
    ("kind", "tera"),
    [
        ("TPU v2", 22.5),
        ("TPU v3", 61.5),
        ("TPU v4", 275.0),
        ("TPU v5 lite", 197.0),
        ("TPU v5e", 197.0),
        ("TPU v5", 459.0),
        ("TPU v5p", 459.0),
        ("TPU v6 lite", 918.0),
        ("TPU7x", 1153.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA B200", 2250.0),
        ("Tesla V100-SXM2-16GB", 125.0),
        ("Tesla V100-PCIE-16GB", 112.0),
        ("Tesla T4", 65.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA A10G", 70.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA RTX 6000 Ada Generation", 364.2),
        ("NVIDIA RTX A6000", 154.8),
    ],
)
def test_published_peaks(kind, tera):
    assert peak_flops(device(kind)) == pytest.approx(tera * 1e12)


@pytest.mark.parametrize("kind", ["cpu", "AMD Instinct MI300X", "NVIDIA T400 4GB"])
def test_unknown_chips_have_no_peak(kind):
    assert peak_flops(device(kind)) is None


def test_mfu_is_the_share_of_all_devices_together():
    eight = [device("TPU v5 lite")] * 8
    assert mfu(197e12 * 8 * 0.25, 0.5, eight) == pytest.approx(0.5)
    assert mfu(None, 0.5, eight) is None
    assert mfu(1e12, 0.0, eight) is None
    assert mfu(1e12, 0.5, []) is None
    assert mfu(1e12, 0.5, [*eight, device("cpu")]) is None


def test_products_count_two_per_multiply_and_add(operands):
    assert count(jnp.matmul, *operands) == PRODUCT
    batched = jnp.ones((5, M, K)), jnp.ones((5, K, N))
    assert count(jnp.matmul, *batched) == 5 * PRODUCT
    assert count(lambda a, b: a.sum() + b.sum(), *operands) == 0


def test_gradients_cost_twice_the_forward_pass(operands):
    loss = lambda a, b: jnp.square(a @ b).sum()
    assert count(jax.grad(loss, (0, 1)), *operands) == 3 * PRODUCT
    again = jax.checkpoint(lambda a, b: jnp.sin(a @ b).sum())
    assert count(jax.value_and_grad(again, (0, 1)), *operands) == 4 * PRODUCT


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolutions_forward_and_back(stride, groups):
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4 // groups, 8))

    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    once = 2 * 2 * (8 // stride) ** 2 * 8 * 9 * 4 // groups
    assert count(conv, x, kernel) == once
    loss = lambda x, kernel: jnp.square(conv(x, kernel)).sum()
    assert count(jax.grad(loss, (0, 1)), x, kernel) == 3 * once


def test_loops_count_every_turn_and_branches_the_largest(operands):
    a, _ = operands
    w = jnp.ones((K, K))
    turn = 2 * M * K * K

    def scanned(a):
        return jax.lax.scan(lambda a, _: (a @ w, None), a, None, length=7)[0]

    def mapped(a):
        return jax.lax.map(lambda row: row @ w, a)

    def branched(a):
        return jax.lax.cond(a[0, 0] > 0, lambda a: a @ w @ w, lambda a: a @ w, a)

    assert count(scanned, a) == 7 * turn
    assert count(mapped, a) == turn
    assert count(branched, a) == 2 * turn
    # Why jaxpr_flops exists: XLA's count has one turn (and a little arithmetic).
    by_xla = jax.jit(scanned).lower(a).compile().cost_analysis()["flops"]
    assert by_xla == pytest.approx(turn, rel=1e-3)


@pytest.mark.parametrize("fsdp", [1, 2])
def test_shards_count_together(operands, fsdp):
    mesh = make_mesh(fsdp=fsdp)
    rows = P(("data", "fsdp"))
    product = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, P()), out_specs=rows)
    assert count(product, *operands) == PRODUCT


def test_custom_rules_are_looked_into(operands):
    @jax.custom_vjp
    def product(a, b):
        return a @ b

    product.defvjp(
        lambda a, b: (a @ b, (a, b)), lambda kept, g: (g @ kept[1].T, kept[0].T @ g)
    )
    assert count(product, *operands) == PRODUCT
    loss = lambda a, b: jnp.square(product(a, b)).sum()
    assert count(jax.grad(loss, (0, 1)), *operands) == 3 * PRODUCT

"""What is done for CPUs leaves the step's programs for TPU and GPU as they were."""

import collections
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from jax import lax

from jax_ssl.encoders import conv
from jax_ssl.nn import affine, mlp, norm, transformer
from jax_ssl.parallel.mesh import BATCH_AXES
from jax_ssl.train.step import init, train_step
from tests import images
from tests.cases import METHODS_UNDER_TEST

FORMS = {
    # All operations, and those that a CPU's forms replace: batch norm's gradient is the
    # closed form on every platform, in fewer operations than its derivative.
    "mae": ("stablehlo",),
    "simclr": ("convolution", "dot_general"),
}


@pytest.fixture
def plain(monkeypatch):
    """A function that puts JAX's own operations in the place of every form of ours."""

    def make_plain():
        as_is = lambda x, *_: x
        monkeypatch.setattr(affine, "dense", jnp.matmul)
        monkeypatch.setattr(
            affine, "spread", lambda v, shape: jnp.broadcast_to(v, shape)
        )
        monkeypatch.setattr(affine, "gradient_made_once", as_is)
        monkeypatch.setattr(transformer, "gradient_made_once", as_is)
        monkeypatch.setitem(mlp.ACTIVATIONS, "gelu", lambda x: nn.gelu(x, False))
        monkeypatch.setattr(norm, "_closed", norm._with_moments)
        monkeypatch.setattr(norm, "_sum", lambda x: x.sum((1, 2)))
        monkeypatch.setattr(conv, "conv_general_dilated", lax.conv_general_dilated)

    return make_plain


def operations(case, platform, words):
    """How often the program of a whole step has every operation, with its types."""
    method, batch, key = case.build(), images.batch(), jax.random.key(0)
    tx = optax.sgd(0.1)
    train = jax.eval_shape(lambda key: init(method, tx, key, batch), key)
    step = jax.jit(lambda train, batch: train_step(method, tx, train, batch))
    device = jax.sharding.AbstractDevice(platform, None, platform)
    mesh = jax.sharding.AbstractMesh((1, 1), BATCH_AXES, abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        traced = step.trace(train, batch)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    found = [line.strip() for line in text.splitlines() if " = " in line]
    lines = [re.sub(r"%[\w#:]+", "", line) for line in found]
    # A choice by platform leaves its constant number and a case of one branch.
    folded = ("stablehlo.constant", '"stablehlo.case"')
    lines = [line for line in lines if not any(word in line for word in folded)]
    return collections.Counter(
        line for line in lines if any(word in line for word in words)
    )


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("name", FORMS)
def test_the_step_of_an_accelerator_has_jaxs_operations(name, platform, plain):
    case = METHODS_UNDER_TEST[name]
    ours = operations(case, platform, FORMS[name])
    plain()
    assert ours == operations(case, platform, FORMS[name])
    assert ours

"""Ours of NPID and W-MSE."""

import dataclasses
from unittest import mock

import given
import jax
import jax.numpy as jnp

from jax_ssl.methods.npid import npid
from jax_ssl.methods.w_mse import w_mse
from jax_ssl.optim.optimizers import adam
from jax_ssl.optim.schedules import step_decay
from ours.common import Case, encoder, same, stack, told, torch_sgd


def of_npid(s):
    method = npid(
        encoder(),
        same,
        given.NUM_EXAMPLES,
        objective=s["objective"],
        temperature=s["temperature"],
        num_negatives=s["num_negatives"],
        momentum=s["momentum"],
        output_dim=s["output_dim"],
    )
    rate = step_decay(given.STEPS, 1, given.BATCH, value=s["rate"], drops=s["drops"])
    noise = given.slots(f"npid_{s['objective']}", s["num_negatives"])
    return told(method, randint=noise), torch_sgd(s, rate)


def numbered(name):
    return lambda: {
        "image": given.images(name, given.SIDE, given.SIDE, 3),
        "index": given.indices(name),
    }


def of_w_mse(s):
    method = w_mse(
        encoder(),
        stack,
        sub_batch_size=s["sub_batch_size"],
        iterations=s["iterations"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        distance=s.get("distance", "cosine"),
    )
    fall = step_decay(
        given.STEPS,
        1,
        given.BATCH,
        value=s["rate"],
        drops=s["drops"],
        factor=0.2,
    )
    # The released code's warm-up is one step ahead of `step_decay`'s: its first step
    # has 1 / W of the rate, not 0.
    ahead = s.get("ahead", 1)
    rate = lambda step: fall(step) * jnp.minimum((step + ahead) / s["warmup"], 1)
    tx = adam(
        learning_rate=rate, weight_decay=s["weight_decay"], exclude=s.get("exclude")
    )
    orders = given.orders("w_mse", s["iterations"], given.BATCH)
    return partitioned(method, orders), tx


def partitioned(method, orders):
    """W-MSE that is told its partitions, which one mapped function draws."""
    real = jax.vmap

    def loss(*args, step, **rest):
        def mapped(fn, *more, **settings):
            if "permutation" in getattr(fn, "__code__", loss.__code__).co_names:
                return lambda keys: jnp.asarray(orders)[step]
            return real(fn, *more, **settings)

        with mock.patch.object(jax, "vmap", mapped):
            return method.loss(*args, step=step, **rest)

    return dataclasses.replace(method, loss=loss)


CASES = {
    "npid_softmax": Case(
        of_npid,
        numbered("npid_softmax"),
        wrong={"temperature": 0.11, "momentum": 0.6},
        kept=("bank",),
    ),
    "npid_nce": Case(
        of_npid,
        numbered("npid_nce"),
        wrong={"temperature": 0.071, "momentum": 0.6},
        kept=("bank",),
    ),
    "w_mse": Case(
        of_w_mse,
        lambda: {
            "view": given.images("w_mse", 3, given.SIDE, given.SIDE, 3),
        },
        wrong={
            "sub_batch_size": 16,
            "distance": "euclidean",
            "ahead": 0,
            "exclude": ("bias", "scale"),
        },
    ),
}

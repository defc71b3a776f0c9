"""Ours of SwAV and DeepCluster-v2."""

import given
import jax.numpy as jnp

from jax_ssl.methods.deepcluster_v2 import deepcluster_v2
from jax_ssl.methods.swav import swav
from jax_ssl.optim.lars import lars
from jax_ssl.optim.schedules import warmup_cosine
from ours.common import Case, crops, encoder, same


def swav_lars(s):
    """LARC without a cap, and everything decays."""
    return lars(
        learning_rate=warmup_cosine(
            given.STEPS,
            1,
            given.BATCH,
            peak_value=s["rate"],
            warmup_steps=s["warmup"],
            warmup_form=s.get("warmup_form", "closed"),
            init_value=s["init_value"],
            end_value=s["end_value"],
        ),
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        trust_coefficient=s["trust_coefficient"],
        rate="outside",
        denominator=s.get("denominator", "sum"),
        exclude=s.get("exclude"),
    )


def of_swav(s):
    method = swav(
        encoder(),
        same,
        s["steps_per_epoch"],
        temperature=s["temperature"],
        epsilon=s["epsilon"],
        iterations=s["iterations"],
        num_prototypes=s["num_prototypes"],
        freeze_prototypes_steps=s["freeze_prototypes_steps"],
        queue_size=s["queue_size"],
        queue_start_epoch=s["queue_start_epoch"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
    )
    return method, swav_lars(s)


def of_deepcluster_v2(s):
    method = deepcluster_v2(
        encoder(),
        same,
        given.NUM_EXAMPLES,
        num_prototypes=s["num_prototypes"],
        num_heads=s["num_heads"],
        temperature=s["temperature"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
    )
    return method, swav_lars(s)


def clustered(step, train, record):
    """Centres and labels that the judge found at the start of an epoch."""
    each = given.NUM_EXAMPLES // given.BATCH
    if step % each:
        return train
    epoch = step // each
    state = train.state._replace(
        prototypes=jnp.asarray(record["prototypes"][epoch]),
        labels=jnp.asarray(record["labels"][epoch], jnp.int32),
    )
    return train.replace(state=state)


CASES = {
    "swav": Case(
        of_swav,
        crops("swav"),
        wrong={
            "epsilon": 0.06,
            "queue_start_epoch": 2,
            "freeze_prototypes_steps": 4,
            "warmup_form": "open",
            "denominator": "decayed",
        },
    ),
    "deepcluster_v2": Case(
        of_deepcluster_v2,
        lambda: crops("deepcluster_v2")() | {"index": given.indices("deepcluster_v2")},
        wrong={"temperature": 0.11, "exclude": ("bias", "scale")},
        kept=("banks",),
        before=clustered,
    ),
}

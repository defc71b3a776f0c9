"""Optimizers by path: which parameter gets which, and which slots restart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.config.bind import bind, resolve
from jax_ssl.optim import OPTIMIZERS
from jax_ssl.optim.lars import lars
from jax_ssl.optim.optimizers import adam, adamw, sgd
from jax_ssl.optim.rules import by_path, matrices, reset_slots


@pytest.fixture
def params():
    return {
        "encoder": {
            "conv": {"kernel": jnp.ones((3, 3, 1, 2))},
            "norm": {"scale": jnp.ones(2), "bias": jnp.zeros(2)},
            "head": {"kernel": jnp.ones((2, 2))},
        },
        "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros((1, 2))},
    }


def moved(tx, params, steps=1):
    gradient = jax.tree.map(jnp.ones_like, params)
    opt_state, now = tx.init(params), params
    for _ in range(steps):
        updates, opt_state = tx.update(gradient, opt_state, now)
        now = optax.apply_updates(now, updates)
    return jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), now, params)


def test_first_rule_wins_and_none_freezes(params):
    tx = by_path(
        [
            ("^encoder/conv/", None),
            ("^head/", optax.sgd(0.1)),
            ("bias", optax.sgd(1e9)),
            ("", optax.sgd(0.01)),
        ]
    )
    got = moved(tx, params)
    assert got["encoder"]["conv"]["kernel"] == 0
    assert got["head"] == pytest.approx({"kernel": 0.1, "bias": 0.1})
    assert got["encoder"]["norm"]["bias"] == 1e9
    assert got["encoder"]["head"]["kernel"] == pytest.approx(0.01)


def test_groups_have_optimizers_of_their_own(params):
    """Two players: Adam's first step is its rate, whatever the gradient."""
    own = (
        ("^head/", adam(learning_rate=0.5, b1=0.5)),
        ("conv", sgd(learning_rate=2.0)),
    )
    tx = sgd(learning_rate=0.01, momentum=0.0, rates=(("norm/", 0.1),), groups=own)
    got = moved(tx, params)
    assert got["head"] == pytest.approx({"kernel": 0.5, "bias": 0.5}, rel=1e-5)
    assert got["encoder"]["conv"]["kernel"] == 2
    assert got["encoder"]["norm"] == pytest.approx({"scale": 0.1, "bias": 0.1})
    assert got["encoder"]["head"]["kernel"] == pytest.approx(0.01)
    with pytest.raises(
        ValueError, match=r"optimizer\.groups: '\^heads/' decides over no"
    ):
        sgd(learning_rate=1.0, groups=(("^heads/", optax.sgd(1.0)),)).init(params)


def test_a_group_of_a_page_is_the_optimizer_that_it_names(params):
    wires = {"total_steps": 10, "steps_per_epoch": 5, "batch_size": 512}
    rate = {"name": "constant", "value": 0.1, "scaling": "linear"}
    group = {"name": "adam", "learning_rate": rate, "b1": 0.5, "b2": 0.9}
    section = {"learning_rate": 0.01, "groups": [["^head/", group]]}
    tx = bind(OPTIMIZERS["adam"], wires, section)
    state = {"params": params, "slots": tx.init(params)}
    theirs = optax.adam(0.2, b1=0.5, b2=0.9)
    own, slots = params["head"], theirs.init(params["head"])
    for size in (1.0, -3.0, 0.5):
        gradient = jax.tree.map(lambda leaf, s=size: jnp.full_like(leaf, s), params)
        updates, state["slots"] = tx.update(gradient, state["slots"], state["params"])
        state["params"] = optax.apply_updates(state["params"], updates)
        updates, slots = theirs.update(gradient["head"], slots, own)
        own = optax.apply_updates(own, updates)
    found = jax.tree.leaves(state["params"]["head"])
    for a, b in zip(found, jax.tree.leaves(own), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    # As it is written in config.json, all defaults filled in.
    written = resolve(OPTIMIZERS["adam"], section)["groups"]
    assert written[0][0] == "^head/"
    assert written[0][1]["b1"] == 0.5
    assert written[0][1]["epsilon"] == 1e-8
    for wrong, message in (
        ({"name": "adamm", "learning_rate": 1.0}, "did you mean 'adam'"),
        ({"name": "adam", "learning_rate": 1.0, "b3": 0.9}, "no setting 'b3'"),
        ({"name": "adam"}, "needs the setting 'learning_rate'"),
        (0.1, r"= 0.1 must be dict\(name=..., ...\)"),
    ):
        with pytest.raises(ValueError, match=message):
            resolve(OPTIMIZERS["adam"], {**section, "groups": [["^head/", wrong]]})


def test_frozen_parameters_have_no_slots(params):
    tx = by_path([("^encoder/", None), ("", optax.sgd(0.1, momentum=0.9))])
    shapes = [leaf.shape for leaf in jax.tree.leaves(tx.init(params))]
    assert sorted(shapes) == [(1, 2), (2, 2)]


def test_a_parameter_without_a_rule_is_named(params):
    tx = by_path([("^encoder/", optax.sgd(0.1))])
    with pytest.raises(ValueError, match="no rule matches parameter 'head/") as error:
        tx.init(params)
    assert "'^encoder/'" in str(error.value)


def test_exclusions_hold_inside_a_group(params):
    # Inside a partition the other groups' leaves are masked out of the tree.
    decayed = sgd(learning_rate=1.0, momentum=0.0, weight_decay=1.0)
    tx = by_path([("^head/", decayed), ("", lars(learning_rate=1.0))])
    got = moved(tx, params)
    assert got["head"]["kernel"] == 2
    assert got["head"]["bias"] == 1


def test_by_path_works_under_jit_and_abstractly(params):
    tx = by_path([("^head/", None), ("", sgd(learning_rate=0.1))])
    opt_state = jax.eval_shape(tx.init, params)
    gradient = jax.tree.map(jnp.ones_like, params)
    updates, after = jax.eval_shape(tx.update, gradient, opt_state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert jax.tree.structure(after) == jax.tree.structure(opt_state)


def test_matrices_leaves_out_names_and_low_ranks(params):
    got = matrices()(params)
    assert got["encoder"]["conv"]["kernel"]
    assert got["head"]["kernel"]
    assert not any(got["encoder"]["norm"].values())
    assert not got["head"]["bias"]  # Two axes, but a bias.
    odd = {"position_bias_table": jnp.ones((2, 2)), "temperature": jnp.ones(())}
    assert matrices()(odd) == {"position_bias_table": True, "temperature": False}


def by_adamw():
    return adamw(learning_rate=0.1)


def by_groups():
    return by_path(
        [("^encoder/", sgd(learning_rate=0.1)), ("", adamw(learning_rate=1.0))]
    )


@pytest.mark.parametrize("make", [by_adamw, by_groups])
def test_reset_slots_restarts_one_part_only(params, make):
    tx = make()
    gradient = jax.tree.map(jnp.ones_like, params)
    _, opt_state = tx.update(gradient, tx.init(params), params)
    after = reset_slots(tx, opt_state, params, ("head",))
    assert jax.tree.structure(after) == jax.tree.structure(opt_state)
    changed, kept = [], []
    for (path, old), (_, new) in zip(
        jax.tree_util.tree_leaves_with_path(opt_state),
        jax.tree_util.tree_leaves_with_path(after),
        strict=True,
    ):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if "/head/" in name and "encoder" not in name.split("/"):
            changed.append(name)
            assert not np.any(new), name
            assert np.all(old != 0), name
        else:
            kept.append(name)
            assert np.array_equal(old, new), name
    assert len(changed) == 4  # Two moments of kernel and bias.
    assert any("encoder/head/kernel" in name for name in kept)
    assert any(name.endswith("count") for name in kept)


def test_reset_slots_refuses_an_unknown_part(params):
    tx = by_adamw()
    with pytest.raises(ValueError, match=r"no part 'projector', only \['encoder'"):
        reset_slots(tx, tx.init(params), params, ("projector",))

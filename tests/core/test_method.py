"""The contract's values: frozen, keyword-only, replaceable, with honest defaults."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.method import (
    READ_AS,
    Health,
    Load,
    Method,
    Refresh,
    encoder_input,
    read_by_networks,
    unchanged,
)
from jax_ssl.core.state import TrainState
from jax_ssl.core.types import Features


def method(**more):
    nothing = lambda *args, **kwargs: None
    parts = dict.fromkeys(("encoder", "views", "init", "loss"), nothing)
    return Method(**{**parts, "exports": {"encoder": nothing}, **more})


def test_a_method_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        method().loss = None


def test_a_method_can_be_a_static_argument():
    one, other = method(), method(refresh=Refresh(embed=len, fit=len))
    run = jax.jit(lambda m, x: x + (m.refresh is not None), static_argnums=0)
    assert [int(run(m, 1)) for m in (one, other)] == [1, 2]


def test_wrapping_is_replacing():
    original = method()
    wrapped = dataclasses.replace(original, update=lambda *args, step: args)
    assert wrapped.loss is original.loss
    assert original.update is unchanged
    assert wrapped.update is not unchanged


def test_parts_are_given_by_name_and_none_may_be_missing():
    with pytest.raises(TypeError):
        Method(None, None, None, None, None)
    with pytest.raises(TypeError, match="exports"):
        Method(encoder=None, views=None, init=None, loss=None)


def test_by_default_nothing_follows_the_params():
    params, state = {"w": jnp.ones(2)}, (jnp.zeros(3),)
    got = unchanged(params, state, step=jnp.zeros((), jnp.int32))
    assert got[0] is params
    assert got[1] is state
    assert method().refresh is None


def test_by_default_nothing_is_loaded_shown_or_said_of_a_head():
    plain = method()
    assert dict(plain.loads) == {}
    assert plain.shows is None
    assert plain.health == Health(project=None, chance=None, prototypes=None)
    assert plain.health.classes is None
    assert not Load(take=len, fill=len).required


def test_methods_share_no_loads():
    assert method().loads is not method().loads


def test_a_refresh_runs_every_epoch_and_resets_nothing_by_default():
    refresh = Refresh(embed=len, fit=len)
    assert refresh.every_epochs == 1
    assert refresh.resets == ()


def test_a_train_state_is_a_tree_of_arrays():
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params={"w": jnp.ones(2)},
        opt_state=(),
        state=(),
        key=jax.random.key(0),
    )
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(state)
    ]
    assert names == ["step", "params/w", "key"]
    assert jax.jit(lambda s: s.replace(step=s.step + 1))(state).step == 1


def test_features_need_no_prediction():
    features = Features(jnp.ones((2, 3)), jnp.ones((2, 4, 4, 3)))
    assert features.prediction is None
    assert len(jax.tree.leaves(features)) == 2


@pytest.mark.parametrize("name", READ_AS)
def test_the_encoder_reads_its_own_field_whatever_comes_before_it(name):
    # Traced, a mapping comes back in the order of its names.
    seen = jax.jit(lambda: {"a label": 3, name: jnp.ones(2)})()
    np.testing.assert_array_equal(encoder_input(seen), [1, 1])


def test_views_without_anything_to_read_are_refused():
    with pytest.raises(ValueError, match=r"it makes \['index', 'mask'\], and none of"):
        encoder_input({"mask": jnp.ones(2), "index": 3})


def test_frames_that_networks_read_as_inputs_are_left_out():
    views = {"left_frames": 1, "left_inputs": 2, "frames": 3, "intrinsics": 4}
    kept = {"left_inputs": 2, "frames": 3, "intrinsics": 4}
    assert read_by_networks(views) == kept
    assert read_by_networks(views["frames"]) == 3

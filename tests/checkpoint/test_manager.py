import functools
import os
import pathlib

import jax
import jax.numpy as jnp
import pytest

from jax_ssl.checkpoint.manager import TRASH, open_checkpoints
from tests.checkpoint.states import (
    abstract,
    assert_same_bits,
    mesh_of,
    put,
    shardings,
    train_state,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with steps 3 and 5 written from eight devices; only read by tests."""
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    with open_checkpoints(folder) as checkpoints:
        for step in (3, 5):
            train = put(train_state(step, seed=step), 8)
            assert checkpoints.save(train, {"epoch": step / 2, "best": float("inf")})
    return folder


@pytest.fixture
def reader(written):
    with open_checkpoints(written, writable=False) as checkpoints:
        yield checkpoints


@pytest.mark.parametrize("devices", [8, 2, 1])
def test_restores_bit_for_bit_onto_any_mesh(reader, devices):
    like = abstract(train_state(), devices)
    restored = reader.restore(like, 3)
    assert_same_bits(restored, train_state(3, seed=3))
    jax.tree.map(
        lambda leaf, where: leaf.sharding.is_equivalent_to(where, leaf.ndim) or 1 / 0,
        restored,
        shardings(restored, mesh_of(devices)),
    )


def test_concrete_leaves_and_leaves_without_sharding_will_do(reader):
    assert_same_bits(reader.restore(train_state()), train_state(5, seed=5))
    bare = jax.eval_shape(train_state)
    assert_same_bits(reader.restore(bare), train_state(5, seed=5))


def test_restored_state_goes_on_as_the_one_that_was_saved(reader):
    @functools.partial(jax.jit, donate_argnums=0)
    def step(train):
        key = jax.random.fold_in(train.key, train.step)
        noise = lambda x: x + jax.random.normal(key, x.shape, x.dtype)
        params = jax.tree.map(noise, train.params)
        return train.replace(step=train.step + 1, params=params)

    straight = put(train_state(5, seed=5), 2)
    resumed = reader.restore(abstract(straight, 2))
    for _ in range(3):
        straight, resumed = step(straight), step(resumed)
    assert_same_bits(straight, resumed)


def test_latest_steps_and_host_values(reader):
    assert reader.steps() == [3, 5]
    assert reader.latest_step() == 5
    assert reader.host() == {"epoch": 2.5, "best": "Infinity"}
    assert reader.host(3)["epoch"] == 1.5


def test_a_field_that_is_none_is_left_on_disk(reader):
    like = abstract(train_state(), 1)
    restored = reader.restore(like.replace(opt_state=None))
    assert restored.opt_state is None
    expected = train_state(5, seed=5)
    assert_same_bits(restored, expected.replace(opt_state=None))


def test_differences_are_named_all_at_once(reader):
    like = jax.eval_shape(functools.partial(train_state, width=9))
    like = like.replace(
        params={
            "encoder": {"kernel": like.params["encoder"]["kernel"]},
            "predictor": like.params["head/0"],
        }
    )
    with pytest.raises(ValueError, match="is not of this run's method") as caught:
        reader.restore(like)
    text = str(caught.value)
    assert "missing: params/predictor\n" in text
    assert "unexpected: params/encoder/half, params/head/0\n" in text
    assert "params/encoder/kernel (float32[8, 8] there, float32[9, 8] here)" in text
    assert reader.folder in text


def test_long_lists_of_differences_are_cut(reader):
    many = {f"p{i}": jax.ShapeDtypeStruct((1,), jnp.float32) for i in range(20)}
    like = jax.eval_shape(train_state)
    with pytest.raises(ValueError, match=r"p10, .*p15 and 12 more"):
        reader.restore(like.replace(state={**like.state, **many}))


def test_another_dtype_is_a_difference(reader):
    like = jax.eval_shape(train_state)
    counts = jax.ShapeDtypeStruct((4,), jnp.float32)
    with pytest.raises(ValueError, match=r"int32\[4\] there, float32\[4\] here"):
        reader.restore(like.replace(state={**like.state, "counts": counts}))


def test_a_key_of_another_generator_is_refused(tmp_path):
    # Both generators' keys have four words; only their names tell them apart.
    train = train_state().replace(key=jax.random.key(0, impl="rbg"))
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(train)
        assert_same_bits(checkpoints.restore(train), train)
        other = train.replace(key=jax.random.key(0, impl="unsafe_rbg"))
        with pytest.raises(ValueError, match=r"key \(rbg key there, unsafe_rbg here\)"):
            checkpoints.restore(other)


def test_keeps_the_last_ones_and_leaves_no_trash(tmp_path):
    with open_checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(train_state(step))
        assert checkpoints.steps() == [4, 5]
    assert sorted(os.listdir(tmp_path)) == ["4", "5"]


def test_saving_twice_does_nothing_and_going_back_is_refused(tmp_path):
    with open_checkpoints(tmp_path, asynchronous=False) as checkpoints:
        assert checkpoints.save(train_state(4), {"n": 1})
        assert not checkpoints.save(train_state(4, seed=1), {"n": 2})
        assert checkpoints.host() == {"n": 1}
        with pytest.raises(ValueError, match=r"cannot save step 2.*later step 4"):
            checkpoints.save(train_state(2))


def test_values_without_a_form_in_json_are_refused_before_saving(tmp_path):
    with open_checkpoints(tmp_path) as checkpoints:
        with pytest.raises(TypeError, match="has no form in JSON"):
            checkpoints.save(train_state(), {"what": object()})
        assert checkpoints.steps() == []


def test_readers_neither_write_nor_clean(tmp_path):
    with open_checkpoints(tmp_path) as writer:
        writer.save(train_state(1))
    left = tmp_path / "7.orbax-checkpoint-tmp"
    left.mkdir()
    with open_checkpoints(tmp_path, writable=False) as reader:
        assert reader.steps() == [1]
        with pytest.raises(RuntimeError, match="opened to read"):
            reader.save(train_state(2))
        with open_checkpoints(tmp_path / "other") as writer:
            writer.save(train_state(1))
    assert left.exists()


def test_a_reader_sees_what_is_written_after_it_opened(tmp_path):
    with (
        open_checkpoints(tmp_path) as writer,
        open_checkpoints(tmp_path, writable=False) as reader,
    ):
        assert reader.latest_step() is None
        writer.save(train_state(1))
        writer.wait()
        assert reader.latest_step() == 1


def test_a_writer_clears_what_killed_runs_left(tmp_path):
    (tmp_path / "7.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / TRASH / "2" / "train").mkdir(parents=True)
    with open_checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == []
        checkpoints.save(train_state(1))
    assert os.listdir(tmp_path) == ["1"]


def test_absent_checkpoints_are_named(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        open_checkpoints(tmp_path / "absent", writable=False)
    with (
        open_checkpoints(tmp_path / "empty") as empty,
        pytest.raises(FileNotFoundError, match=r"no complete checkpoint in .*empty"),
    ):
        empty.restore(train_state())
    with pytest.raises(FileNotFoundError, match=r"step 4 in .*it holds \[3, 5\]"):
        reader.host(4)
    with pytest.raises(ValueError, match="keep = 0"):
        open_checkpoints(tmp_path, keep=0)

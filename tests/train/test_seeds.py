"""Several seeds as one program are the runs of each seed alone."""

import argparse
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.core.state import TrainState
from jax_ssl.data.arrays import arrays
from jax_ssl.ops.conv import kernels_in_turn
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.run.seeds import of_each, seeds_of
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.loop import Evaluation, NotFiniteError, Plan, fit
from jax_ssl.train.program import program
from jax_ssl.train.seeds import (
    SeedsCheckpoints,
    SeedsFeed,
    member,
    seeds_program,
    stacked,
)
from jax_ssl.train.step import init, train_step
from tests.cases import METHODS_UNDER_TEST
from tests.images import BATCH, examples
from tests.train.test_loop import Recorder, assert_equal, tiny_method

SEEDS = 3, 11
PLAN = Plan(num_steps=6, log_every=3)


def made_of(seeds, method=None, *, feed=Feed, devices=1):
    """The program of one seed, or of several, and their feeds."""
    mesh = make_mesh(devices=jax.devices()[:devices])
    source = arrays({"image": examples(50)["image"]})
    first = feed(source, mesh=mesh, seed=seeds[0], batch_size=16)
    feeds = [first.with_seed(seed) for seed in seeds]
    tx = optax.sgd(0.01, momentum=0.9)
    made = program(method or tiny_method(), tx, feeds[0], mesh)
    return made if len(seeds) == 1 else seeds_program(made, feeds)


def run(made, seed=0, **more):
    recorder = more.pop("recorder", None) or Recorder()
    plan = more.pop("plan", PLAN)
    return fit(made, seed=seed, plan=plan, recorder=recorder, **more), recorder


@pytest.fixture(scope="module")
def alone():
    return [run(made_of([seed]), seed) for seed in SEEDS]


@pytest.mark.parametrize(
    ("feed", "devices"),
    [(Feed, 1), pytest.param(ResidentFeed, 8, marks=pytest.mark.slow)],
)
def test_each_seed_is_the_run_of_it_alone(alone, feed, devices):
    def tell(train, means):
        yield {"step": int(train.step), "loss": means["loss"]}

    each = of_each([[Evaluation(3, tell)]] * 2, SEEDS)
    made = made_of(SEEDS, feed=feed, devices=devices)
    outcome, recorder = run(made, evaluations=each)
    for number, (single, told) in enumerate(alone):
        found = member(outcome.train, number)
        assert_equal(found, single.train, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(
            *map(jax.random.key_data, (found.key, single.train.key))
        )
        for (step, means), (wanted, expected) in zip(
            recorder.lines, told.lines, strict=True
        ):
            assert step == wanted
            assert means.keys() == expected.keys()
            assert means["loss"][number] == pytest.approx(expected["loss"], rel=1e-5)
    seen = [(r["of_seed"], r["step"]) for _, r in recorder.evaluations]
    assert seen == [(0, 3), (1, 3), (0, 6), (1, 6)]
    assert recorder.evaluations[1][1]["loss"] == recorder.lines[0][1]["loss"][1]


def test_each_resumes_together_and_alone(tmp_path, alone):
    def stop(step):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

    def opened():
        return [open_checkpoints(tmp_path / str(seed)) for seed in SEEDS]

    kept = opened()
    first, _ = run(
        made_of(SEEDS),
        checkpoints=SeedsCheckpoints(kept, SEEDS),
        recorder=Recorder(stop),
    )
    assert 3 <= first.step < 6
    # What each has saved is a checkpoint of a run of its own.
    (single, _), seed = alone[1], SEEDS[1]
    assert kept[1].host() == {"step": first.step, "seed": seed}
    with open_checkpoints(tmp_path / str(seed), writable=False) as other:
        half = other.restore(made_of([seed]).abstract)
    assert jax.tree.structure(half) == jax.tree.structure(single.train)
    second, _ = run(made_of(SEEDS), checkpoints=SeedsCheckpoints(kept, SEEDS))
    assert second.step == 6
    assert_equal(member(second.train, 1), single.train, rtol=1e-5, atol=1e-6)
    third, _ = run(made_of([seed]), seed, checkpoints=kept[1])  # It has ended.
    assert_equal(third.train, member(second.train, 1))
    for each in kept:
        each.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS_UNDER_TEST)
def test_a_step_mapped_over_seeds_is_the_step_of_each(name):
    case = METHODS_UNDER_TEST[name]
    method, tx = case.build(), optax.sgd(case.learning_rate)
    some = jax.tree.map(jnp.asarray, examples(64))
    batches = [
        {name: leaf[places] for name, leaf in some.items()}
        for places in (slice(BATCH), slice(-BATCH, None))
    ]
    fresh = jax.jit(lambda key: init(method, tx, key, batches[0]))
    states = [fresh(jax.random.key(seed)) for seed in SEEDS]
    one = jax.jit(lambda train, batch: train_step(method, tx, train, batch))
    axes = TrainState(step=None, params=0, opt_state=0, state=0, key=0)
    mapped = jax.jit(
        jax.vmap(
            lambda train, batch: train_step(method, tx, train, batch),
            in_axes=(axes, 0),
            out_axes=(axes, 0),
        )
    )
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    with kernels_in_turn():
        together, told = mapped(stacked(states), both)
    for number, (state, batch) in enumerate(zip(states, batches, strict=True)):
        expected, metrics = one(state, batch)
        found = member(together, number)
        assert_equal(found, expected, rtol=1e-4, atol=1e-5)
        assert told["loss"][number] == pytest.approx(float(metrics["loss"]), rel=1e-5)


def test_the_first_seed_that_is_not_finite_is_named():
    with pytest.raises(
        NotFiniteError, match=r"seed number 0 of --seeds.* step 2: loss"
    ):
        run(made_of(SEEDS, tiny_method("loss", at=2)))


def test_clustering_between_epochs_is_refused():
    method = METHODS_UNDER_TEST["deepcluster"].build()
    with pytest.raises(ValueError, match=r"clustering.* one after another: leave"):
        made_of(SEEDS, method)


def test_pieces_end_with_those_of_each_seed():
    """A run that has all of its steps goes on to its evaluations."""
    mesh = make_mesh(devices=jax.devices()[:1])
    source = arrays(examples(2 * BATCH, 0))
    feeds = [Feed(source, mesh=mesh, seed=s, batch_size=BATCH) for s in (0, 1)]
    with SeedsFeed(feeds).pieces(range(2, 2)) as pieces:
        assert not list(pieces)
    with SeedsFeed(feeds).pieces(range(2)) as pieces:
        assert [len(piece) for piece in pieces] == [2]  # One call, of both seeds.


@pytest.mark.parametrize(
    ("seeds", "overrides", "said"),
    [
        ("0,1,1", (), "--seeds=0,1,1: must be different whole numbers"),
        ("0,-1", (), "must be different whole numbers"),
        ("1;2", (), "with commas between them"),
        ("0,5000000000", (), "0 to 4294967295"),
        ("0,1", ("run.seed=4",), r"leave --config.run.seed out"),
    ],
)
def test_what_are_no_seeds_is_refused(tmp_path, seeds, overrides, said):
    options = argparse.Namespace(
        seeds=seeds, overrides=overrides, workdir=str(tmp_path)
    )
    with pytest.raises(ValueError, match=said):
        seeds_of(options)


def test_the_folder_of_a_single_run_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    options = argparse.Namespace(seeds="0,1", overrides=(), workdir=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"holds a run of one seed; .* another --workdir"
    ):
        seeds_of(options)

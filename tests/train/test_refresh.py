"""The stage between epochs: when it runs, what it sees, and that it can be repeated."""

import contextlib
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.augment import VIEWS
from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.core.method import Method, Refresh
from jax_ssl.core.types import Features
from jax_ssl.data.arrays import arrays
from jax_ssl.data.source import CorruptExamples
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.loop import Plan, fit
from jax_ssl.train.program import program
from jax_ssl.train.refresh import Refresher
from jax_ssl.train.sweep import AT_ONCE, places_by_device
from tests.images import examples

SEED, BATCH, N = 3, 16, 50  # Three steps an epoch.
IMAGES = examples(N)["image"]


class Linear(nn.Module):
    """The least encoder: one dense layer."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return Features(nn.Dense(4)(x.reshape(x.shape[0], -1)), x)


def tiny_method(**refresh):
    """Predicts from an image what the last refresh saw of it, with a fresh head."""
    encoder, head = Linear(), nn.Dense(1)

    def views(key, example):
        image = example["image"].astype(jnp.float32) / 255
        noise = 0.1 * jax.random.normal(key, image.shape)
        return {"image": image + noise, "index": example["index"]}

    def init(key, views):
        params = encoder.init(key, views["image"], train=False)["params"]
        kernel = head.init(key, jnp.zeros((1, 4)))["params"]
        state = {"seen": jnp.zeros(N), "count": jnp.zeros((), jnp.int32)}
        return {"encoder": params, "head": kernel}, state

    def pooled(params, images):
        return encoder.apply({"params": params["encoder"]}, images, train=True).pooled

    def loss(params, state, views, *, key, step):
        del key, step
        features = pooled(params, views["image"])
        said = head.apply({"params": params["head"]}, features)[:, 0]
        target = jax.lax.stop_gradient(state["seen"][views["index"]])
        return jnp.square(said - target).mean(), (state, {})

    def fit_features(params, state, features, key):
        params = {**params, "head": head.init(key, features[:1])["params"]}
        state = {"seen": features[:N, 0], "count": state["count"] + 1}
        return params, state, {"mean": features[:N].mean()}

    return Method(
        encoder=encoder,
        views=views,
        init=init,
        loss=loss,
        exports={"encoder": lambda params, state: {"params": params["encoder"]}},
        refresh=Refresh(
            embed=lambda params, state, batch: pooled(params, batch["view"]),
            fit=fit_features,
            resets=("head",),
            **refresh,
        ),
    )


class Recorder:
    """Keeps what the refreshes say; may act when one has ended."""

    evaluated = ()

    def __init__(self, act=lambda step: None):
        self.records, self.act = [], act

    def train(self, step, metrics, waited):
        pass

    def note(self, step, record):
        assert record.pop("kind") == "refresh"
        self.records.append((step, record))
        self.act(step)

    def paused(self):
        return contextlib.nullcontext()


TX = optax.sgd(0.01, momentum=0.9)
VIEW = VIEWS["identity"]()


def feed_of(mesh, kind=Feed, source=None):
    source = arrays({"image": IMAGES}) if source is None else source
    return kind(source, mesh=mesh, seed=SEED, batch_size=BATCH, workers=1)


def run(method=None, *, devices=1, kind=Feed, checkpoints=None, act=None, **plan):
    mesh = make_mesh(devices=jax.devices()[:devices])
    recorder = Recorder(act) if act else Recorder()
    outcome = fit(
        program(method or tiny_method(), TX, feed_of(mesh, kind), mesh),
        seed=SEED,
        plan=Plan(**{"num_steps": 9, "log_every": 50, "steps_per_call": 2, **plan}),
        recorder=recorder,
        checkpoints=checkpoints,
        view=VIEW,
    )
    return outcome.train, recorder.records


def assert_equal(a, b, **tolerance):
    a, b = (jax.device_get((x.params, x.state, x.opt_state)) for x in (a, b))
    equal = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    jax.tree.map(lambda x, y: equal(x, y, **tolerance), a, b)


def staged(method, *, devices=1, kind=Feed, source=None):
    """(refresher, first state, mesh)."""
    mesh = make_mesh(devices=jax.devices()[:devices])
    made = program(method, TX, feed_of(mesh, kind, source), mesh)
    return Refresher(made, VIEW), made.start(jax.random.key(0)), mesh


def seen_by(train, images=IMAGES):
    layer = jax.device_get(train.params["encoder"]["Dense_0"])
    x = images.reshape(len(images), -1) / 255.0
    return (x @ np.float64(layer["kernel"]) + layer["bias"])[:, 0]


@pytest.fixture(scope="module")
def straight():
    return run()


def test_it_comes_before_the_first_step_of_every_epoch(straight):
    train, records = straight
    assert [step for step, _ in records] == [0, 3, 6]
    assert int(train.state["count"]) == 3
    for _, record in records:
        assert set(record) == {"mean", "refresh_seconds"}
        assert np.isfinite(record["mean"])
        assert record["refresh_seconds"] > 0


def test_it_may_come_less_often():
    train, records = run(tiny_method(every_epochs=2))
    assert [step for step, _ in records] == [0, 6]
    assert int(train.state["count"]) == 2


def test_it_may_come_once(tmp_path):
    once = tiny_method(every_epochs=None)
    train, records = run(once)
    assert [step for step, _ in records] == [0]
    assert int(train.state["count"]) == 1
    with open_checkpoints(tmp_path) as kept:
        run(once, checkpoints=kept, num_steps=6)
        resumed, records = run(once, checkpoints=kept)
    assert records == []
    assert_equal(resumed, train)


@pytest.mark.parametrize("kind", [Feed, ResidentFeed])
@pytest.mark.parametrize("devices", [1, 8])
def test_it_sees_the_whole_set_in_its_order(devices, kind):
    refresher, first, mesh = staged(tiny_method(), devices=devices, kind=kind)
    expected = seen_by(first)
    with jax.set_mesh(mesh):
        after, _ = refresher(first)
    np.testing.assert_allclose(after.state["seen"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Feed, ResidentFeed])
def test_any_feed_and_device_count_give_the_same_run(straight, kind):
    assert_equal(run(kind=kind, devices=8)[0], straight[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stop", [5, 6, 7])
def test_a_run_resumed_around_the_stage_is_the_same_run(tmp_path, straight, stop):
    with open_checkpoints(tmp_path) as kept:
        run(checkpoints=kept, num_steps=stop)
        resumed, records = run(checkpoints=kept)
    # What is saved at step 6 is of before the stage, which then comes again.
    assert [step for step, _ in records] == ([6] if stop <= 6 else [])
    assert_equal(resumed, straight[0])


def test_a_run_killed_right_after_the_stage_repeats_it(tmp_path, straight):
    def die(step):
        if step == 6:
            raise KeyboardInterrupt

    with open_checkpoints(tmp_path) as kept:
        with pytest.raises(KeyboardInterrupt):
            run(checkpoints=kept, act=die, checkpoint_every=3)
        assert kept.latest_step() == 6
        resumed, records = run(checkpoints=kept, checkpoint_every=3)
    assert [step for step, _ in records] == [6]
    assert_equal(resumed, straight[0])


def test_slots_of_the_named_parts_start_afresh_and_no_others():
    method = tiny_method()
    refresher, first, mesh = staged(method)
    slots = jax.tree.map(lambda leaf: jnp.ones_like(leaf), first.opt_state)
    before = jax.device_get(first.params)
    with jax.set_mesh(mesh):
        after, _ = refresher(first.replace(opt_state=slots))
    trace = after.opt_state[0].trace
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(trace["head"]))
    assert all(np.all(leaf == 1) for leaf in jax.tree.leaves(trace["encoder"]))
    np.testing.assert_array_equal(
        after.params["encoder"]["Dense_0"]["kernel"],
        before["encoder"]["Dense_0"]["kernel"],
    )
    assert np.any(after.params["head"]["kernel"] != before["head"]["kernel"])


def test_what_training_left_in_the_state_is_recalled_after_the_first_time():
    def recall(state):
        return jnp.tile(state["seen"][:, None] + 100, (1, 4))

    train, records = run(tiny_method(recall=recall), num_steps=7)
    first, *later = (record["mean"] for _, record in records)
    assert abs(first) < 50
    # `fit` stores the first column, which the next stage gets back plus 100.
    np.testing.assert_allclose(later[1] - later[0], 100, rtol=1e-5)
    assert int(train.state["count"]) == 3


def test_a_corrupt_example_gives_way_to_the_next_one():
    class Torn:
        def __init__(self):
            self.whole = arrays({"image": IMAGES})
            self.name, self.fields = self.whole.name, self.whole.fields

        def __len__(self):
            return N

        def __getitem__(self, rows):
            if 5 in rows:
                raise CorruptExamples({5: "five.jpg: torn"})
            return self.whole[rows]

    refresher, first, mesh = staged(tiny_method(), source=Torn())
    expected = seen_by(first)
    expected[5] = expected[6]
    with jax.set_mesh(mesh):
        after, _ = refresher(first)
    np.testing.assert_allclose(after.state["seen"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("num_examples", "devices", "at_once"),
    [(50, 8, 2), (1, 8, 1), (64, 4, 16), (1000, 3, 4), (5000, 2, 2048)],
)
def test_every_device_embeds_consecutive_examples(num_examples, devices, at_once):
    rows = places_by_device(num_examples, devices, at_once)
    each = rows.shape[1] // devices
    assert rows.shape[1] == each * devices
    assert each <= min(AT_ONCE, at_once)
    laid_out = np.concatenate(
        [rows[:, d * each : (d + 1) * each].ravel() for d in range(devices)]
    )
    np.testing.assert_array_equal(laid_out, np.arange(rows.size))
    assert rows.size < num_examples + devices * (len(rows) + 1)


def test_wrong_stages_are_refused_before_anything_is_compiled():
    method = tiny_method()
    mesh = make_mesh(devices=jax.devices()[:1])
    made = program(method, TX, feed_of(mesh), mesh)
    with pytest.raises(ValueError, match=r"view .*config.evals.view"):
        Refresher(made, None)
    with pytest.raises(ValueError, match="shows the encoder nothing"):
        Refresher(made, lambda key, example: {"index": 0})

    def wider(params, state, features, key):
        del key
        return params, {**state, "seen": features[:, 0]}, {}

    refresh = dataclasses.replace(
        method.refresh, fit=wider, embed=lambda p, s, batch: jnp.zeros((13, 4))
    )
    method = dataclasses.replace(method, refresh=refresh)
    with pytest.raises(ValueError, match=r"state/seen .*\(50,\).*\(52,\)"):
        Refresher(dataclasses.replace(made, method=method), VIEW)

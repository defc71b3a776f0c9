import contextlib
import os
import signal
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.core.method import Method
from jax_ssl.core.types import Features
from jax_ssl.data.arrays import arrays
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.train.calls import Calls
from jax_ssl.train.feeds import Feed, ResidentFeed
from jax_ssl.train.loop import Evaluation, NotFiniteError, Plan, fit
from jax_ssl.train.program import program
from tests.images import examples

SEED = 3
BATCH = 16


class Linear(nn.Module):
    """The least encoder: one dense layer."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return Features(nn.Dense(4)(x.reshape(x.shape[0], -1)), x)


def tiny_method(poison=None, at=None):
    """Predicts the brightness of noisy images; `poison` names what breaks `at` a step.

    The state holds a running mean, so that order and resuming matter to it.
    """
    encoder = Linear()

    def views(key, example):
        image = example["image"].astype(jnp.float32) / 255
        return image + 0.1 * jax.random.normal(key, image.shape)

    def init(key, views):
        params = encoder.init(key, views, train=False)["params"]
        return {"encoder": params}, {"mean": jnp.zeros(())}

    def loss(params, state, views, *, key, step):
        noise = jax.random.normal(key, ())
        out = encoder.apply({"params": params["encoder"]}, views, train=True).pooled
        value = jnp.square(out[:, 0] - views.mean((1, 2, 3)) - 0.01 * noise).mean()
        if poison == "loss":
            value = jnp.where(step == at, jnp.nan, value)
        mean = 0.9 * state["mean"] + 0.1 * value
        if poison == "state":
            mean = jnp.where(step == at - 1, jnp.inf, mean)
            value = value + 0 * state["mean"]
        return value, ({"mean": mean}, {"out": out.mean()})

    def poisoned_views(key, example):
        image = views(key, example)
        return jnp.where(example["index"] == 5, jnp.nan, image)

    return Method(
        encoder=encoder,
        views=poisoned_views if poison == "views" else views,
        init=init,
        loss=loss,
        exports={"encoder": lambda params, state: {"params": params["encoder"]}},
    )


class Recorder:
    """Keeps what the loop says; may act when a line comes."""

    evaluated = ()

    def __init__(self, act=lambda step: None):
        self.lines, self.evaluations, self.act = [], [], act

    def train(self, step, metrics, waited):
        self.lines.append((step, metrics))
        self.act(step)

    def note(self, step, record):
        self.evaluations.append((step, record))

    def paused(self):
        return contextlib.nullcontext()


def made_of(method, tx=None, *, feed=Feed, devices=1):
    mesh = make_mesh(devices=jax.devices()[:devices])
    source = arrays({"image": examples(50)["image"]})
    tx = tx or optax.sgd(0.01, momentum=0.9)
    return program(
        method, tx, feed(source, mesh=mesh, seed=SEED, batch_size=BATCH), mesh
    )


def run(method=None, *, feed=Feed, checkpoints=None, recorder=None, devices=1, **plan):
    settings = {"num_steps": 12, "log_every": 4, **plan}
    evaluations = settings.pop("evaluations", ())
    recorder = recorder or Recorder()
    outcome = fit(
        made_of(method or tiny_method(), feed=feed, devices=devices),
        seed=SEED,
        plan=Plan(**settings),
        recorder=recorder,
        checkpoints=checkpoints,
        evaluations=evaluations,
    )
    return outcome, recorder


def assert_equal(a, b, **tolerance):
    a, b = (jax.device_get((x.params, x.state, x.opt_state)) for x in (a, b))
    if tolerance:
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)
    else:
        jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def straight():
    return run()[0].train


def test_every_line_is_the_mean_of_its_interval(straight):
    _, every = run(log_every=1)
    _, fourth = run()
    assert [step for step, _ in fourth.lines] == [4, 8, 12]
    losses = [metrics["loss"] for _, metrics in every.lines]
    for step, metrics in fourth.lines:
        expected = np.mean(np.float32(losses[step - 4 : step]), dtype=np.float32)
        assert metrics["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("feed", [Feed, ResidentFeed])
@pytest.mark.parametrize("steps_per_call", [1, 8])
def test_feed_and_dispatch_do_not_change_the_run(straight, feed, steps_per_call):
    outcome, _ = run(feed=feed, steps_per_call=steps_per_call)
    assert outcome.step == 12
    assert_equal(outcome.train, straight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("feed", [Feed, ResidentFeed])
def test_eight_devices_give_the_same_run(straight, feed):
    assert_equal(run(feed=feed, devices=8)[0].train, straight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("stop", "steps_per_call"), [(3, 1), (6, 5)])
def test_a_signal_saves_and_the_next_start_continues(tmp_path, stop, steps_per_call):
    def act(step):
        if step >= stop:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def checkpoints():
        return open_checkpoints(tmp_path / f"{stop}-{steps_per_call}")

    plan = {"log_every": 3, "steps_per_call": steps_per_call}
    whole, _ = run(**plan)
    with checkpoints() as kept:
        first, _ = run(checkpoints=kept, recorder=Recorder(act), **plan)
        assert kept.latest_step() == first.step
    assert first.interrupted == signal.SIGTERM
    assert stop <= first.step < 12
    with checkpoints() as kept:
        second, _ = run(checkpoints=kept, **plan)
    assert second.interrupted is None
    assert_equal(second.train, whole.train)


def test_signals_belong_to_the_caller_again_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    run(num_steps=1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_finished_run_is_left_as_it_is(tmp_path, straight):
    with open_checkpoints(tmp_path) as kept:
        run(checkpoints=kept)
        outcome, recorder = run(checkpoints=kept)
    assert recorder.lines == []
    assert_equal(outcome.train, straight)


@pytest.mark.parametrize(
    ("poison", "part"),
    [("loss", "loss"), ("state", "state/mean"), ("views", "views")],
)
def test_not_finite_stops_with_step_and_part(tmp_path, poison, part):
    method = tiny_method(poison, at=7)
    step = 7
    if poison == "views":
        from jax_ssl.data.order import rows_of_step

        step = next(s for s in range(12) if 5 in rows_of_step(SEED, s, BATCH, 50))
    plan = {"checkpoint_every": 2, "log_every": 6}
    with open_checkpoints(tmp_path, keep=9) as kept:
        with pytest.raises(NotFiniteError) as caught:
            run(method, checkpoints=kept, **plan)
        saved = kept.steps()
    assert caught.value.step == step
    assert caught.value.part == part
    assert f"step {step}" in str(caught.value)
    # The checkpoint before the bad step is there, and no later one.
    assert saved == list(range(2, step + 1, 2))


def test_an_update_that_overflows_shows_as_params():
    tx = optax.sgd(lambda step: jnp.where(step == 2, jnp.inf, 1e-3))
    with pytest.raises(NotFiniteError, match="params/encoder/Dense_0") as caught:
        fit(
            made_of(tiny_method(), tx),
            seed=0,
            plan=Plan(num_steps=6, log_every=6),
            recorder=Recorder(),
        )
    assert caught.value.step == 3


@pytest.mark.parametrize(("guards", "saved"), [(False, [5, 10]), (True, [None, 5])])
def test_evaluations_come_after_the_checkpoint_and_guards_before(
    tmp_path, guards, saved
):
    with open_checkpoints(tmp_path, keep=9) as kept:
        seen, latest = [], []

        def evaluate(train, means):
            seen.append((int(train.step), np.isfinite(means["loss"])))
            latest.append(kept.latest_step())
            return [{"accuracy": 0.5}]

        every = [Evaluation(5, evaluate, guards=guards)]
        _, recorder = run(checkpoints=kept, checkpoint_every=5, evaluations=every)
    assert [step for step, _ in recorder.evaluations] == [5, 10]
    assert seen == [(5, True), (10, True)]
    assert latest == saved


def test_a_failing_evaluation_costs_no_step_and_is_made_up_for(tmp_path):
    asked = []

    def evaluate(train, means):
        asked.append(int(train.step))
        if len(asked) == 1:
            raise ValueError("k is too large")
        return [{"accuracy": 0.5}]

    every = [Evaluation(5, evaluate)]
    plan = {"checkpoint_every": 5, "evaluations": every, "num_steps": 10}
    for fails in (True, False):
        with (
            open_checkpoints(tmp_path) as kept,
            pytest.raises(ValueError, match="too large")
            if fails
            else contextlib.nullcontext(),
        ):
            run(checkpoints=kept, **plan)
    assert asked == [5, 5, 10]


@pytest.mark.parametrize("name", ["num_steps", "log_every", "steps_per_call"])
def test_plan_refuses_nothing_to_do(name):
    with pytest.raises(ValueError, match=f"{name} = 0"):
        Plan(**{"num_steps": 3, name: 0})


def test_stops_are_a_function_of_the_step_alone():
    plan = Plan(num_steps=100, log_every=10, checkpoint_every=25, steps_per_call=4)

    def stops(step):
        found = []
        while step < 100:
            step = plan.stop_after(step, [7])
            found.append(step)
        return found

    whole = stops(0)
    assert whole[-1] == 100
    for step in whole:
        assert stops(step) == [s for s in whole if s > step]
    for n in (4, 7, 10, 25):
        assert set(range(n, 100, n)) <= set(whole)


def test_a_call_that_has_been_compiled_is_not_compiled_again(straight):
    made, traced = made_of(tiny_method()), []
    calls = Calls(made, lambda call, steps: traced.append(steps))
    with jax.set_mesh(made.mesh):
        calls(1)
    outcome = fit(
        made,
        seed=SEED,
        plan=Plan(num_steps=12, log_every=4),
        recorder=Recorder(),
        compiled=calls,
    )
    assert traced == [1]  # And not once more.
    assert_equal(outcome.train, straight)

"""The battery: the laws that every method keeps, on one small case of each.

By default a method's first case is compiled twice: a step on one device, and from the
same first state a step on eight, with params cut in two and rows in chunks where batch
norm allows it. All laws are read on these two programs, or on what is only traced. The
other cases, numbers of devices and numeric types are marked slow.
"""

import dataclasses
import functools
import inspect
import pathlib
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ssl.checkpoint.manager import open_checkpoints
from jax_ssl.config.bind import bind
from jax_ssl.core.paths import leaf_names
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from jax_ssl.parallel import rules
from jax_ssl.parallel.mesh import make_mesh, row_sharding
from jax_ssl.parallel.rows import map_examples
from jax_ssl.train.step import init, train_step
from tests.cases import METHODS_UNDER_TEST, one_a_method
from tests.images import BATCH, batch, examples
from tests.leaves import assert_close, assert_equal, assert_near, assert_same_kind

# SGD: Adam's first updates are ±lr·sign(g), and rounding flips signs near zero. Its
# rate is part of the state, so that one compiled step serves all tests of a case.
SGD = optax.inject_hyperparams(optax.sgd)(learning_rate=0.002, momentum=0.9)
STEPS = 4  # Of the runs that are compared.
# Methods of which equal images are all that chance asks for. Prototypes would have to
# be equally near as well, and NPID's NCE fixes its Z by an untrained network's scores.
OF_EQUAL_IMAGES = {"simclr", "supcon", "moco", "moco_v3", "triplet"}
COLLECTIVE = r"(all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)\("


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A function compiled for arguments of one kind.

    Attributes:
        call: the program.
        returns: shapes and dtypes of its results, which its trace knew.
    """

    call: Any
    returns: Any


def compiled(function, *args, **settings):
    """`function` for such arguments, by one trace and one compilation."""
    traced = jax.jit(function, **settings).trace(*args)
    return Compiled(traced.lower().compile(), traced.out_info)


@pytest.fixture(params=one_a_method(METHODS_UNDER_TEST), scope="module")
def case(request):
    return METHODS_UNDER_TEST[request.param]


@pytest.fixture(scope="module")
def method(case):
    return case.build()


@pytest.fixture(scope="module")
def beginning(method):
    """The program that makes the first state of a run."""
    start = functools.partial(init, method, SGD)
    return compiled(start, jax.random.key(0), batch())


@pytest.fixture(scope="module")
def first(beginning):
    """State of a fresh run on one device."""
    return beginning.call(jax.random.key(0), batch())


@pytest.fixture(scope="module")
def program(method, first):
    """The step on one device."""
    return compiled(functools.partial(train_step, method, SGD), first, batch())


@pytest.fixture(scope="module")
def straight(program, first):
    """(state, metrics) after `STEPS` steps on one device."""
    return run(program.call, first, STEPS)


def run(step, train, steps, start=0):
    for s in range(start, start + steps):
        train, metrics = step(train, batch(s))
    return train, metrics


def run_on_mesh(method, first, devices, fsdp=1, **settings):
    """(state, metrics) after `STEPS` steps on a mesh, from the same first state."""
    mesh = make_mesh(fsdp=fsdp, devices=jax.devices()[:devices])
    with jax.set_mesh(mesh), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "FSDP_MIN_BYTES", 1)  # Or nothing here would be split.
        placed = rules.shardings(first, mesh)
        # From the host: devices would compile a program for every shape.
        train, rows = jax.device_put(on_host(first), placed), row_sharding(mesh)
        step = compiled(
            functools.partial(train_step, method, SGD, **settings),
            train,
            jax.device_put(batch(), rows),
            out_shardings=(placed, None),
        )
        for s in range(STEPS):
            train, metrics = step.call(train, jax.device_put(batch(s), rows))
    return train, metrics


def on_host(train):
    """A copy of a state whose arrays, but for its key, are NumPy's."""
    is_key = lambda leaf: jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda leaf: leaf if is_key(leaf) else np.array(leaf), train)


def assert_same_run(first, found, expected):
    """Same state and metrics to rounding, of a run that did not stand still."""
    ends = (jax.tree.leaves(each.params) for each in (expected[0], first))
    moved = [np.square(np.subtract(a, b)).sum() for a, b in zip(*ends, strict=True)]
    assert np.sqrt(np.sum(moved)) > 5e-4
    train, wanted = found[0], expected[0]
    for part, tolerance in (("params", 1e-5), ("state", 1e-5), ("opt_state", 1e-4)):
        # The slots hold the gradient, many times as steep as what it has moved.
        ours, theirs = ({part: getattr(each, part)} for each in (train, wanted))
        assert_near(ours, theirs, tolerance, least=1.0)
    assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def with_groups(case, groups, **encoder):
    """The method with so many batch-norm groups, if its encoder has any."""
    spans = inspect.signature(ENCODERS[case.encoder["name"]]).parameters
    return case.build(**encoder, **({"groups": groups} if "groups" in spans else {}))


def test_an_encoders_file_fills_the_encoder_and_what_follows_it(method, first):
    load = method.loads["encoder"]
    taken = load.take(first.params, first.state)
    given = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.125, leaf.dtype), taken)
    params, state = load.fill(first.params, first.state, given)
    assert_equal(load.take(params, state), given)
    assert_same_kind((params, state), (first.params, first.state))
    # A larger teacher that never moves has a file of its own.
    for name in {"teacher", "average"} - method.loads.keys():
        if hasattr(state, name):
            assert_equal(getattr(state, name).params["encoder"], given["params"])


def test_init_traces_abstractly(beginning, first):
    assert_same_kind(beginning.returns, first)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(first))


def test_state_is_closed(program, first):
    after = program.returns[0]
    assert jax.tree.structure(after) == jax.tree.structure(first)
    assert_same_kind(after, first)


def test_step_is_pure(program, first):
    before = on_host(first)
    assert_equal(program.call(first, batch()), program.call(first, batch()))
    assert_equal(first, before)


def test_the_optimizer_remembers(program, first):
    after, _ = program.call(first, batch())
    slots = [leaf for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim]
    assert any(np.asarray(slot).any() for slot in slots)  # They were 0.


@pytest.mark.slow
def test_a_trace_leaves_nothing_behind(method, first):
    with jax.checking_leaks():
        jax.make_jaxpr(functools.partial(train_step, method, SGD))(first, batch())


def test_metrics_are_float_scalars(program, first):
    metrics = program.call(first, batch())[1]
    assert metrics.pop("nonfinite_leaf") == -1
    for name, value in metrics.items():
        assert value.shape == (), name
        assert value.dtype == jnp.float32, name
        assert np.isfinite(value), name


def test_resume_is_bit_exact(program, first, straight, tmp_path):
    half, _ = run(program.call, first, STEPS // 2)
    with open_checkpoints(tmp_path) as checkpoints:
        checkpoints.save(half)
        checkpoints.wait()
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first
        )
        restored = checkpoints.restore(abstract)
    rest = STEPS - STEPS // 2
    assert_equal(run(program.call, restored, rest, start=STEPS // 2), straight)


def test_loss_falls_on_fixed_images(case, program, first):
    """Training ends below a stated share of what no training would give.

    The control is the same run at learning rate zero: its last losses, on the same
    views, are those of chance and of statistics that drift.
    """
    rows = examples(64)
    batches = [
        {name: jnp.asarray(leaf[at : at + BATCH]) for name, leaf in rows.items()}
        for at in range(0, 64, BATCH)
    ]

    def last_loss(rate):
        rates = {"learning_rate": jnp.asarray(rate, jnp.float32)}
        slots = first.opt_state._replace(
            hyperparams={**first.opt_state.hyperparams, **rates}
        )
        train, losses = first.replace(opt_state=slots), []
        for s in range(case.steps):
            train, metrics = program.call(train, batches[s % len(batches)])
            losses.append(metrics["loss"])
        return np.mean(jax.device_get(losses[-8:])) - case.least_loss

    assert last_loss(case.learning_rate) < case.share * last_loss(0.0)


def test_no_gradient_flows_into_the_state(method, first):
    """Where all gradients are stopped nothing is left to compile."""

    @jax.jit
    def gradient(state, params):
        views = map_examples(method.views, jax.random.key(1), batch())

        def value(state):
            key = jax.random.key(2)
            return method.loss(params, state, views, key=key, step=jnp.int32(0))[0]

        return jax.grad(value, allow_int=True)(state)

    found = gradient(first.state, first.params)
    for name, leaf in zip(leaf_names(found), jax.tree.leaves(found), strict=True):
        assert leaf.dtype == jax.dtypes.float0 or not np.asarray(leaf).any(), name


def test_eight_devices_give_the_same_state(method, first, straight):
    norms = "batch_stats" in method.exports["encoder"](first.params, first.state)
    # Chunks on eight devices would cut through its groups.
    chunks = 1 if norms else 2
    found = run_on_mesh(method, first, 8, fsdp=2, chunks=chunks)
    specs = [leaf.sharding.spec for leaf in jax.tree.leaves(found[0].params)]
    assert any("fsdp" in spec for spec in specs)
    assert_same_run(first, found, straight)


def test_bfloat16_and_chunks_keep_the_kinds_of_the_state(case, first):
    method = with_groups(case, 4, dtype="bfloat16")
    start = functools.partial(init, method, SGD)
    train = jax.eval_shape(start, jax.random.key(0), batch())
    assert_same_kind(train, first)
    step = functools.partial(train_step, method, SGD, chunks=2)
    after, metrics = jax.eval_shape(step, train, batch())
    assert_same_kind(after, train)
    assert metrics["loss"].dtype == jnp.float32


def test_export_fits_a_bare_encoder(case, method, first):
    variables = method.exports["encoder"](first.params, first.state)
    image = case.reads(jnp.asarray(batch()["image"], jnp.float32) / 255)
    own = jax.eval_shape(
        functools.partial(method.encoder.init, train=False), jax.random.key(0), image
    )
    assert jax.tree.structure(dict(variables)) == jax.tree.structure(dict(own))
    assert_same_kind(dict(variables), dict(own))
    evaluate = functools.partial(method.encoder.apply, train=False)
    features = jax.eval_shape(evaluate, variables, image)
    assert features.pooled.shape[0] == BATCH
    assert features.pooled.dtype == jnp.float32


def test_an_embedding_is_of_its_own_image_alone(method, first):
    """Of those methods whose embeddings the collapse doctor looks at."""
    if (project := method.health.project) is None:
        return
    embed = functools.partial(jax.jit(project), first.params, first.state)
    images, others = (
        examples(BATCH, seed)["image"].astype(np.float32) / 255 for seed in (0, 1)
    )
    z, z_others = (np.asarray(embed(x)) for x in (images, others))
    assert z.ndim == 2
    assert len(z) == BATCH
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    # Untrained, a long head may shrink what it is given to a millionth.
    scale = np.abs(z).max()
    assert np.abs(z - z_others).max() > 1e-3 * scale
    mixed = embed(np.concatenate([images[:3], others[3:]]))
    np.testing.assert_allclose(mixed[:3], z[:3], rtol=1e-4, atol=1e-4 * scale)


def test_chance_is_the_loss_of_equal_images(case, method, first):
    """Queues and banks fill with the one embedding that there is."""
    softmax = case.settings.get("objective") == "softmax"  # NPID's own is NCE.
    if case.method not in OF_EQUAL_IMAGES and not softmax:
        return
    image = batch()["image"][0]

    @jax.jit
    def look(state, step, index):
        def view(row):
            same = {"image": image, "index": row}
            return method.views(jax.random.key(2), same)

        views = jax.vmap(view)(index)
        # Where there are two views of it, both are one too.
        first_of = lambda x: jnp.broadcast_to(x[:, :1], x.shape) if x.ndim == 5 else x
        views = jax.tree.map(first_of, views)
        key = jax.random.key(3)
        value, (state, _) = method.loss(first.params, state, views, key=key, step=step)
        return value, state

    state = first.state
    for step in range(80):  # Twenty times all 64 images.
        index = (step * BATCH + np.arange(BATCH)) % 64
        value, state = look(state, np.int32(step), index)
    np.testing.assert_allclose(value, method.health.chance(BATCH), rtol=2e-4)


def test_what_is_loaded_is_what_is_then_taken(method, first):
    params, state = first.params, first.state
    for load in method.loads.values():
        other = jax.tree.map(lambda x: np.asarray(x) + 1, load.take(params, state))
        filled = load.fill(params, state, other)
        assert_same_kind(filled, (params, state))
        assert_equal(load.take(*filled), other)


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "fsdp"), [(2, 1), (4, 2), (8, 1)])
def test_any_device_count_gives_the_same_state(method, first, straight, devices, fsdp):
    assert_same_run(first, run_on_mesh(method, first, devices, fsdp), straight)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_chunks_give_the_same_state(case, devices):
    method = with_groups(case, 4)
    first = jax.jit(functools.partial(init, method, SGD))(jax.random.key(0), batch())
    step = jax.jit(functools.partial(train_step, method, SGD))
    found = run_on_mesh(method, first, devices, chunks=2)
    assert_same_run(first, found, run(step, first, STEPS))


@pytest.mark.slow
def test_bfloat16_stays_finite(case):
    method = case.build(dtype="bfloat16")
    train = jax.jit(functools.partial(init, method, SGD))(jax.random.key(0), batch())
    half = jax.jit(functools.partial(train_step, method, SGD))
    train, metrics = run(half, train, 2)
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    variables = method.exports["encoder"](train.params, train.state)
    image = case.reads(jnp.asarray(batch()["image"], jnp.float32) / 255)
    features = method.encoder.apply(variables, image, train=False)
    assert np.isfinite(features.pooled).all()


def recipes():
    """The first case of each recipe, whichever methods share it."""
    seen = []
    for name, case in METHODS_UNDER_TEST.items():
        if case.views not in seen:
            seen.append(case.views)
            yield name


@pytest.mark.parametrize("name", recipes())
def test_views_contain_no_collective(name):
    views, mesh = METHODS_UNDER_TEST[name].views, make_mesh()
    with jax.set_mesh(mesh):
        rows = jax.device_put(batch(), row_sharding(mesh))
        make = jax.jit(functools.partial(map_examples, views))
        text = make.lower(jax.random.key(0), rows).compile().as_text()
    assert not re.search(COLLECTIVE, text)


@pytest.mark.parametrize("name", METHODS)
def test_unknown_setting_is_named(name):
    counts = {"num_examples": 64, "steps_per_epoch": 4, "batch_size": 16}
    wires = {"encoder": None, "views": None, "make_encoder": None, **counts}
    with pytest.raises(ValueError, match="has no setting 'tempratur'"):
        bind(METHODS[name], wires, {"tempratur": 1.0})


@pytest.mark.parametrize("name", METHODS)
def test_file_says_paper_and_views_and_is_short(name):
    module = sys.modules[METHODS[name].__module__]
    text = inspect.getdoc(module)
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", text.splitlines()[0])
    assert re.search(r"^Views: ", text, re.MULTILINE)
    path = pathlib.Path(module.__file__)
    assert len(path.read_text().splitlines()) <= 350


def test_every_method_has_a_case():
    assert {case.method for case in METHODS_UNDER_TEST.values()} == set(METHODS)

"""UnFlow: the whole loss in float64, what is known of flows, stacks, refusals."""

import functools

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.trees import count
from jax_ssl.core.types import Features
from jax_ssl.encoders import ENCODERS
from jax_ssl.losses.flow import flow_terms
from jax_ssl.methods.unflow import unflow
from jax_ssl.nn.flownet import FlowNetS
from tests.case import Case
from tests.films import enlarged, film_of_one_camera
from tests.images import batch
from tests.leaves import assert_equal
from tests.methods.errors import central_differences, wide
from tests.references import flow as reference

LOSS = {
    "border": None,
    "level_weights": (0.1, 0.05),
    "radii": (1, 1),
    "occlusion_weight": 0.0,  # Has no gradient, so that nothing makes it fall.
}
SMALL = {
    **LOSS,
    "widths": (8,),
    "decoder_widths": (8,),
    "max_displacement": 2,
    "displacement_stride": 1,
}
PWC = {**LOSS, "network": "PWC", "widths": (8, 6), "max_displacement": 1}
# Flows that begin near 0 are at the penalties' kink, which multiplies rounding.
PWC |= {"level_weights": (0.03, 0.015), "consistency_weight": 0.0}
TRUNK = {"name": "flownet", "widths": (4, 6, 8), "kernels": (5, 3, 3)}
PYRAMID = {"name": "pwcnet", "widths": (4, 6, 8)}
TWO = functools.partial(film_of_one_camera, frames=2)
CASES = {
    "unflow": Case("unflow", SMALL, TWO, encoder=TRUNK, reads=enlarged),
    "unflow-stack": Case(
        "unflow", {**SMALL, "network": "CS"}, TWO, encoder=TRUNK, reads=enlarged
    ),
    "unflow-pwc": Case(
        "unflow",
        PWC,
        TWO,
        encoder=PYRAMID,
        reads=enlarged,
        learning_rate=0.01,
        share=0.9,
    ),
}
KEY = jax.random.key(0)
SIDES = (6, 8)


class Same(nn.Module):
    """An encoder whose pyramid is the image itself, twice."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return Features(pooled=x.mean((1, 2)), grid=x, pyramid=(x, x))


class Known(nn.Module):
    """Flows at full and at half size, which are parameters and follow the images."""

    @nn.compact
    def __call__(self, own, other, *, train):
        del train
        init = nn.initializers.normal(0.03)
        shift = 0.02 * (other[0] - own[0]).mean((1, 2))[:, None, None, :2]
        return tuple(
            self.param(f"flow{i}", init, (SIDES[0] // k, SIDES[1] // k, 2)) + shift
            for i, k in enumerate((1, 2))
        )


def films(rng, rows=2, frames=2, sides=SIDES):
    """Smooth pictures that differ from frame to frame."""
    coarse = rng.uniform(0.2, 0.8, (rows, frames, 3, 4, 3))
    film = jax.image.resize(coarse, (rows, frames, *sides, 3), "cubic")
    film = jnp.asarray(film, jnp.float32)
    camera = jnp.broadcast_to(jnp.eye(3), (rows, 3, 3))
    return {"frames": film, "inputs": film - 0.5, "intrinsics": camera}


def loss_of(method, params, state, views):
    return method.loss(params, state, views, key=KEY, step=jnp.int32(0))


@pytest.mark.parametrize(
    ("term", "margin", "occlusion"),
    [("census", None, True), ("census", 0.2, False), ("brightness", 0.2, True)],
)
def test_loss_and_gradient_are_those_in_float64(rng, term, margin, occlusion):
    method = unflow(
        *(Same(), None, {"flownet_c": Known()}),
        **{"data_term": term, "border": margin, "occlusion": occlusion},
        **{"radii": (1, 1), "level_weights": (2.0, 0.5)},
    )
    views = films(rng)
    params, state = jax.jit(method.init)(KEY, views)
    loss = functools.partial(loss_of, method)
    (value, _), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params, state, views
    )
    inputs, frames = wide(views["inputs"]), wide(views["frames"])
    shift = 0.02 * (inputs[:, ::-1] - inputs).mean((2, 3))[..., None, None, :2]
    settings = {
        "weights": (1.0, 3.0, 0.2, 12.4 * occlusion),
        "levels": ((2.0, 1), (0.5, 1)),
        "term": term,
        "margin": margin,
        "occlusion": occlusion,
    }

    def expected(p):
        flows = [p["flownet_c"][f"flow{i}"] + shift for i in (0, 1)]
        return reference.unflow(frames, flows, settings)

    p = {**jax.tree.map(wide, params), "encoder": {}}
    assert float(value) == pytest.approx(expected(p), rel=1e-5)
    numeric = central_differences(expected, p)
    ours, theirs = (
        wide(jax.flatten_util.ravel_pytree(tree)[0]) for tree in (gradient, numeric)
    )
    # Where the Charbonnier penalty has its kink, 1e-3 wide, float32 has three digits
    # less of a flow that is known to 1e-7 pixels.
    assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)


def constant(flow, sides=(12, 16)):
    return jnp.broadcast_to(jnp.asarray(flow, jnp.float32), (1, *sides, 2))


def test_opposite_flows_come_back_and_equal_pictures_are_at_the_floor(rng):
    image = jnp.asarray(rng.uniform(size=(1, 12, 16, 3)), jnp.float32)
    floor = 1e-3**0.9
    there, back = constant((3.0, 0.0)), constant((-3.0, 0.0))
    terms = flow_terms(image, jnp.roll(image, 3, axis=2), there, back, radius=1)
    # Of 16 columns 13 come to the other picture.
    np.testing.assert_allclose(terms.occluded, 3 / 16, rtol=1e-6)
    np.testing.assert_allclose(terms.consistency, floor * 13 / 16, rtol=1e-5)
    inner = flow_terms(
        image, jnp.roll(image, 3, axis=2), there, back, radius=1, margin=5
    )
    np.testing.assert_allclose(inner.data, floor * 2 * 6 / (12 * 16), rtol=1e-5)
    still = flow_terms(image, image, constant((0, 0)), constant((0, 0)), radius=1)
    np.testing.assert_allclose(still.data, floor * 10 * 14 / (12 * 16), rtol=1e-5)
    np.testing.assert_allclose(still.occluded, 0)


def test_the_true_shift_has_the_least_census(rng):
    picture = rng.uniform(size=(1, 12, 24, 3)).astype(np.float32)
    first, second = picture[:, :, 4:20], 0.9 * picture[:, :, 2:18] + 0.05
    errors = [
        float(
            flow_terms(
                *(jnp.asarray(first), jnp.asarray(second)),
                *(constant((u, 0)), constant((-u, 0))),
                radius=1,
                margin=4,
            ).data[0]
        )
        for u in range(-3, 4)
    ]
    assert int(np.argmin(errors)) - 3 == 2
    assert errors[5] < 0.5 * np.delete(errors, 5).min()


def test_affine_flow_does_not_bend(rng):
    y, x = np.mgrid[:12, :16]
    flow = np.stack([0.1 * x - 0.05 * y + 1, 0.02 * x + 0.1 * y - 2], -1)[None]
    image = jnp.asarray(rng.uniform(size=(1, 12, 16, 3)), jnp.float32)
    flow = jnp.asarray(flow, jnp.float32)
    found = flow_terms(image, image, flow, -flow).smoothness
    where = 12 * 14 + 10 * 16 + 2 * 10 * 14  # Places with both neighbours.
    np.testing.assert_allclose(found, 2 * 1e-3**0.9 * where / (4 * 192), rtol=1e-3)


def test_a_stack_holds_its_first_network_still_and_reads_a_file_of_it():
    make = functools.partial(unflow, make_trunk(), None, None)
    short, long = make(**SMALL), make(**SMALL, network="CS")
    views = jax.vmap(TWO, (None, 0))(KEY, batch())
    params, state = jax.jit(short.init)(KEY, views)
    file = short.exports["flow"](params, state)
    assert set(file["params"]) == {"encoder", "flownet_c"}
    own, still = jax.jit(long.init)(jax.random.key(1), views)
    assert set(own) == {"flownet_s"}
    assert long.loads["earlier"].required
    own, still = long.loads["earlier"].fill(own, still, file)
    assert_equal(still.frozen, params)
    assert_equal(
        long.exports["encoder"](own, still), short.exports["encoder"](params, state)
    )
    whole = make(**SMALL, network="CS", trained="all")
    shapes, _ = jax.eval_shape(whole.init, KEY, views)
    assert set(shapes) == {"encoder", "flownet_c", "flownet_s"}
    assert not whole.loads["earlier"].required
    three = make(**SMALL, network="CSS")
    shapes, rest = jax.eval_shape(three.init, KEY, views)
    assert set(shapes) == {"flownet_s2"}
    assert set(rest.frozen) == {"encoder", "flownet_c", "flownet_s"}


def make_trunk():
    settings = dict(TRUNK)
    return ENCODERS[settings.pop("name")](**settings)


def test_the_second_network_reads_fourteen_channels(rng):
    images = jnp.asarray(rng.uniform(size=(1, 16, 24, 3)), jnp.float32)
    net = FlowNetS(
        trunk_widths=(4, 4), trunk_kernels=(3, 3), widths=(4,), decoder_widths=(4,)
    )
    shapes = jax.eval_shape(
        functools.partial(net.init, train=False),
        KEY,
        images,
        images,
        jnp.zeros((1, 4, 6, 2)),
    )
    assert shapes["params"]["trunk0"]["conv"]["kernel"].shape == (3, 3, 14, 4)


def test_the_paper_s_network_has_its_parameters():
    method = unflow(ENCODERS["flownet"](), None)
    views = jax.ShapeDtypeStruct((1, 2, 64, 64, 3), jnp.float32)
    params, _ = jax.eval_shape(method.init, KEY, {"frames": views, "inputs": views})
    assert count(params) == 39_175_298  # As FlowNetC of NVIDIA's flownet2-pytorch.


def test_predictions_and_pictures_are_those_of_the_target_and_the_next_frame():
    method = unflow(make_trunk(), None, **SMALL)
    views = jax.vmap(functools.partial(film_of_one_camera, frames=4), (None, 0))(
        KEY, batch()
    )
    inner = {n: x[:, 1:3] if x.ndim == 5 else x for n, x in views.items()}

    @jax.jit
    def found(views):
        params, state = method.init(KEY, inner)
        flow = method.predicts["flow"](params, state, views)
        examples = {"view": views["inputs"][:, 0], "seen": views}
        (shown,) = method.shows(params, state, examples, KEY).values()
        return flow, {name: x for name, (_, x) in shown.columns.items()}

    flow, columns = found(views)
    assert flow.shape == (16, 16, 24, 2)
    np.testing.assert_array_equal(flow, found(inner)[0])
    np.testing.assert_array_equal(columns["frame"], views["frames"][:, 1])
    np.testing.assert_array_equal(columns["flow"][..., :2], flow)
    assert (columns["flow"][..., 2] == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "S"}, "network = 'S' must be one of 'C', 'CS', 'CSS', 'PWC'"),
        ({"data_term": "ssim"}, "data_term = 'ssim' must be one of 'census', 'brig"),
        ({"border": 0.5}, r"border = 0.5 must be in \[0, 0.5\)"),
        ({"radii": (1,)}, r"radii = \(1,\) must have one for each of level_weights"),
        ({"smoothness_weight": -1.0}, "smoothness_weight = -1.0 must be at least 0"),
        ({"heads": {"pwc": None}}, "no 'pwc'; its heads are flownet_c"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        unflow(make_trunk(), None, **{**SMALL, **settings})


@pytest.mark.parametrize(
    ("settings", "frames", "sides", "message"),
    [
        ({}, 1, (16, 24), "2 frames"),
        ({}, 2, (16, 20), "16 x 20 pixels: the coarsest cells .* are 8 x 8"),
        (
            {"widths": (8, 8), "decoder_widths": (8, 8)},
            *(2, (16, 24)),
            "cells .* are 16 x 16; give config.views.size",
        ),
        ({"level_weights": (1.0,)}, 2, (16, 24), "the network says 2 flows"),
        ({"decoder_widths": (8,) * 4}, 2, (16, 24), "must have from 0 to 3 numbers"),
    ],
)
def test_films_that_do_not_fit_are_refused(rng, settings, frames, sides, message):
    method = unflow(make_trunk(), None, **{**SMALL, **settings})
    views = films(rng, frames=frames, sides=sides)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: loss_of(method, *method.init(KEY, views), views))

"""Predictions of a method, judged on films whose truth is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.data.synthetic_frames import synthetic_frames
from jax_ssl.evaluate.depth import depth
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.optical_flow import optical_flow
from jax_ssl.evaluate.stereo import stereo
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.test_judge import Linear, data, method, torn

SIZE, FILMS = 16, 13


def view(key, example):
    """Half the size, as an evaluation's view of films shows them."""
    del key
    frames = example["frames"].astype(jnp.float32)[:, ::2, ::2] / 255
    return {"image": frames[0], "frames": frames, "inputs": frames}


def says(params, state, seen):
    """A depth and a flow that depend on the params and on what is seen."""
    del state
    scale = params["Dense_0"]["bias"][0] + 1
    return scale * (1 + seen["frames"][:, 0].mean(-1))


def predicting_method(**predicts):
    made = dataclasses.replace(method(), encoder=Linear())
    return dataclasses.replace(made, predicts=predicts)


def fresh():
    shape = jnp.zeros((1, SIZE // 2, SIZE // 2, 3))
    return method().init(jax.random.key(1), shape)


def judge(protocols, made, *, devices=1, test=None, train=None, **more):
    mesh = make_mesh(devices=jax.devices()[:devices])
    trained = jax.tree.map(lambda leaf: leaf + 0.5, fresh())
    test = data(test or films(), mesh)
    train = data(train or films().keep({"frames"}), mesh, split="train")
    one = Judge(made, view, fresh, mesh, at_once=8, **more)
    with jax.set_mesh(mesh):
        return one, one.judge(protocols, trained, train, test)


FULL = {
    "depth": says,
    "flow": lambda *given: jnp.stack([says(*given)] * 2, axis=-1),
}


def films(**changes):
    """A camera that goes forward, most of all."""
    given = {"num_examples": FILMS, "size": SIZE, "translation": (0.05, 0.02, 0.6)}
    return synthetic_frames(**{**given, **changes})


def rows_of(evaluation):
    return {row["features"]: row for row in evaluation["rows"]}


@pytest.fixture(scope="module")
def judged():
    """The judge of two protocols on one device, and its record."""
    return judge([depth(), optical_flow()], predicting_method(**FULL))


@pytest.fixture(scope="module")
def plain(judged):
    """That record."""
    return judged[1]


def test_trained_and_untrained_stand_beside_baselines_known_in_closed_form(plain):
    by_name = {each["protocol"]: each for each in plain["evaluations"]}
    flow, given = rows_of(by_name["optical_flow"]), films().arrays
    assert [*flow] == ["trained", "untrained", "zero_flow", "forward_motion"]
    assert [*rows_of(by_name["depth"])] == ["trained", "untrained", "constant", "plane"]
    true = np.float64(given["flow"])
    known = true[..., 2] > 0
    length = np.hypot(true[..., 0], true[..., 1])
    zero = [each[there].mean() for each, there in zip(length, known, strict=True)]
    assert flow["zero_flow"]["epe"] == pytest.approx(np.mean(zero), rel=1e-5)
    assert flow["zero_flow"]["epe_pooled"] == pytest.approx(
        length[known].mean(), rel=1e-5
    )
    assert flow["forward_motion"]["epe"] < 0.5 * flow["zero_flow"]["epe"]
    depths = given["depth"].reshape(FILMS, -1)
    middle = np.median(depths, axis=1, keepdims=True)
    wanted = (abs(depths - middle) / depths).mean()
    constant = rows_of(by_name["depth"])["constant"]
    assert constant["abs_rel"] == pytest.approx(wanted, rel=1e-5)
    assert "dimensions" not in constant["detail"]


def test_the_method_is_asked_with_its_own_params(plain):
    """Trained and untrained differ by a factor alone, which the medians take away."""
    by_name = {each["protocol"]: each for each in plain["evaluations"]}
    found = rows_of(by_name["depth"])
    trained, untrained = found["trained"], found["untrained"]
    assert trained["abs_rel"] == pytest.approx(untrained["abs_rel"], rel=1e-4)
    bias = float(fresh()[0]["Dense_0"]["bias"][0])
    ratio = untrained["detail"]["scaling_median"] / trained["detail"]["scaling_median"]
    assert ratio == pytest.approx((bias + 1.5) / (bias + 1), rel=1e-4)
    flow = rows_of(by_name["optical_flow"])
    assert flow["trained"]["epe"] != pytest.approx(flow["untrained"]["epe"], rel=1e-3)


def test_any_number_of_devices_gives_the_same_numbers(plain):
    record = judge([depth(), optical_flow()], predicting_method(**FULL), devices=8)[1]
    for one, other in zip(record["evaluations"], plain["evaluations"], strict=True):
        for row, same in zip(one["rows"], other["rows"], strict=True):
            for metric in one["metrics"]:
                value, wanted = row[metric["name"]], same[metric["name"]]
                assert value == (wanted and pytest.approx(wanted, rel=1e-5))


def test_what_is_kept_of_an_example_does_not_grow_with_its_pixels(judged):
    one, _ = judged
    assert len(one._sweeps) == 5  # The network's, and one for each baseline.
    for sweep in one._sweeps.values():
        for leaf in jax.tree.leaves(sweep.shapes):
            assert leaf.size <= 16 * 9
        assert sweep.feed.fields.keys() > {"depth", "flow"}  # Never the training part.


@pytest.mark.slow
def test_features_and_predictions_share_a_sweep():
    made = predicting_method(**FULL)
    one, record = judge([knn(k=1), optical_flow()], made, train=films())
    assert [e["protocol"] for e in record["evaluations"]] == ["knn", "optical_flow"]
    kinds = [*rows_of(record["evaluations"][0])]
    assert kinds == ["trained", "untrained", "pixels"]
    assert len(one._sweeps) == 6


def test_what_cannot_be_judged_is_said():
    protocols = [depth(), optical_flow(), stereo()]
    record = judge(protocols, predicting_method(depth=says))[1]
    assert [each["protocol"] for each in record["evaluations"]] == ["depth"]
    assert record["skipped"] == [
        {"protocol": "optical_flow", "reason": "the method predicts no flow"},
        {
            "protocol": "stereo",
            "reason": "the test part, synthetic_frames train, has no disparity",
        },
    ]


def test_predictions_that_are_no_numbers_are_named():
    broken = predicting_method(depth=lambda *given: says(*given) * jnp.nan)
    record = judge([depth()], broken)[1]
    (skipped,) = record["skipped"]
    assert "not finite" in skipped["reason"]
    kinds = [row["features"] for row in record["evaluations"][0]["rows"]]
    assert kinds == ["constant", "plane"]


@pytest.mark.slow
def test_broken_files_are_left_out_and_counted():
    torn_ones = torn(films(), 3, 4)
    record = judge([depth()], predicting_method(**FULL), test=torn_ones)[1]
    details = [row["detail"] for row in record["evaluations"][0]["rows"]]
    assert [detail["corrupt_examples"] for detail in details] == [2] * 4
    depths = np.delete(films().arrays["depth"], [3, 4], axis=0).reshape(FILMS - 2, -1)
    middle = np.median(depths, axis=1, keepdims=True)
    wanted = (abs(depths - middle) / depths).mean()
    constant = rows_of(record["evaluations"][0])["constant"]
    assert constant["abs_rel"] == pytest.approx(wanted, rel=1e-5)


def test_a_label_that_the_view_carries_is_the_view_s():
    """It is then no longer as large as the canvas says."""

    def carrying(key, example):
        return {**view(key, example), "depth": example["depth"][::2, ::2]}

    given = films().arrays
    size = np.full((FILMS, 2), SIZE, np.int32)
    source = arrays(
        {"frames": given["frames"], "depth": given["depth"], "size": size},
        {"size": "size"},
    )
    mesh = make_mesh(devices=jax.devices()[:1])
    made = predicting_method(depth=lambda *given: 1 + 0 * says(*given))
    one, whole = Judge(made, carrying, fresh, mesh), data(source, mesh)
    with jax.set_mesh(mesh):
        record = one.judge([depth()], fresh(), whole, whole)
    depths = given["depth"][:, ::2, ::2].reshape(FILMS, -1)
    middle = np.median(depths, axis=1, keepdims=True)
    wanted = (abs(depths - middle) / depths).mean()
    found = rows_of(record["evaluations"][0])
    assert found["trained"]["abs_rel"] == pytest.approx(wanted, rel=1e-5)
    assert found["constant"]["abs_rel"] == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_measured_is_known_before_training():
    no_axis = predicting_method(depth=says, flow=says)  # Of (u, v).
    mesh = make_mesh(devices=jax.devices()[:1])
    one = Judge(no_axis, view, fresh, mesh)
    given = jax.eval_shape(fresh), data(films(num_examples=4), mesh)
    with jax.set_mesh(mesh):
        one.rehearse([depth(), knn()], *given)
        with pytest.raises(Exception, match=r"shape|ndim|rank|axis"):
            one.rehearse([optical_flow()], *given)

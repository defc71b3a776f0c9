"""What predictions are worth: the numbers of each protocol, in float64 and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.evaluate import maps
from jax_ssl.evaluate.depth import depth
from jax_ssl.evaluate.mirror import mirrored, mirrored_mean
from jax_ssl.evaluate.optical_flow import optical_flow
from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.scene_flow import scene_flow
from jax_ssl.evaluate.segmentation import segmentation
from jax_ssl.evaluate.stereo import stereo
from tests.references import predictions as reference

SIDES, LABEL = (6, 8), (12, 20)


def outcomes(protocol, said, fields):
    """The outcomes of a protocol on predictions and fields, lists of examples."""
    measure = jax.jit(protocol.measured.measure)
    rows = [measure(*pair) for pair in zip(said, fields, strict=True)]
    part = part_of(np.stack(rows))
    return list(protocol.run(part, part))


def values(protocol, said, fields):
    (outcome,) = outcomes(protocol, said, fields)
    assert set(outcome.values) == {metric.name for metric in protocol.metrics}
    return outcome.values


def baseline(protocol, name, fields, sides=SIDES):
    made = jax.jit(protocol.measured.baselines[name])
    view = {"image": jnp.zeros((*sides, 3))}
    return [made(view, each) for each in fields]


def on_canvas(fields, sides=(16, 24)):
    """The same example with its labels on a larger canvas, filled with nonsense."""
    found = {"size": np.array(LABEL, np.int32)}
    for name, value in fields.items():
        canvas = np.full((*sides, *value.shape[2:]), 7, value.dtype)
        canvas[: LABEL[0], : LABEL[1]] = value
        found[name] = canvas
    return found


def depths(rng, count=3):
    true = rng.uniform(0.0, 90.0, (count, *LABEL)).astype(np.float32)
    true[rng.uniform(size=true.shape) < 0.3] = 0.0
    return true, rng.uniform(1.0, 50.0, (count, *SIDES)).astype(np.float32)


@pytest.mark.parametrize(
    ("crop", "scaling"),
    [("none", "none"), ("garg", "median"), ("eigen", 5.4)],
)
def test_errors_of_depth_are_those_of_numpy(rng, crop, scaling):
    true, found = depths(rng)
    said = [{"depth": each} for each in found]
    fields = [{"depth": each} for each in true]
    wanted, factors = zip(
        *(
            reference.depth_errors(
                *pair,
                maps.CROPS[crop],
                2.0,
                80.0,
                1.0 if scaling == "none" else scaling,
            )
            for pair in zip(found, true, strict=True)
        ),
        strict=True,
    )
    protocol = depth(crop=crop, min_depth=2.0, scaling=scaling)
    (outcome,) = outcomes(protocol, said, fields)
    np.testing.assert_allclose(
        [*outcome.values.values()], np.mean(wanted, axis=0), rtol=2e-5
    )
    if scaling == "median":
        spread = np.std(np.array(factors) / np.median(factors))
        assert outcome.detail["scaling_spread"] == pytest.approx(spread, rel=1e-4)
        assert f"{spread:.3f}" in outcome.detail["note"]
    # On a canvas the rest of it does not count.
    lying = values(protocol, said, [on_canvas(each) for each in fields])
    assert lying == pytest.approx(outcome.values, rel=1e-5)


def test_depth_by_hand():
    true = np.array([[1.0, 2.0, 4.0, 0.0]], np.float32)
    found = np.array([[3.0, 2.0, 8.0, 9.0]], np.float32)
    got = values(depth(scaling="none"), [{"depth": found}], [{"depth": true}])
    assert got == pytest.approx(
        {
            "abs_rel": (2 + 0 + 1) / 3,
            "sq_rel": (4 + 0 + 4) / 3,
            "rmse": (20 / 3) ** 0.5,
            "rmse_log": ((np.log(3) ** 2 + np.log(2) ** 2) / 3) ** 0.5,
            "delta_1": 1 / 3,
            "delta_2": 1 / 3,
            "delta_3": 1 / 3,
        },
        rel=1e-5,
    )
    # Medians 2 and 3 of what counts: the last one is not known.
    (outcome,) = outcomes(depth(), [{"depth": found}], [{"depth": true}])
    assert outcome.detail["scaling_median"] == pytest.approx(2 / 3, rel=1e-5)


def test_depth_up_to_a_factor_is_as_good_as_depth(rng):
    true, found = depths(rng)
    fields = [{"depth": each} for each in true]
    one, other = (
        values(depth(crop="garg"), [{"depth": factor * x} for x in found], fields)
        for factor in (1.0, 37.0)
    )
    assert one == pytest.approx(other, rel=1e-4)


def test_the_edges_of_a_crop_are_those_of_float64():
    """0.99189189 x 370 lies so near to 367 that float32 rounds it up."""
    label = jnp.zeros((375, 1242))
    for size in ((370, 1224), (375, 1242), (374, 1238)):
        mask = np.asarray(
            maps.crop_mask("garg", {"size": jnp.array(size, jnp.int32)}, label)
        )
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        top, bottom, left, right = maps.CROPS["garg"]
        assert (rows[0], rows[-1] + 1) == (int(top * size[0]), int(bottom * size[0]))
        assert columns[0] == int(left * size[1])
        assert columns[-1] + 1 == int(right * size[1])


def test_a_picture_without_labels_does_not_count(rng):
    true, found = depths(rng, 2)
    said = [{"depth": each} for each in found]
    alone = values(depth(), said[:1], [{"depth": true[0]}])
    none = {"depth": np.zeros(LABEL, np.float32)}
    (outcome,) = outcomes(depth(), said, [{"depth": true[0]}, none])
    assert outcome.values == alone
    assert outcome.detail["examples_without_labels"] == 1
    (skipped,) = outcomes(depth(), said[:1], [none])
    assert "no picture has a known depth" in skipped.reason
    flow = {"flow": np.zeros((*LABEL, 3), np.float32)}
    zero = [{"flow": np.zeros((*SIDES, 2))}]
    (skipped,) = outcomes(optical_flow(), zero, [flow])
    assert "no picture has a known flow" in skipped.reason


def test_a_flat_ground_is_a_plane_and_a_wall_is_a_constant():
    rows, columns = np.mgrid[: LABEL[0], : LABEL[1]]
    ground = (0.05 * rows + 0.02 * columns + 0.1).astype(np.float32)  # Disparity.
    flat = {"depth": (1 / ground).astype(np.float32), "disparity": 10 * ground}
    for fields in (flat, on_canvas(flat)):
        got = values(depth(), baseline(depth(), "plane", [fields]), [fields])
        assert got["abs_rel"] < 0.03
        got = values(stereo(), baseline(stereo(), "plane", [fields]), [fields])
        assert got["epe"] < 0.03
    got = values(depth(), baseline(depth(), "plane", [flat]), [flat])
    assert got["abs_rel"] < 1e-4
    wall = {"depth": np.full(LABEL, 7, np.float32)}
    wall["depth"][:3] = 0
    got = values(depth(scaling="none"), baseline(depth(), "constant", [wall]), [wall])
    assert got["abs_rel"] == pytest.approx(0, abs=1e-6)
    middle = values(depth(), baseline(depth(), "constant", [flat]), [flat])
    true = np.float64(flat["depth"])
    off = abs(np.median(true) - true) / true
    assert middle["abs_rel"] == pytest.approx(off.mean(), rel=1e-5)


def disparities(rng, count=3):
    true = rng.uniform(0.0, 40.0, (count, *LABEL)).astype(np.float32)
    true[rng.uniform(size=true.shape) < 0.3] = 0.0
    return true, rng.uniform(0.0, 16.0, (count, *SIDES)).astype(np.float32)


def test_errors_of_disparity_are_those_of_numpy(rng):
    true, found = disparities(rng)
    pairs = [
        reference.disparity_errors(*pair) for pair in zip(found, true, strict=True)
    ]
    error, size = np.concatenate(pairs, axis=1)
    wanted = {
        "d1_all": reference.outliers(error, size).mean(),
        "d1_per_image": np.mean([reference.outliers(*pair).mean() for pair in pairs]),
        "bad_3": (error > 3).mean(),
        "epe": error.mean(),
    }
    said = [{"disparity": each} for each in found]
    fields = [{"disparity": each} for each in true]
    assert values(stereo(), said, fields) == pytest.approx(wanted, rel=1e-5)
    lying = [on_canvas(each) for each in fields]
    assert values(stereo(), said, lying) == pytest.approx(wanted, rel=1e-5)


def test_an_outlier_is_off_by_three_pixels_and_by_a_twentieth():
    true = np.array([[100.0, 100.0, 20.0, 20.0]], np.float32)
    off = np.array([[4.9, 5.1, 2.9, 3.1]], np.float32)
    said, fields = [{"disparity": true + off}], [{"disparity": true}]
    got = values(stereo(), said, fields)
    assert (got["d1_all"], got["bad_3"]) == (0.5, 0.75)
    flow = np.stack([true, np.zeros_like(true), np.ones_like(true)], axis=-1)
    said = [{"flow": np.stack([true, off], axis=-1)}]
    got = values(optical_flow(), said, [{"flow": flow}])
    assert got["f1_all"] == 0.5
    assert got["epe"] == pytest.approx(off.mean(), rel=1e-5)


def flows(rng, count=3):
    true = rng.normal(0, 8, (count, *LABEL, 3)).astype(np.float32)
    true[..., 2] = rng.uniform(size=true.shape[:-1]) > 0.2
    true[..., :2] *= true[..., 2:]
    return true, rng.normal(0, 3, (count, *SIDES, 2)).astype(np.float32)


def test_errors_of_flow_are_those_of_numpy(rng):
    true, found = flows(rng)
    hidden = rng.choice([0, 1, 255], (3, *LABEL)).astype(np.uint8)
    known = true[..., 2] > 0
    error, size = np.stack(
        [reference.flow_errors(*pair) for pair in zip(found, true, strict=True)], 1
    )
    wanted = {
        "epe": np.mean([e[k].mean() for e, k in zip(error, known, strict=True)]),
        "epe_pooled": error[known].mean(),
        "f1_all": reference.outliers(error, size)[known].mean(),
        "epe_visible": error[known & (hidden == 0)].mean(),
        "epe_occluded": error[known & (hidden == 1)].mean(),
    }
    said = [{"flow": each} for each in found]
    fields = [{"flow": f, "occlusion": o} for f, o in zip(true, hidden, strict=True)]
    assert values(optical_flow(), said, fields) == pytest.approx(wanted, rel=1e-5)
    lying = [on_canvas(each) for each in fields]
    assert values(optical_flow(), said, lying) == pytest.approx(wanted, rel=1e-5)
    for each in fields:
        del each["occlusion"]
    plain = values(optical_flow(), said, fields)
    assert (plain["epe_visible"], plain["epe_occluded"]) == (None, None)
    still = values(
        optical_flow(), baseline(optical_flow(), "zero_flow", fields), fields
    )
    assert still["epe_pooled"] == pytest.approx(size[known].mean(), rel=1e-5)


@pytest.mark.slow
def test_a_camera_that_nears_a_wall_sees_forward_motion():
    rows, columns = np.mgrid[: LABEL[0], : LABEL[1]].astype(np.float32)
    middle = [(side - 1) / 2 for side in LABEL]
    true = 0.2 * np.stack([columns - middle[1], rows - middle[0]], axis=-1)
    known = np.ones((*LABEL, 1), np.float32)
    known[:4] = 0
    fields = {"flow": np.concatenate([true, known], axis=-1)}
    for each in (fields, on_canvas(fields)):
        for sides in (LABEL, SIDES):
            said = baseline(optical_flow(), "forward_motion", [each], sides)
            # Between the centres of the last pixels and the border nothing is linear.
            limit = 1e-4 if sides == LABEL else 0.1
            assert values(optical_flow(), said, [each])["epe"] < limit


def test_scene_flow_counts_what_is_wrong_in_any_of_three(rng):
    (now, _), (later, _), (flow, _) = disparities(rng), disparities(rng), flows(rng)
    said = {
        "disparity": disparities(rng)[1],
        "disparity_next": disparities(rng)[1],
        "flow": flows(rng)[1],
    }
    true = {"disparity": now, "disparity_next": later, "flow": flow}
    wrong, known = [], []
    for name in ("disparity", "disparity_next"):
        pairs = zip(said[name], true[name], strict=True)
        found = [
            reference.resized(np.float64(d), *LABEL) * LABEL[1] / SIDES[1]
            for d, _ in pairs
        ]
        wrong.append(reference.outliers(abs(found - true[name]), true[name]))
        known.append(true[name] > 0)
    pairs = zip(said["flow"], flow, strict=True)
    error, size = np.stack([reference.flow_errors(*pair) for pair in pairs], 1)
    wrong.append(reference.outliers(error, size))
    known.append(flow[..., 2] > 0)
    every = np.all(known, axis=0)
    wanted = {
        name: w[k].mean()
        for name, w, k in zip(("d1", "d2", "fl"), wrong, known, strict=True)
    }
    wanted["sf"] = np.any(wrong, axis=0)[every].mean()
    protocol = scene_flow()
    rows = [{n: x[i] for n, x in said.items()} for i in range(3)]
    fields = [{n: x[i] for n, x in true.items()} for i in range(3)]
    assert values(protocol, rows, fields) == pytest.approx(wanted, rel=1e-6)
    assert protocol.metrics[0].name == "sf"
    # A scene at rest: of the flow is wrong what moves by more than three pixels.
    still = values(protocol, baseline(protocol, "constant", fields), fields)
    assert still["fl"] == pytest.approx((size[known[2]] > 3).mean(), rel=1e-6)
    same = [{**each, "disparity_next": each["disparity"]} for each in fields]
    still = values(protocol, baseline(protocol, "plane", same), same)
    assert still["d1"] == still["d2"]


def test_overlap_of_regions_is_pooled_and_void_is_left_out():
    classes = {"mask": Field("mask", (2, 4), np.dtype("uint8"), names=("sky", "road"))}
    protocol = segmentation(classes)
    mask = np.array([[[0, 0, 1, 1], [1, 255, 255, 3]], [[1, 1, 1, 1], [1, 1, 1, 1]]])
    fields = [{"mask": each.astype(np.uint8)} for each in mask]
    found = np.array([[[0, 1, 1, 1], [0, 0, 1, 3]], [[1] * 4, [1, 1, 1, 2]]])
    said = [{"segmentation": np.eye(5, dtype=np.float32)[each]} for each in found]
    (outcome,) = outcomes(protocol, said, fields)
    # sky 1 of 3; road 2 + 7 of 4 + 8 wanted or found; 2 is found once; 3 is right.
    overlap = {"sky": 1 / 3, "road": 9 / 12, "2": 0.0, "3": 1.0}
    assert outcome.detail["iou"] == pytest.approx(overlap)
    assert outcome.values["miou"] == pytest.approx(np.mean([*overlap.values()]))
    assert outcome.values["pixel_accuracy"] == pytest.approx(11 / 14)
    most = values(protocol, baseline(protocol, "commonest", fields), fields)
    assert most["pixel_accuracy"] == pytest.approx((3 + 8) / 14)
    assert most["miou"] == pytest.approx((0 + 11 / 14 + 0) / 3)


def test_scores_are_resized_before_the_largest_wins():
    scores = np.zeros((1, 2, 2), np.float32)
    scores[0, 0, 0], scores[0, 1, 1] = 3.0, 1.0
    # At four pixels: 3, 9/4, 3/4, 0 against 0, 1/4, 3/4, 1.
    mask = np.array([[0, 0, 255, 1]], np.uint8)
    got = values(segmentation({}), [{"segmentation": scores}], [{"mask": mask}])
    assert got["pixel_accuracy"] == 1


def test_the_mirrored_prediction_counts_where_the_other_cannot_see():
    rng = np.random.default_rng(0)
    seen = {
        "image": rng.normal(size=(2, 3, 41, 3)).astype(np.float32),
        "intrinsics": np.broadcast_to(
            np.array([[30.0, 0, 17.0], [0, 30, 1], [0, 0, 1]], np.float32), (2, 3, 3)
        ),
    }
    seen = jax.tree.map(jnp.asarray, seen)
    turned = mirrored(seen)
    np.testing.assert_array_equal(turned["image"], seen["image"][:, :, ::-1])
    np.testing.assert_allclose(turned["intrinsics"][0, 0], [30, 0, 23])
    again = mirrored(turned)
    jax.tree.map(np.testing.assert_allclose, again, seen)

    def predict(params, state, seen):
        """The columns' numbers, whatever is seen; plus the camera's."""
        return jnp.broadcast_to(jnp.arange(41.0) + 1, (2, 3, 41))

    both = np.asarray(mirrored_mean(predict)(None, None, seen))[0, 0]
    own, other = np.arange(41) + 1, 41 - np.arange(41)
    np.testing.assert_allclose(both[:3], other[:3], rtol=1e-6)
    np.testing.assert_allclose(both[-3:], own[-3:], rtol=1e-6)
    np.testing.assert_allclose(both[4:-4], 21, rtol=1e-6)
    inverse = mirrored_mean(lambda *given: 1 / predict(*given), inverse=True)
    np.testing.assert_allclose(1 / inverse(None, None, seen)[0, 0], both, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"min_depth": 0.0}, {"max_depth": 1e-4}, {"scaling": -1.0}]
)
def test_impossible_settings_of_depth_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        depth(**settings)

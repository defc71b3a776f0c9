"""The laws of RandAugment's draws, and how steps follow one another."""

import functools

import jax
import numpy as np
import pytest

from jax_ssl.augment import operations, randaugment
from tests import laws
from tests.judges import judge
from tests.references import policies as reference
from tests.references import views

DRAWS = 30_000
HEIGHT, WIDTH = 40, 56


def drawn(fn, **settings):
    keys = jax.random.split(jax.random.key(11), DRAWS)
    one = jax.jit(jax.vmap(lambda key: fn(key, HEIGHT, WIDTH, **settings)))
    return jax.tree.map(np.asarray, one(keys))


@pytest.fixture(scope="module")
def timm_draws():
    return drawn(randaugment.random_operation)


def check_law(step, expected):
    """Operations by chi-square, amounts of each by Kolmogorov-Smirnov."""
    names, amounts = zip(*expected, strict=True)
    numbers = np.array([operations.NAMES.index(name) for name in names])
    shares = np.bincount(numbers, minlength=len(operations.NAMES)) / len(numbers)
    for number, share in enumerate(shares):
        laws.has_probability(step.number == number, share)
        ours = step.amount[step.number == number].astype(np.float64)
        theirs = np.array(amounts)[numbers == number]
        if len(theirs):
            laws.follows_the_same(ours.round(3), theirs.round(3))


def check_magnitudes(step, expected):
    """Strengths of the geometric operations, all together and without their sign."""
    units = {"rotate": 30, "shear_x": 0.3, "shear_y": 0.3}
    units |= {"translate_x": 0.45 * WIDTH, "translate_y": 0.45 * HEIGHT}
    numbers = {operations.NAMES.index(name): unit for name, unit in units.items()}
    ours = [abs(step.amount[step.number == n]) / unit for n, unit in numbers.items()]
    theirs = [abs(amount) / units[name] for name, amount in expected if name in units]
    laws.follows_the_same(
        np.concatenate(ours).astype(float).round(5), np.round(theirs, 5)
    )


def check_all(step, expected):
    check_law(step, expected)
    check_magnitudes(step, expected)


def timm_law(magnitude=9, std=0.5, probability=0.5):
    rng = np.random.default_rng(2)
    return [
        reference.timm_step(rng, magnitude, std, probability, HEIGHT, WIDTH)
        for _ in range(DRAWS)
    ]


def test_steps_follow_timms_law(timm_draws):
    check_all(timm_draws, timm_law())
    shares = np.full(len(operations.NAMES), 0.5 / 15)
    shares[0] = 0.5
    laws.follows_shares(timm_draws.number, shares)


@pytest.mark.parametrize(
    "wrong", [{"magnitude": 8.9}, {"std": 0.6}, {"probability": 0.53}]
)
def test_a_wrong_law_would_be_seen(timm_draws, wrong):
    with pytest.raises(AssertionError):
        check_all(timm_draws, timm_law(**wrong))


def test_other_settings_of_timm_are_followed():
    settings = {"magnitude": 5.0, "probability": 0.8}
    step = drawn(randaugment.random_operation, magnitude_std=2.0, **settings)
    check_all(step, timm_law(magnitude=5.0, std=2.0, probability=0.8))


def test_steps_follow_timms_first_law():
    rng = np.random.default_rng(3)
    draw = functools.partial(reference.timm_step, increasing=False)
    expected = [draw(rng, 9.7, 0.5, 0.5, HEIGHT, WIDTH) for _ in range(DRAWS)]
    step = drawn(randaugment.random_operation, magnitude=9.7, increasing=False)
    check_all(step, expected)


@pytest.mark.parametrize("magnitude", [9, 0, 30])
def test_steps_follow_torchvisions_law(magnitude):
    rng = np.random.default_rng(4)
    expected = [
        reference.torchvision_step(rng, magnitude, 31, HEIGHT, WIDTH)
        for _ in range(DRAWS)
    ]
    step = drawn(randaugment.random_operation_torchvision, magnitude=magnitude)
    check_law(step, expected)


TIMM_NAMES = {
    "autocontrast": "AutoContrast",
    "posterize": "PosterizeIncreasing",
    "solarize": "SolarizeIncreasing",
    "solarize_add": "SolarizeAdd",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
    **{name: f"{name.title()}Increasing" for name in reference.ENHANCEMENTS},
}


@pytest.mark.parametrize("increasing", [True, False])
def test_the_reference_is_timms(increasing):
    timm = judge("timm.data.auto_augment")
    names = [TIMM_NAMES.get(name, name.title()) for name in reference.TIMM]
    form = "rand-m9-mstd0.5-inc1"
    if not increasing:
        names = [name.removesuffix("Increasing") for name in names]
        form = "rand-m9-mstd0.5"
    policy = timm.rand_augment_transform(form, {})
    assert [op.name for op in policy.ops] == names
    assert policy.num_layers == 2
    assert {(op.prob, op.magnitude, op.magnitude_std) for op in policy.ops} == {
        (0.5, 9, 0.5)
    }
    for ours, theirs in zip(reference.TIMM, names, strict=True):
        function = timm.LEVEL_TO_ARG[theirs]
        for magnitude in (0.0, 3.3, 9.0, 10.0) if function else ():
            side = 1.0 if "translate" in ours else 0.0
            got = {function(magnitude, {})[0] for _ in range(40)}  # Either sign.
            expected = {
                reference.timm_amount(ours, magnitude, sign, side, side, increasing)
                for sign in (-1, 1)
            }
            assert sorted(got) == pytest.approx(sorted(expected))


def test_the_reference_is_torchvisions():
    torchvision = judge("torchvision.transforms.autoaugment")
    space = torchvision.RandAugment()._augmentation_space(31, (HEIGHT, WIDTH))
    order = [name.lower().replace("_", "") for name in reference.TORCHVISION]
    assert [name.lower() for name in space] == order
    expected = {"ShearX": 0.09, "Rotate": 9.0, "Solarize": 178.5, "Posterize": 7}
    for name, amount in expected.items():
        assert float(space[name][0][9]) == pytest.approx(amount)
    assert {name for name, (_, signed) in space.items() if signed} == {
        "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate",
        "Brightness", "Color", "Contrast", "Sharpness",
    }  # fmt: skip


def test_operations_follow_one_another_and_none_is_the_identity(rng):
    image = views.picture(rng, 12, 12).astype(np.float32) / 255
    key = jax.random.key(5)

    @jax.jit
    def augment(key, image, probability):
        draw = functools.partial(randaugment.random_operation, probability=probability)
        step = randaugment.RandAugment(num_ops=3, draw=draw, interpolation="nearest")
        return step(key, image)

    draw = jax.jit(
        lambda key: randaugment.random_operation(key, 12, 12, probability=1.0)
    )
    apply = jax.jit(
        lambda image, operation: operations.apply_operation(
            image, operation, interpolation="nearest", fill=randaugment.MEAN_COLOUR
        )
    )
    expected = image
    for one in jax.random.split(key, 3):
        expected = apply(expected, draw(one))
    got = augment(key, image, 1.0)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(got - image).mean() > 0.02
    np.testing.assert_array_equal(augment(key, image, 0.0), image)

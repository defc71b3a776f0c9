"""Colours and blur draw from torchvision's laws, and wrong settings are convicted."""

import jax
import numpy as np
import pytest

from jax_ssl.augment import color
from jax_ssl.augment.steps import Blur, ColorJitter
from tests import laws
from tests.judges import judge

DRAWS = 24_000
AMOUNTS = (0.4, 0.4, 0.2, 0.1)  # BYOL's.
SIGMA = (0.1, 2.0)


def drawn(fn):
    keys = jax.random.split(jax.random.key(21), DRAWS)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(fn))(keys))


def jitters(amounts=AMOUNTS):
    return drawn(ColorJitter(amounts=amounts, probability=1.0).draw)


def check_jitter(factors, orders, amounts=AMOUNTS):
    """Factors [4, N] uniform in torchvision's ranges, and all orders [N] as likely."""
    for values, amount in zip(factors[:3], amounts[:3], strict=True):
        laws.follows_uniform(values, max(0.0, 1 - amount), 1 + amount)
    laws.follows_uniform(factors[3], -amounts[3], amounts[3])
    laws.is_spread_evenly(orders, 24)
    # And independent: of 24,000 draws |r| is above 0.026 once in 17,000 times.
    correlation = np.corrcoef([*factors, orders])
    assert np.abs(correlation - np.eye(5)).max() < 0.026


@pytest.fixture(scope="module")
def jitter():
    return jitters()


def test_jitter_follows_torchvisions_law(jitter):
    check_jitter(jitter[:4], jitter.order)


@pytest.mark.parametrize("place", range(4))
def test_a_wrong_range_is_convicted(place):
    amounts = list(AMOUNTS)
    amounts[place] *= 1.03
    wrong = jitters(tuple(amounts))
    with pytest.raises(AssertionError):
        check_jitter(wrong[:4], wrong.order)


def test_wrong_orders_are_convicted(jitter):
    fixed = np.zeros_like(jitter.order)
    hue_last = np.array(
        [place for place, order in enumerate(color.ORDERS) if order[3] == color.HUE]
    )[jitter.order % 6]
    leaning = np.where(jitter.order == 23, 22, jitter.order)
    for wrong in (fixed, hue_last, leaning):
        with pytest.raises(AssertionError):
            check_jitter(jitter[:4], wrong)


def test_parameters_that_hang_together_are_convicted(jitter):
    with pytest.raises(AssertionError):
        check_jitter([*jitter[:3], (jitter[0] - 1) / 4], jitter.order)


def test_the_law_is_torchvisions():
    transforms = judge("torchvision.transforms")
    import torch

    torch.manual_seed(0)
    theirs = transforms.ColorJitter(*AMOUNTS)
    ranges = theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue
    orders, factors = [], []
    for _ in range(3000):
        order, *values = theirs.get_params(*ranges)
        orders.append(color.ORDERS.index(tuple(order.tolist())))
        factors.append(values)
    for values, amount in zip(np.transpose(factors)[:3], AMOUNTS, strict=False):
        laws.follows_uniform(values, 1 - amount, 1 + amount)
    laws.follows_uniform(np.transpose(factors)[3], -AMOUNTS[3], AMOUNTS[3])
    laws.is_spread_evenly(orders, 24)
    blurs = transforms.GaussianBlur(23, SIGMA)
    sigmas = [blurs.get_params(*blurs.sigma) for _ in range(2000)]
    laws.follows_uniform(np.array(sigmas).ravel(), *SIGMA)


def check_sigma(sigma, probability):
    laws.has_probability(sigma > 0, probability)
    laws.follows_uniform(sigma[sigma > 0], *SIGMA)


def test_sigma_follows_its_law_and_a_wrong_one_is_convicted():
    check_sigma(drawn(Blur(probability=0.1).draw), 0.1)
    low, high = SIGMA
    sigma = drawn(Blur(probability=0.5, min_sigma=low, max_sigma=high).draw)
    check_sigma(sigma, 0.5)
    for wrong in (sigma * 1.03, sigma**2 / 2, np.where(sigma < 0.14, 0.0, sigma)):
        with pytest.raises(AssertionError):
            check_sigma(wrong, 0.5)
    with pytest.raises(AssertionError):
        check_sigma(sigma, 0.53)

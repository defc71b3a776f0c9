"""The input as features, against NumPy's means."""

import numpy as np

from jax_ssl.evaluate.raw import flattened, pooling_side


def test_large_inputs_are_averaged_over_squares():
    x = np.random.default_rng(0).uniform(size=(2, 70, 69, 3)).astype(np.float32)
    assert pooling_side(x.shape[1:]) == 3  # 23 x 23 x 3 = 1,587 of at most 3,072.
    whole = x[:, :69].reshape(2, 23, 3, 23, 3, 3).mean((2, 4))
    np.testing.assert_allclose(flattened(x), whole.reshape(2, -1), atol=1e-6)
    wave = np.arange(8000, dtype=np.float32)[None]
    assert pooling_side((8000,)) == 3
    means = wave[:, :7998].reshape(1, 2666, 3).mean(2)
    np.testing.assert_allclose(flattened(wave), means, rtol=1e-5)
    small = np.ones((2, 3, 4, 4, 3), np.float32)  # Frames.
    assert flattened(small).shape == (2, 144)

"""Decoders of PWC-Net's kind: what is compared, and how."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.nn.pwc import FlowDecoder, standardized


def test_pairs_of_grids_are_standardized_together(rng):
    a, b = rng.normal(3, 2, (2, 4, 5, 6, 3))
    both = np.stack([a, b], axis=1)
    mean = both.mean((1, 2, 3, 4), keepdims=True)
    expected = (both - mean) / both.std((1, 2, 3, 4), keepdims=True)
    found = standardized(jnp.asarray(a, "f4"), jnp.asarray(b, "f4"))
    np.testing.assert_allclose(np.stack(found, axis=1), expected, atol=1e-5)


def test_what_all_cells_share_says_nothing_of_motion(rng):
    """At the coarsest level, of which the flow is the only one, costs are all alike."""
    decoder = FlowDecoder(
        widths=(4,),
        context_widths=(4,),
        dilations=(1,),
        max_displacement=1,
        normalize=True,
    )
    own, other = rng.normal(size=(2, 3, 4, 4, 2)).astype("f4")
    unread = np.zeros((3, 1, 1, 1), "f4")

    def levels(x):
        return [unread, unread, jnp.asarray(x)]

    run = jax.jit(functools.partial(decoder.init_with_output, train=False))
    (flow,), variables = run(jax.random.key(0), levels(own), levels(other))
    # The features that the layers read beside the costs are cut off.
    kernel = np.array(variables["params"]["level2_conv0"]["conv"]["kernel"])
    kernel[:, :, 9:] = 0
    variables["params"]["level2_conv0"]["conv"]["kernel"] = kernel
    call = jax.jit(functools.partial(decoder.apply, train=False))
    (flow,) = call(variables, levels(own), levels(other))
    (same,) = call(variables, levels(3 * own + 2), levels(3 * other + 2))
    assert np.ptp(flow) > 1e-3
    np.testing.assert_allclose(same, flow, atol=1e-5)

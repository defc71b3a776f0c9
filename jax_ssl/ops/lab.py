"""CIE L*a*b* of sRGB colours, and back.

L, the lightness, is in [0, 100]; a runs from green to red and b from blue to yellow,
both within [-110, 110] for sRGB. The white is D65 seen at 2 degrees. All constants are
those of scikit-image's `color.rgb2lab`. OpenCV stores 8-bit Lab otherwise, with L times
2.55 and 128 added to a and b.
"""

import jax.numpy as jnp
import numpy as np

from jax_ssl.core.precise import einsum
from jax_ssl.core.types import Array

# Linear RGB to CIE XYZ (IEC 61966-2-1), then XYZ of the white.
XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
# L, a and b as sums of the cube roots of X, Y and Z, but for an offset of L.
OPPONENTS = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
OFFSET = np.array([-16.0, 0.0, 0.0])
# Below these the curves are straight lines, lest their slope be infinite at 0.
SRGB_LINEAR, CUBE_LINEAR = 0.04045, 0.008856


def rgb_to_lab(image: Array) -> Array:
    """[..., 3] sRGB in [0, 1], of any float dtype, to Lab [..., 3] float32."""
    rgb = image.astype(jnp.float32)
    curved = ((jnp.maximum(rgb, SRGB_LINEAR) + 0.055) / 1.055) ** 2.4
    linear = jnp.where(rgb > SRGB_LINEAR, curved, rgb / 12.92)
    xyz = einsum("...c,dc->...d", linear, jnp.float32(XYZ / WHITE[:, None]))
    line = 7.787 * xyz + 16.0 / 116.0
    root = jnp.where(xyz > CUBE_LINEAR, jnp.cbrt(jnp.maximum(xyz, CUBE_LINEAR)), line)
    return einsum("...c,dc->...d", root, jnp.float32(OPPONENTS)) + jnp.float32(OFFSET)


def lab_to_rgb(lab: Array) -> Array:
    """Lab [..., 3] to sRGB [..., 3] float32; colours that sRGB lacks are clipped."""
    back = np.linalg.inv(OPPONENTS)
    shifted = lab.astype(jnp.float32) - jnp.float32(OFFSET)
    root = einsum("...c,dc->...d", shifted, jnp.float32(back))
    line = (root - 16.0 / 116.0) / 7.787
    xyz = jnp.where(root > CUBE_LINEAR ** (1 / 3), root**3, line)
    linear = einsum("...c,dc->...d", xyz, jnp.float32(np.linalg.inv(XYZ) * WHITE))
    least = SRGB_LINEAR / 12.92
    curved = 1.055 * jnp.maximum(linear, least) ** (1 / 2.4) - 0.055
    return jnp.clip(jnp.where(linear > least, curved, 12.92 * linear), 0.0, 1.0)

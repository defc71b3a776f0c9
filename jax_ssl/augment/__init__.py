"""Augmentations: functions (key, array) -> array for ONE example, and their recipes."""

from collections.abc import Callable, Mapping

from jax_ssl.augment import recipes
from jax_ssl.augment.audio import two_windows, wave_window
from jax_ssl.augment.frames import first_frame, two_frames
from jax_ssl.augment.views import center_crop, identity, two_affine, two_crops
from jax_ssl.core.method import ViewFn

VIEWS: Mapping[str, Callable[..., ViewFn]] = {
    "two_crops": two_crops,
    "two_affine": two_affine,
    "center_crop": center_crop,
    "identity": identity,
    "two_windows": two_windows,
    "wave_window": wave_window,
    "two_frames": two_frames,
    "first_frame": first_frame,
    **{name: getattr(recipes, name) for name in recipes.__all__},
}

"""Augmentations: functions (key, array) -> array for ONE example, and their recipes."""

from collections.abc import Callable, Mapping

from jax_ssl.augment import (
    audio,
    detection,
    films,
    frames,
    infomax,
    invariant,
    patches,
    puzzles,
    recipes,
    segmentation,
    squeezed,
    views,
)
from jax_ssl.core.method import ViewFn

VIEWS: Mapping[str, Callable[..., ViewFn]] = {
    "random_crops": views.random_crops,
    "two_crops": views.two_crops,
    "two_affine": views.two_affine,
    "center_crop": views.center_crop,
    "identity": views.identity,
    "squeezed": squeezed.squeezed,
    "random_window": audio.random_window,
    "two_windows": audio.two_windows,
    "wave_window": audio.wave_window,
    "two_frames": frames.two_frames,
    "first_frame": frames.first_frame,
    "relative_patch": puzzles.relative_patch,
    "jigsaw": puzzles.jigsaw,
    "amdim": infomax.amdim,
    "cpc_patches": patches.cpc_patches,
    "pirl": invariant.pirl,
    "looc": invariant.looc,
    **films.FILMS,
    "detection_crops": detection.detection_crops,
    "detection_whole": detection.detection_whole,
    "segmentation_crops": segmentation.segmentation_crops,
    "segmentation_whole": segmentation.segmentation_whole,
    **recipes.PAPERS,
}

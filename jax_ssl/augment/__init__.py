"""Augmentations: functions (key, array) -> array for ONE example, and their recipes."""

from collections.abc import Callable, Mapping

from jax_ssl.augment import audio, frames, recipes, views
from jax_ssl.core.method import ViewFn

VIEWS: Mapping[str, Callable[..., ViewFn]] = {
    "random_crops": views.random_crops,
    "two_crops": views.two_crops,
    "two_affine": views.two_affine,
    "center_crop": views.center_crop,
    "identity": views.identity,
    "two_windows": audio.two_windows,
    "wave_window": audio.wave_window,
    "two_frames": frames.two_frames,
    "first_frame": frames.first_frame,
    "barlow_twins": recipes.barlow_twins,
    "byol": recipes.byol,
    "deepcluster": recipes.deepcluster,
    "dino": recipes.dino,
    "mae": recipes.mae,
    "moco_v1": recipes.moco_v1,
    "moco_v2": recipes.moco_v2,
    "moco_v3": recipes.moco_v3,
    "npid": recipes.npid,
    "simclr": recipes.simclr,
    "simclr_cifar": recipes.simclr_cifar,
    "simsiam": recipes.simsiam,
    "supervised": recipes.supervised,
    "supervised_test": recipes.supervised_test,
    "swav": recipes.swav,
    "vicreg": recipes.vicreg,
    "w_mse": recipes.w_mse,
}

"""Random access to examples on the host, and the order in which a run reads them."""

from collections.abc import Callable

from jax_ssl.data.arrays import npz
from jax_ssl.data.coco import coco
from jax_ssl.data.davis import davis
from jax_ssl.data.digits import digits
from jax_ssl.data.film_folders import stereo_folders, video_folders
from jax_ssl.data.flow_sets import flying_chairs, sintel
from jax_ssl.data.folder import folder
from jax_ssl.data.huggingface import huggingface
from jax_ssl.data.kitti import kitti
from jax_ssl.data.revisited import revisited
from jax_ssl.data.sounds import sounds
from jax_ssl.data.source import Source
from jax_ssl.data.synthetic import synthetic
from jax_ssl.data.synthetic_frames import synthetic_frames
from jax_ssl.data.synthetic_scenes import synthetic_scenes
from jax_ssl.data.synthetic_tracks import synthetic_tracks
from jax_ssl.data.synthetic_waves import synthetic_waves
from jax_ssl.data.tar_shards import tar_shards
from jax_ssl.data.tfds import tfds

SOURCES: dict[str, Callable[..., Source]] = {
    "coco": coco,
    "davis": davis,
    "digits": digits,
    "flying_chairs": flying_chairs,
    "folder": folder,
    "huggingface": huggingface,
    "kitti": kitti,
    "npz": npz,
    "revisited": revisited,
    "sintel": sintel,
    "sounds": sounds,
    "stereo_folders": stereo_folders,
    "synthetic": synthetic,
    "synthetic_frames": synthetic_frames,
    "synthetic_scenes": synthetic_scenes,
    "synthetic_tracks": synthetic_tracks,
    "synthetic_waves": synthetic_waves,
    "tar_shards": tar_shards,
    "tfds": tfds,
    "video_folders": video_folders,
}

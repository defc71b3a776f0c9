"""What an encoder and predictions are worth: one protocol a file, and their table."""

from collections.abc import Callable, Mapping

from jax_ssl.evaluate.attention import attention_jaccard
from jax_ssl.evaluate.classification import classification
from jax_ssl.evaluate.depth import depth
from jax_ssl.evaluate.detection import detection
from jax_ssl.evaluate.ego_motion import ego_motion
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.few_shot import few_shot
from jax_ssl.evaluate.frames import frames
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.label_propagation import label_propagation
from jax_ssl.evaluate.layers import layers
from jax_ssl.evaluate.linear import linear
from jax_ssl.evaluate.linear_segmentation import linear_segmentation
from jax_ssl.evaluate.membranes import membranes
from jax_ssl.evaluate.optical_flow import optical_flow
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.evaluate.retrieval import retrieval
from jax_ssl.evaluate.revisited import revisited
from jax_ssl.evaluate.scene_flow import scene_flow
from jax_ssl.evaluate.segmentation import segmentation
from jax_ssl.evaluate.stereo import stereo
from jax_ssl.evaluate.transfer import transfer
from jax_ssl.evaluate.transfer_labels import transfer_labels
from jax_ssl.evaluate.unet_segmentation import unet_segmentation
from jax_ssl.evaluate.voc07 import voc07
from jax_ssl.evaluate.voc07_low_shot import voc07_low_shot

PROTOCOLS: Mapping[str, Callable[..., Protocol | list[Protocol] | None]] = {
    "classification": classification,
    "few_label": few_label,
    "few_shot": few_shot,
    "frames": frames,
    "knn": knn,
    "layers": layers,
    "linear": linear,
    "linear_segmentation": linear_segmentation,
    "retrieval": retrieval,
    "revisited": revisited,
    "transfer": transfer,
    "transfer_labels": transfer_labels,
    "unet_segmentation": unet_segmentation,
    "voc07": voc07,
    "voc07_low_shot": voc07_low_shot,
    "attention_jaccard": attention_jaccard,
    "depth": depth,
    "detection": detection,
    "ego_motion": ego_motion,
    "label_propagation": label_propagation,
    "membranes": membranes,
    "optical_flow": optical_flow,
    "scene_flow": scene_flow,
    "segmentation": segmentation,
    "stereo": stereo,
}

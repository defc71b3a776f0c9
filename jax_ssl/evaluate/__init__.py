"""What a frozen encoder is worth: one protocol a file, and the table of them."""

from collections.abc import Callable, Mapping

from jax_ssl.evaluate.attention import attention_jaccard
from jax_ssl.evaluate.classification import classification
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.frames import frames
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.layers import layers
from jax_ssl.evaluate.linear import linear
from jax_ssl.evaluate.protocol import Protocol
from jax_ssl.evaluate.retrieval import retrieval

PROTOCOLS: Mapping[str, Callable[..., Protocol | list[Protocol] | None]] = {
    "classification": classification,
    "few_label": few_label,
    "frames": frames,
    "knn": knn,
    "layers": layers,
    "linear": linear,
    "retrieval": retrieval,
    "attention_jaccard": attention_jaccard,
}

"""What a small case of a method is; see `tests/cases.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jax_ssl.config.bind import bind, pick
from jax_ssl.core.method import Method, ViewFn
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.images import BATCH, plain_views


@dataclass(frozen=True)
class Case:
    """A method small enough to be compiled often.

    Attributes:
        method: name in `METHODS`.
        settings: of the method.
        views: one example -> its views.
        encoder: name and settings of the encoder.
        share: some steps of SGD on 64 fixed images end at a loss below this share of
            the loss of the same run at learning rate zero.
        steps: their number.
        learning_rate: of those steps.
        least_loss: the lowest that the loss can be, from which both are counted.
        reads: what the encoder reads of images [B, H, W, C].
    """

    method: str
    settings: Mapping[str, Any]
    views: ViewFn = plain_views
    encoder: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "convnet", "widths": (8, 16)}
    )
    share: float = 0.8
    steps: int = 40
    learning_rate: float = 0.01
    least_loss: float = 0.0
    reads: Callable[[Any], Any] = lambda images: images

    def build(self, given: Mapping[str, Any] | None = None, **encoder: Any) -> Method:
        """The method, with further wires; keywords are settings of the encoder."""
        settings = {**self.encoder, **encoder}
        wires = {
            **(given or {}),
            "num_examples": 64,
            "batch_size": BATCH,
            "steps_per_epoch": 4,
            "total_steps": 100,
            "views": self.views,
        }

        def make(section: Mapping[str, Any]) -> Any:
            maker, chosen = pick(ENCODERS, section, "encoder")
            return bind(maker, wires, chosen)

        wires.update(encoder=make(settings), make_encoder=make)
        return bind(METHODS[self.method], wires, self.settings)

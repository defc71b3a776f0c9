"""One small case of every method and encoder; the battery runs on each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jax_ssl.augment import VIEWS
from jax_ssl.bind import bind
from jax_ssl.core.method import Method
from jax_ssl.encoders import ENCODERS
from jax_ssl.methods import METHODS
from tests.images import BATCH, SIZE


@dataclass(frozen=True)
class Case:
    """A method small enough to be compiled a dozen times."""

    method: str
    settings: Mapping[str, Any]
    views: Mapping[str, Any]
    encoder: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "convnet", "widths": (8, 16)}
    )
    # Share of the gap between the loss at the start and its best possible value that 60
    # steps of SGD on 64 fixed images close at the least.
    gap: float = 0.2
    learning_rate: float = 0.3

    def build(self, **encoder: Any) -> Method:
        """The method; keywords are further settings of the encoder."""
        wires = {"num_examples": 64, "batch_size": BATCH, "total_steps": 100}
        wires["steps_per_epoch"] = 4
        views = dict(self.views)
        wires["views"] = bind(VIEWS[views.pop("name")], wires, views)
        settings = {**self.encoder, **encoder}
        wires["encoder"] = bind(ENCODERS[settings.pop("name")], wires, settings)
        return bind(METHODS[self.method], wires, self.settings)


CROPS = {"name": "two_crops", "size": SIZE, "strength": 0.5, "blur_probability": 0.5}

METHODS_UNDER_TEST = {
    "simclr": Case("simclr", {"hidden_dim": 16, "output_dim": 8}, CROPS),
    "simclr-3-layers": Case(
        "simclr", {"hidden_dim": 16, "output_dim": 8, "head_layers": 3}, CROPS
    ),
    "simclr-groups": Case(
        "simclr",
        {"hidden_dim": 16, "output_dim": 8, "temperature": 0.5},
        CROPS,
        {"name": "convnet", "widths": (8, 16), "groups": 4},
    ),
    "simclr-vit": Case(
        "simclr",
        {"hidden_dim": 16, "output_dim": 8},
        CROPS,
        {"name": "vit_ti", "patch_size": 4, "image_size": SIZE, "depth": 1},
    ),
}

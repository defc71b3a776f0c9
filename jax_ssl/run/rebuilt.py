"""What a card says of an encoder, made again: the module, its view, its images."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ssl.augment import VIEWS
from jax_ssl.checkpoint.export import check_structure
from jax_ssl.config import Experiment
from jax_ssl.config.bind import bind, pick
from jax_ssl.core.fields import Field, Fields, read_by, spec_of
from jax_ssl.core.method import ViewFn, encoder_input
from jax_ssl.core.types import Variables
from jax_ssl.data.given import Frame
from jax_ssl.encoders import ENCODERS
from jax_ssl.encoders.class_tokens import class_tokens_of
from jax_ssl.nn.heads import LinearHead
from jax_ssl.nn.network import Copy, Network
from jax_ssl.plan.source import StandIn

SHOWN = {"image", "size", "scale", "index"}  # What an image alone can give a view.
BYTE = np.dtype("uint8")


def rebuilt(name: str, variables: Variables, card: Mapping[str, Any]) -> dict[str, Any]:
    """What the card describes, with its variables, all of it checked.

    Args:
        name: of the file.
        variables: that it holds.
        card: what it says of itself.

    Returns:
        Attributes of `run.use.Loaded`.

    Raises:
        ValueError: if they do not fit together, or do not read images.
    """
    if "run" in card:
        encoder, view, fields, frame = _of_run(name, card)
    else:
        maker, settings = pick(ENCODERS, card.get("encoder", {}), "encoder")
        encoder = bind(maker, {}, settings)
        view, fields, frame = _of_input(name, card["input"])
    made: dict[str, Any] = {"encoder": encoder, "frame": frame, "fields": fields}
    method = card.get("method") or {}
    x = jnp.zeros((1, *_seen(view, fields)), jnp.float32)
    if card.get("what") == "classifier":
        reading = encoder
        if count := method.get("class_tokens"):
            reading = class_tokens_of(encoder, count, method.get("mean_patch", False))
        head = variables["params"]["head"]
        scores = len(head["dense"]["bias"])
        batch_norm = "head" in variables.get("stats", {}) and bool(
            variables["stats"]["head"]
        )
        network = Network(
            encoder=reading, head=LinearHead(scores, 0.0, batch_norm=batch_norm)
        )
        made["network"], made["encoder"] = network, reading
        label = card.get("run", {}).get("fields", {}).get("label", {})
        made["classes"] = tuple(label.get("names") or map(str, range(scores)))
        params, stats = jax.eval_shape(network.init, jax.random.key(0), x)
        check_structure(Copy(params, stats).variables(), variables)
    elif card.get("what", "encoder") in ("encoder", "backbone"):
        init = functools.partial(encoder.init, train=False)
        check_structure(jax.eval_shape(init, jax.random.key(0), x), variables)
    else:
        raise ValueError(
            f"the file holds what jax-ssl export --what={card['what']} wrote; images "
            "are read by what --what=encoder or --what=classifier writes."
        )
    return {"name": name, "card": card, "variables": variables, "view": view, **made}


def _of_run(name: str, card: Mapping[str, Any]) -> tuple[Any, ViewFn, Fields, Frame]:
    """Encoder, view, fields and frame of a run, rebuilt from its settings."""
    told = card["run"]
    fields = {
        key: Field(**{**value, "names": value["names"] and tuple(value["names"])})
        for key, value in told["fields"].items()
    }
    source = StandIn(name, fields, told["num_examples"])
    config = {**told["config"], "mesh": {"fsdp": 1, "rules": ()}}
    experiment = Experiment(config, source, devices=jax.local_devices()[:1])
    encoder, view, data = experiment.method.encoder, experiment.view, config["data"]
    image = fields.get("image")
    if image is None or not {*read_by(view, fields)} <= SHOWN:
        return encoder, *_of_input(name, card["input"])
    channels = data.get("channels", image.shape[-1])
    height, width = image.shape[:2]
    frame = Frame(
        sides=(height, width),
        channels=tuple(channels) if isinstance(channels, list) else channels,
        canvas="size" in fields,
        range=data.get("range") and tuple(data["range"]),
        max_megapixels=data.get("max_megapixels") or Frame.max_megapixels,
    )
    return encoder, view, fields, frame


def _of_input(name: str, told: Mapping[str, Any]) -> tuple[ViewFn, Fields, Frame]:
    """View, fields and frame by what a card says of the encoder's input alone."""
    shape: Any = told.get("shape") or (told.get("size"), told.get("size"), 3)
    if len(shape) != 3 or not all(shape):
        raise ValueError(
            f"{name} reads {list(shape)} of every example, and no image "
            "[height, width, channels]; jax_ssl.load is for encoders of single images."
        )
    height, width, channels = map(int, shape)
    settings = told.get("view") or {}
    view = bind(VIEWS["identity"], {}, {n: told.get(n) for n in ("mean", "std")})
    fields = {"image": Field("image", (height, width, channels), BYTE)}
    resize = settings.get("resize") if height == width else None
    interpolation = settings.get("interpolation", "bicubic")
    frame = Frame(
        sides=(height, width),
        channels=channels,
        resize=resize,
        interpolation=interpolation,
    )
    return view, fields, frame


def _seen(view: ViewFn, fields: Fields) -> tuple[int, ...]:
    """Shape of what the encoder reads of an image."""
    seen = jax.eval_shape(view, jax.random.key(0), spec_of(fields))
    return encoder_input(seen).shape

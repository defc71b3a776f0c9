"""Encoders: modules that return `Features`, and the table of their factories."""

from collections.abc import Callable, Mapping
from typing import Any

from jax_ssl.encoders.convnet import convnet
from jax_ssl.encoders.resnet import resnet18, resnet34, resnet50, resnet101, resnet152

ENCODERS: Mapping[str, Callable[..., Any]] = {
    "convnet": convnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
}

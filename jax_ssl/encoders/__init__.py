"""Encoders: modules that return `Features`, and the table of their factories."""

from collections.abc import Callable, Mapping
from typing import Any

from jax_ssl.encoders.convnet import convnet
from jax_ssl.encoders.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from jax_ssl.encoders.vit_sizes import vit, vit_b, vit_h, vit_l, vit_s, vit_ti

ENCODERS: Mapping[str, Callable[..., Any]] = {
    "convnet": convnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "vit": vit,
    "vit_ti": vit_ti,
    "vit_s": vit_s,
    "vit_b": vit_b,
    "vit_l": vit_l,
    "vit_h": vit_h,
}

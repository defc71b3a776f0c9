"""Encoders: modules that return `Features`, and the table of their sizes.

A size is a module with other defaults. What makes the size may be set as well, and is
part of the resolved config; the module refuses what is no network.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jax_ssl.encoders.alexnet import AlexNet
from jax_ssl.encoders.amdim import AMDIMEncoder
from jax_ssl.encoders.convnet import ConvNet
from jax_ssl.encoders.dcgan import StridedConvNet
from jax_ssl.encoders.dense import DenseEncoder
from jax_ssl.encoders.dispnet import DispNet
from jax_ssl.encoders.flownet import FlowNet
from jax_ssl.encoders.pwcnet import PWCNet
from jax_ssl.encoders.resnet import ResNet
from jax_ssl.encoders.unet import UNet
from jax_ssl.encoders.vit import ViT
from jax_ssl.encoders.wave import ContextEncoder, WaveEncoder

alexnet = AlexNet
amdim = AMDIMEncoder
convnet = ConvNet
dcgan = StridedConvNet
dense = DenseEncoder
unet = UNet
dispnet = DispNet
# Godard et al. (2017, arXiv:1609.03677).
monodepth_vgg = partial(DispNet, halving="second", activation="elu")
flownet = FlowNet
pwcnet = PWCNet
wave = WaveEncoder
wave_gru = ContextEncoder

# He et al. (2016, arXiv:1512.03385).
resnet18 = partial(ResNet, stage_sizes=(2, 2, 2, 2), bottleneck=False)
resnet34 = partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=False)
resnet50 = partial(ResNet, stage_sizes=(3, 4, 6, 3), bottleneck=True)
resnet101 = partial(ResNet, stage_sizes=(3, 4, 23, 3), bottleneck=True)
resnet152 = partial(ResNet, stage_sizes=(3, 8, 36, 3), bottleneck=True)

# Dosovitskiy et al. (2021, arXiv:2010.11929); the two small ones are DeiT's
# (Touvron et al., 2021, arXiv:2012.12877). MoCo v3's ViT-S has 12 heads (its table 2).
vit = ViT
vit_ti = partial(ViT, dim=192, depth=12, num_heads=3)
vit_s = partial(ViT, dim=384, depth=12, num_heads=6)
vit_b = partial(ViT, dim=768, depth=12, num_heads=12)
vit_l = partial(ViT, dim=1024, depth=24, num_heads=16)
vit_h = partial(ViT, dim=1280, depth=32, num_heads=16, patch=14)

ENCODERS: Mapping[str, Callable[..., Any]] = {
    "alexnet": alexnet,
    "amdim": amdim,
    "convnet": convnet,
    "dcgan": dcgan,
    "dense": dense,
    "dispnet": dispnet,
    "monodepth_vgg": monodepth_vgg,
    "flownet": flownet,
    "pwcnet": pwcnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "unet": unet,
    "vit": vit,
    "vit_ti": vit_ti,
    "vit_s": vit_s,
    "vit_b": vit_b,
    "vit_l": vit_l,
    "vit_h": vit_h,
    "wave": wave,
    "wave_gru": wave_gru,
}

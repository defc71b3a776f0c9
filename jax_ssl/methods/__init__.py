"""One paper per file, and the table of them."""

from collections.abc import Callable, Mapping

from jax_ssl.core.method import Method
from jax_ssl.methods.amdim import amdim
from jax_ssl.methods.autoencoder import autoencoder
from jax_ssl.methods.barlow_twins import barlow_twins
from jax_ssl.methods.bigan import bigan
from jax_ssl.methods.byol import byol
from jax_ssl.methods.classifier import classifier
from jax_ssl.methods.clusterfit import clusterfit
from jax_ssl.methods.cmc import cmc
from jax_ssl.methods.colorization import colorization
from jax_ssl.methods.context_encoder import context_encoder
from jax_ssl.methods.cpc_audio import cpc_audio
from jax_ssl.methods.cpc_vision import cpc_vision
from jax_ssl.methods.deepcluster import deepcluster
from jax_ssl.methods.deepcluster_v2 import deepcluster_v2
from jax_ssl.methods.detector import detector
from jax_ssl.methods.dino import dino
from jax_ssl.methods.dinov2 import dinov2
from jax_ssl.methods.dinov2_distillation import dinov2_distillation
from jax_ssl.methods.distillation import distillation
from jax_ssl.methods.exemplar import exemplar
from jax_ssl.methods.jigsaw import jigsaw
from jax_ssl.methods.looc import looc
from jax_ssl.methods.mae import mae
from jax_ssl.methods.mean_teacher import mean_teacher
from jax_ssl.methods.moco import moco
from jax_ssl.methods.moco_v3 import moco_v3
from jax_ssl.methods.monodepth import monodepth
from jax_ssl.methods.monodepth2 import monodepth2
from jax_ssl.methods.npid import npid
from jax_ssl.methods.pirl import pirl
from jax_ssl.methods.relative_patch import relative_patch
from jax_ssl.methods.rotation import rotation
from jax_ssl.methods.segmenter import segmenter
from jax_ssl.methods.self_mono_sf import self_mono_sf
from jax_ssl.methods.sfmlearner import sfmlearner
from jax_ssl.methods.simclr import simclr
from jax_ssl.methods.simsiam import simsiam
from jax_ssl.methods.split_brain import split_brain
from jax_ssl.methods.supcon import supcon
from jax_ssl.methods.swav import swav
from jax_ssl.methods.triplet import triplet
from jax_ssl.methods.unflow import unflow
from jax_ssl.methods.vae import vae
from jax_ssl.methods.vicreg import vicreg
from jax_ssl.methods.w_mse import w_mse

METHODS: Mapping[str, Callable[..., Method]] = {
    "simclr": simclr,
    "supcon": supcon,
    "byol": byol,
    "simsiam": simsiam,
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
    "w_mse": w_mse,
    "moco": moco,
    "moco_v3": moco_v3,
    "swav": swav,
    "deepcluster": deepcluster,
    "deepcluster_v2": deepcluster_v2,
    "clusterfit": clusterfit,
    "npid": npid,
    "cmc": cmc,
    "pirl": pirl,
    "looc": looc,
    "triplet": triplet,
    "rotation": rotation,
    "exemplar": exemplar,
    "colorization": colorization,
    "split_brain": split_brain,
    "relative_patch": relative_patch,
    "jigsaw": jigsaw,
    "cpc_vision": cpc_vision,
    "amdim": amdim,
    "autoencoder": autoencoder,
    "vae": vae,
    "context_encoder": context_encoder,
    "bigan": bigan,
    "cpc_audio": cpc_audio,
    "mae": mae,
    "sfmlearner": sfmlearner,
    "monodepth": monodepth,
    "monodepth2": monodepth2,
    "unflow": unflow,
    "self_mono_sf": self_mono_sf,
    "classifier": classifier,
    "segmenter": segmenter,
    "detector": detector,
    "mean_teacher": mean_teacher,
    "distillation": distillation,
    "dino": dino,
    "dinov2": dinov2,
    "dinov2_distillation": dinov2_distillation,
}

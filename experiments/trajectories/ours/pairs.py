"""Ours of two views of one size: SimCLR, MoCo, BYOL, SimSiam and their kin."""

import given

from jax_ssl.methods.barlow_twins import barlow_twins
from jax_ssl.methods.byol import byol
from jax_ssl.methods.moco import moco
from jax_ssl.methods.simclr import simclr
from jax_ssl.methods.simsiam import simsiam
from jax_ssl.methods.vicreg import vicreg
from jax_ssl.optim.lars import lars
from jax_ssl.optim.schedules import cosine, step_decay, warmup_cosine
from ours.common import Case, encoder, pairs, stack, torch_sgd


def solo_learn_lars(s):
    """LARS of solo-learn's scripts, see `solo_learn_lars` of the pages."""
    return lars(
        learning_rate=warmup_cosine(
            given.STEPS,
            1,
            given.BATCH,
            peak_value=s["rate"],
            warmup_steps=s["warmup"],
            warmup_form="closed",
            init_value=s["init_value"],
        ),
        weight_decay=s["weight_decay"],
        momentum=s.get("velocity", 0.9),
        trust_coefficient=s["trust_coefficient"],
        rate=s.get("form", "outside"),
        denominator=s.get("denominator", "sum"),
        cap=s.get("cap", True),
    )


def of_simclr(s):
    method = simclr(
        encoder(),
        stack,
        temperature=s["temperature"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        head_layers=s["head_layers"],
        scale=s.get("scale", 1.0),
    )
    return method, solo_learn_lars(s)


def of_moco(s):
    method = moco(
        encoder(),
        stack,
        temperature=s["temperature"],
        momentum=s["momentum"],
        queue_size=s["queue_size"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        head_layers=s["head_layers"],
        symmetric=s.get("symmetric", False),
    )
    rate = cosine(given.STEPS, given.BATCH, init_value=s["rate"])
    if s["drops"]:
        rate = step_decay(
            given.STEPS, 1, given.BATCH, value=s["rate"], drops=s["drops"]
        )
    return method, torch_sgd(s, rate)


def of_byol(s):
    momentum = cosine(given.STEPS, given.BATCH, init_value=s["momentum"], end_value=1.0)
    method = byol(
        encoder(),
        stack,
        momentum=momentum,
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
    )
    return method, solo_learn_lars(s)


def of_simsiam(s):
    method = simsiam(
        encoder(),
        stack,
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        predictor_dim=s["predictor_dim"],
    )
    constant = () if s.get("falling_predictor") else (("^predictor/", s["rate"]),)
    rates = tuple((name, lambda step, v=value: v) for name, value in constant)
    rate = cosine(given.STEPS, given.BATCH, init_value=s["rate"])
    return method, torch_sgd(s, rate, rates=rates)


def falling(s, peak):
    """A warm-up from 0 and a cosine to a thousandth of the peak."""
    return warmup_cosine(
        given.STEPS,
        1,
        given.BATCH,
        peak_value=peak,
        warmup_steps=s["warmup"],
        end_value=peak * s.get("end_share", 0.001),
    )


def meta_lars(s, peak, **more):
    """LARS of the released codes of Barlow Twins, VICReg and MoCo v3."""
    return lars(
        learning_rate=falling(s, peak),
        weight_decay=s["weight_decay"],
        momentum=s["velocity"],
        trust_coefficient=s.get("trust_coefficient", 0.001),
        rate=s.get("form", "outside"),
        **more,
    )


def of_barlow_twins(s):
    method = barlow_twins(
        encoder(),
        stack,
        redundancy_weight=s["redundancy_weight"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
        scale=s.get("scale", 1.0),
    )
    rates = (("(bias|scale)$", falling(s, s["rate_of_biases"])),)
    return method, meta_lars(s, s["rate"], rates=rates)


def of_vicreg(s):
    method = vicreg(
        encoder(),
        stack,
        invariance_weight=s["invariance_weight"],
        variance_weight=s["variance_weight"],
        covariance_weight=s["covariance_weight"],
        hidden_dim=s["hidden_dim"],
        output_dim=s["output_dim"],
    )
    return method, meta_lars(s, s["rate"])


CASES = {
    "simclr": Case(
        of_simclr,
        pairs("simclr"),
        wrong={
            "temperature": 0.45,
            "weight_decay": 0.0,
            "denominator": "decayed",
            "cap": False,
            "scale": 2.0,
        },
    ),
    "moco_v1": Case(
        of_moco,
        pairs("moco_v1"),
        wrong={
            "temperature": 0.08,
            "momentum": 0.98,
            "drops": (13, 16),
            "velocity": 0.85,
        },
        kept=("queue", "teacher"),
    ),
    "moco_v2": Case(
        of_moco,
        pairs("moco_v2"),
        wrong={"temperature": 0.21, "momentum": 0.98, "exclude": ("bias", "scale")},
        kept=("queue", "teacher"),
    ),
    "byol": Case(
        of_byol,
        pairs("byol"),
        wrong={"momentum": 0.98, "weight_decay": 0.0, "denominator": "decayed"},
        kept=("teacher",),
    ),
    "simsiam": Case(
        of_simsiam,
        pairs("simsiam"),
        wrong={"falling_predictor": True, "velocity": 0.85, "weight_decay": 0.0},
    ),
    "barlow_twins": Case(
        of_barlow_twins,
        pairs("barlow_twins"),
        wrong={"redundancy_weight": 0.005, "scale": 0.1, "end_share": 0.0},
    ),
    "vicreg": Case(
        of_vicreg,
        pairs("vicreg"),
        wrong={"variance_weight": 50.0, "covariance_weight": 2.0, "form": "inside"},
    ),
}

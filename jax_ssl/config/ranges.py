"""Ranges of settings, by names that mean the same wherever they occur.

Factories check what is their own. They cannot check a setting that may be a schedule,
for they are given a function; and a width or a number of layers is nothing that every
one of them should have to check again.
"""

from collections.abc import Mapping

from jax_ssl.data import ranges

WIDTHS = "hidden_dim hidden_dims output_dim predictor_dim bottleneck_dim dim width "
WIDTHS += "widths decoder_width decoder_widths num_patch_prototypes koleo_groups"
SIDES = "size sizes resize global_size local_size image_size canvas"
REPEATED = "depth head_layers decoder_depth iterations registers num_heads counts "
REPEATED += "decoder_heads num_locals num_views rand_augment_ops stage_sizes draws"
NOT_NEGATIVE = "learning_rate weight_decay weight_decays learning_rates epsilon "
NOT_NEGATIVE += "trust_coefficient layer_scale mlp_ratio first_std shrinkage "
NOT_NEGATIVE += "proximal_weight patch_weight koleo_weight queue_size "
NOT_NEGATIVE += "consistency_weight hint_weight"
SHARES = "momentum b1 b2 center_momentum drop_path shrinkage flip local_blur "
SHARES += "global_blurs jitter_probability gray_probability blur_probability "
SHARES += "blur_probabilities solarize_probability solarize_probabilities "
SHARES += "erase_probability rotation_probability photometric_probability "
SHARES += "coarse_probability mask_probability tones_probability vertical_flip"

RANGES: Mapping[str, str] = {
    **dict.fromkeys(WIDTHS.split(), "[1, 1048576]"),
    **dict.fromkeys(SIDES.split(), "[1, 65536]"),
    **dict.fromkeys(REPEATED.split(), "[0, 10000]"),
    **dict.fromkeys(NOT_NEGATIVE.split(), "[0, inf)"),
    **dict.fromkeys(SHARES.split(), "[0, 1]"),
    **dict.fromkeys(("global_scale", "local_scale"), "(0, 1]"),
    **dict.fromkeys(("seed", "order_seed"), "[0, 4294967295]"),
    "teacher_temperature": "(0, inf)",
}

# Settings whose type says too little, in words.
MEANT: Mapping[str, str] = {"range": ranges.MEANT}

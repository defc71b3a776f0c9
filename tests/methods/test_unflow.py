"""UnFlow."""

import functools

from tests.case import Case
from tests.films import enlarged, film_of_one_camera

LOSS = {
    "border": None,
    "level_weights": (0.1, 0.05),
    "radii": (1, 1),
    "occlusion_weight": 0.0,  # Has no gradient, so that nothing makes it fall.
}
SMALL = {
    **LOSS,
    "widths": (8,),
    "decoder_widths": (8,),
    "max_displacement": 2,
    "displacement_stride": 1,
}
PWC = {**LOSS, "network": "PWC", "widths": (8, 6), "max_displacement": 1}
TRUNK = {"name": "flownet", "widths": (4, 6, 8), "kernels": (5, 3, 3)}
PYRAMID = {"name": "pwcnet", "widths": (4, 6, 8)}
TWO = functools.partial(film_of_one_camera, frames=2)
CASES = {
    "unflow": Case("unflow", SMALL, TWO, encoder=TRUNK, reads=enlarged),
    "unflow-stack": Case(
        "unflow", {**SMALL, "network": "CS"}, TWO, encoder=TRUNK, reads=enlarged
    ),
    "unflow-pwc": Case(
        "unflow",
        PWC,
        TWO,
        encoder=PYRAMID,
        reads=enlarged,
        learning_rate=0.003,
        share=0.9,
    ),
}

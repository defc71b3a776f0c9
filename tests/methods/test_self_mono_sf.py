"""Self-Mono-SF."""

from tests.case import Case
from tests.films import enlarged, film_of_two_cameras

SMALL = {
    "widths": (8, 6),
    "context_widths": (6,),
    "dilations": (1,),
    "max_displacement": 1,
    "level_weights": (1.0, 0.5),
    "flow_smoothness": 1.0,
}
TWO_LEVELS = {"name": "pwcnet", "widths": (4, 6)}
PYRAMID = {"name": "pwcnet", "widths": (4, 6, 8)}
CASES = {
    name: Case(
        "self_mono_sf",
        SMALL,
        film_of_two_cameras,
        encoder=encoder,
        reads=enlarged,
        learning_rate=0.003,
        share=0.75,
        steps=40,
    )
    # What is coarse to fine takes three times as long to compile.
    for name, encoder in (
        ("self_mono_sf", TWO_LEVELS),
        ("self_mono_sf-pyramid", PYRAMID),
    )
}

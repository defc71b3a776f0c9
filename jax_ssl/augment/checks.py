"""Refusals of settings, when a recipe is made."""

import itertools
from collections.abc import Sequence


def check_probability(recipe: str, **settings: float) -> None:
    """Refuses probabilities outside of [0, 1].

    Raises:
        ValueError: naming recipe, setting and value.
    """
    for name, value in settings.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(
                f"{recipe}: {name} = {value} is not a probability; give one in [0, 1]."
            )


def check_range(
    recipe: str, lowest: float, highest: float = float("inf"), **settings: float
) -> None:
    """Refuses values outside of [lowest, highest], and two that are out of order.

    Of several settings each must be at least the one before it.

    Raises:
        ValueError: naming recipe, setting and value.
    """
    for name, value in settings.items():
        if not lowest <= value <= highest:
            raise ValueError(
                f"{recipe}: {name} = {value} is not in [{lowest}, {highest}]."
            )
    items = list(settings.items())
    for (name, value), (larger, bound) in itertools.pairwise(items):
        if value > bound:
            raise ValueError(
                f"{recipe}: {name} = {value} is above {larger} = {bound}; "
                "exchange the two."
            )


def check_jitter(recipe: str, strength: float, jitter: Sequence[float]) -> None:
    """Refuses negative amounts, and hue shifts of more than half a turn.

    Raises:
        ValueError: naming recipe, setting and value.
    """
    check_range(recipe, 0.0, strength=strength)
    if len(jitter) != 4 or min(jitter) < 0:
        raise ValueError(
            f"{recipe}: jitter = {jitter} must be four amounts of 0 or more: "
            "brightness, contrast, saturation, hue."
        )
    if strength * jitter[3] > 0.5:
        raise ValueError(
            f"{recipe}: strength {strength} times the hue jitter {jitter[3]} is above "
            f"half a turn, all there is; take a strength up to {0.5 / jitter[3]:g}."
        )


def check_choice(recipe: str, name: str, value: str, choices: Sequence[str]) -> None:
    """Refuses a word that is not one of `choices`.

    Raises:
        ValueError: naming recipe, setting, value and the choices.
    """
    if value not in choices:
        raise ValueError(
            f"{recipe}: {name} = {value!r} is not one of {sorted(choices)}."
        )


def check_moments(
    recipe: str, mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    """Refuses a mean without a std, and stds that are not positive.

    Raises:
        ValueError: naming recipe and value.
    """
    if (mean is None) != (std is None):
        raise ValueError(
            f"{recipe}: mean = {mean} and std = {std}; give both or neither."
        )
    if mean is not None and std is not None:
        if len(mean) != len(std):
            raise ValueError(f"{recipe}: mean = {mean}, std = {std} differ in length.")
        if min(std) <= 0:
            raise ValueError(f"{recipe}: std = {std} must be positive.")

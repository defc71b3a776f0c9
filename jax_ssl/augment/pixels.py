"""From stored pixels to the floats of a view."""

from collections.abc import Sequence

import jax.numpy as jnp

from jax_ssl.core import checks
from jax_ssl.core.types import Array, Example

# Of ImageNet's training images in [0, 1], as torchvision's models take them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def image_of(recipe: str, example: Example, *, colour: Sequence[str] = ()) -> Array:
    """The image of an example, if the recipe can treat it.

    Args:
        recipe: for the message.
        example: with "image" [H, W, C], uint8 or float.
        colour: the recipe's settings that need three channels and are on.

    Returns:
        [H, W, C].

    Raises:
        ValueError: if there is no such image, or it has not three channels where
            colours are needed.
    """
    image = field_of(recipe, example, "image", "HWC", colour=colour)
    if image.dtype != jnp.uint8 and not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(
            f"{recipe}: example['image'] is {image.dtype}; give uint8 in 0..255 or "
            "float in [0, 1]."
        )
    return image


def field_of(
    recipe: str, example: Example, name: str, axes: str, *, colour: Sequence[str] = ()
) -> Array:
    """A field of an example, which must be there.

    Args:
        recipe: for the message.
        example: with the field.
        name: of the field.
        axes: of it, a letter each, C the channels.
        colour: the recipe's settings that need three channels and are on.

    Raises:
        ValueError: if there is no such field, or it has not these axes, or not three
            channels where colours are needed.
    """
    field = example.get(name)
    if field is None or field.ndim != len(axes):
        found = sorted(example) if field is None else f"one of shape {field.shape}"
        raise ValueError(
            f"{recipe}: views are made of one field {name!r} [{', '.join(axes)}]; the "
            f"examples have {found}."
        )
    if colour and field.shape[-1] != 3:
        raise ValueError(
            f"{recipe}: {name!r} has {field.shape[-1]} channel(s), but operations on "
            f"colours need 3; set {' and '.join(f'{each}=0' for each in colour)}."
        )
    return field


def unit(image: Array) -> Array:
    """Values in [0, 1] as float32."""
    return in_unit(jnp.asarray(image, jnp.float32), image.dtype)


def in_unit(image: Array, stored: jnp.dtype) -> Array:
    """float32 values of an image that was stored as `stored`, brought to [0, 1]."""
    return image / 255.0 if stored == jnp.uint8 else image


def whole(recipe: str, example: Example) -> Array:
    """The image in [0, 1] of an example whose image fills its array.

    Raises:
        ValueError: if the example has a "size", or no image that recipes can treat.
    """
    image = unit(image_of(recipe, example))
    if "size" in example:
        raise ValueError(
            f"{recipe}: the images lie on a canvas with a 'size' of their own, and "
            "this recipe would show its empty part; use center_crop or two_crops."
        )
    return image


def check_moments(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Refuses a mean without a std, and stds that are not positive.

    Raises:
        ValueError: naming the values.
    """
    if (mean is None) != (std is None):
        raise ValueError(f"mean = {mean} and std = {std}; give both or neither.")
    if mean is not None and std is not None and len(mean) != len(std):
        raise ValueError(f"mean = {mean}, std = {std} differ in length.")
    checks.positive(std=std)


def standardize(
    image: Array, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Array:
    """(image - mean) / std per channel; the image itself where they are None.

    Raises:
        ValueError: if their length is not the image's number of channels, or 1.
    """
    if mean is None or std is None:
        return image
    if len(mean) not in (1, image.shape[-1]):
        raise ValueError(
            f"mean = {mean} has {len(mean)} channels, the images {image.shape[-1]}."
        )
    return (image - jnp.array(mean)) / jnp.array(std)

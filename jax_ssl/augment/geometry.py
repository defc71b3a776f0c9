"""Mirror images and crops of whole examples: every field follows as its kind must.

For what sees several fields at once, such as a pair of pictures with its disparity, or
frames with their flow and the matrix of their camera. `core.fields` says how each kind
is resampled.
"""

import jax.numpy as jnp

from jax_ssl.core.fields import Field, Fields, Window, common_sides, resampled
from jax_ssl.core.types import Array, Example
from jax_ssl.ops.resize import Box


def mirror(
    example: Example, fields: Fields, flag: bool | Array = True
) -> dict[str, Array]:
    """The example in a mirror, left and right exchanged, where `flag` is true.

    Pixels and boxes change sides, the flow's u its sign, and a matrix becomes that of
    the mirrored camera: it leads from mirrored points, x of the other sign, to mirrored
    pixels, so that the intrinsics' c_x becomes W - 1 - c_x. Poses lead from mirrored
    points to mirrored points. Of a pair of cameras each becomes the other: a field with
    the word "left" in its name, such as "left_disparity", is exchanged with its like on
    the right.

    Args:
        example: some fields of one example.
        fields: what they are.
        flag: [] bool, may be traced.

    Returns:
        Arrays like the example's.

    Raises:
        ValueError: if a field of one camera has no like of the other. What is seen
            from one, such as a disparity or poses, must say in its name whose it is
            where there are two. Also if there is no picture, or several of different
            sizes.
    """
    turned = {name: other_side(name) for name in example}
    paired = any(name != other for name, other in turned.items())
    for name, other in turned.items():
        nobodys = paired and name == other and _of_one_camera(fields[name])
        if other not in example or nobodys:
            raise ValueError(
                f"{name!r} has no like on the other side: a mirror image of a pair of "
                "cameras needs a left and a right one of each of its fields, such as "
                f"left_disparity and right_disparity; there are {sorted(example)}."
            )
    sides = common_sides({name: fields[name] for name in example})
    if sides is None:
        raise ValueError(f"there is no picture among the fields {sorted(example)}.")
    # On a canvas the picture is what it fills.
    width = example["size"][1] if "size" in example else sides[1]
    out = {
        other: _mirrored(example[name], fields[name], width)
        for name, other in turned.items()
    }
    return {name: jnp.where(flag, out[name], x) for name, x in example.items()}


def _of_one_camera(field: Field) -> bool:
    return field.rows_axis is not None or field.kind == "poses"


def other_side(name: str) -> str:
    """The name with the words "left" and "right" exchanged, "_" being between words."""
    sides = {"left": "right", "right": "left"}
    return "_".join(sides.get(word, word) for word in name.split("_"))


def _mirrored(value: Array, field: Field, width: int | Array) -> Array:
    if field.rows_axis is not None:
        axis = field.rows_axis + 1
        value = jnp.flip(value, axis)
        # What a canvas has beyond the picture stays behind it.
        value = jnp.roll(value, width - value.shape[axis], axis)
    if field.kind == "flow":
        return value * jnp.array([-1.0, 1.0, 1.0])
    if field.kind == "matrix":
        first = (width - 1) * value[2] - value[0]
        rows = jnp.stack([first, value[1], value[2]])
        return rows.at[:, 0].multiply(-1.0)
    if field.kind == "poses":
        # diag(-1, 1, 1) on both sides: of what they take, and of what they give.
        signs = jnp.array([-1.0, 1.0, 1.0])
        return value * signs[:, None] * jnp.append(signs, 1.0)
    if field.kind == "boxes":
        label, left, top, right, bottom = value.T
        moved = jnp.stack([label, width - right, top, width - left, bottom], axis=-1)
        return jnp.where(label[:, None] >= 0, moved, value)
    return value


def crop(example: Example, fields: Fields, box: Box) -> dict[str, Array]:
    """Cuts the same box out of all pictures of an example; the rest follows.

    Args:
        example: some fields of one example.
        fields: what they are.
        box: whole numbers, inside of the picture; height and width are Python's, the
            place may be traced.

    Returns:
        Pictures of the box's size, of their own dtype.
    """
    sides = (int(box.height), int(box.width))
    window = Window((box.top, box.left), (1.0, 1.0), sides)
    return {
        name: resampled(value, fields[name], window, jnp)
        for name, value in example.items()
    }

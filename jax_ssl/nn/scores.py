"""What a teacher and its student say of a few examples, for the report."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jax_ssl.core.method import Shown
from jax_ssl.core.types import Array, Batch


def teacher_beside_student(
    examples: Batch,
    taught: Array,
    said: Array,
    caption: str,
    temperature: float = 1.0,
) -> Mapping[str, Shown]:
    """Each image, the class probabilities of both networks, and their difference.

    Args:
        examples: "view" [n, ...], what both have read, and "label" [n] int where the
            data have labels, negative where one is not known.
        taught: [n, K] the teacher's scores.
        said: [n, K] the student's.
        caption: a sentence that says which networks these are.
        temperature: T, positive, by which both scores are divided.

    Returns:
        One picture. A column of probabilities is softmax(scores / T) [n, K] float32,
        and that of the difference is student minus teacher, without its sign.
    """
    teacher, student = (
        jax.nn.softmax(x.astype(jnp.float32) / temperature) for x in (taught, said)
    )
    group = "probabilities"
    if temperature != 1:
        group += f" at temperature {temperature:g}"
    columns = {
        "image": ("view", examples["view"]),
        f"{group}: teacher": ("probabilities", teacher),
        f"{group}: student": ("probabilities", student),
        f"{group}: difference": ("probabilities", jnp.abs(student - teacher)),
    }
    labels = {"image": examples["label"]} if "label" in examples else {}
    alike = taught.argmax(-1) == said.argmax(-1)
    caption = (
        f"{caption} The student has a green frame where both find the same class most "
        "likely, and an orange one where they do not. The difference is without its "
        "sign, in points."
    )
    agrees = {f"{group}: student": alike}
    return {"Teacher and student": Shown(columns, caption, labels, agrees)}

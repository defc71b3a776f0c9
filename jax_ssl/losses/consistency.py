"""What labels, and a teacher's scores of classes, tell a student.

Knowledge distillation (Hinton et al., 2015, arXiv:1503.02531) and mean teachers
(Tarvainen & Valpola, 2017, arXiv:1703.01780). All are computed in float32, and
differentiated in the student's scores alone.
"""

import jax
import jax.numpy as jnp
import optax

from jax_ssl.core.types import Array


def labelled_mean(values: Array, labels: Array) -> Array:
    """The mean of values [B] over rows whose label [B] is not negative; of none 0."""
    known = labels >= 0
    total = jnp.where(known, values, 0.0).sum()
    return total / jnp.maximum(known.sum(), 1)


def labelled_cross_entropy(logits: Array, labels: Array) -> Array:
    """Cross-entropy, the mean over the rows that have a label.

    Args:
        logits: [B, K].
        labels: [B] int32; negative where a row has none.

    Returns:
        [] float32 in nats; 0 if no row has a label.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.maximum(labels, 0)
    )
    return labelled_mean(losses, labels)


def probability_mse(logits: Array, teacher_logits: Array) -> Array:
    """Mean over rows and classes of (softmax(s) - softmax(t))², [] float32.

    Args:
        logits: s, [B, K], the student's.
        teacher_logits: t, [B, K].
    """
    teacher = jax.lax.stop_gradient(teacher_logits).astype(jnp.float32)
    own, wanted = (jax.nn.softmax(x) for x in (logits.astype(jnp.float32), teacher))
    return jnp.square(own - wanted).mean()


def softened_kl(logits: Array, teacher_logits: Array, temperature: float) -> Array:
    """T² KL(softmax(t / T) ‖ softmax(s / T)), the mean over rows.

    With T² the gradient keeps its size when T is changed. Where T is large and all
    logits have the mean 0 it is (s - t) / K, that of matching logits.

    Args:
        logits: s, [B, K], the student's.
        teacher_logits: t, [B, K].
        temperature: T, positive.

    Returns:
        [] float32, at least 0; 0 where the two distributions are the same.
    """
    teacher = jax.lax.stop_gradient(teacher_logits).astype(jnp.float32)
    said, wanted = (
        jax.nn.log_softmax(x / temperature)
        for x in (logits.astype(jnp.float32), teacher)
    )
    # The gradient of the logarithm is exact where the two are the same.
    divergence = (jnp.exp(wanted) * (wanted - said)).sum(-1)
    return temperature**2 * divergence.mean()

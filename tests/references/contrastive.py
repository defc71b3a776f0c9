"""Contrastive losses and their gradients in float64, written from the equations.

Loops over anchors and candidates; nothing is shared with the library.
"""

import numpy as np


def unit_rows(z):
    """Rows divided by their length, and the lengths; zero rows stay zero."""
    # Rows as short as 1e-200 would underflow when squared.
    largest = np.abs(z).max(axis=-1, keepdims=True)
    largest = np.where(largest == 0, 1.0, largest)
    scaled = z / largest
    length = np.sqrt((scaled**2).sum(axis=-1, keepdims=True))
    safe = np.where(length == 0, 1.0, length)
    return scaled / safe, largest * safe


def through_unit_rows(z, gradient):
    """Gradient with respect to z, given that with respect to its unit rows."""
    u, length = unit_rows(z)
    tangent = gradient - u * (u * gradient).sum(axis=-1, keepdims=True)
    return np.where(np.any(z != 0, axis=-1, keepdims=True), tangent / length, 0.0)


def log_one_plus_sum_exp(differences):
    """log(1 + sum exp(d)) without overflow and without losing a tiny sum."""
    top = max([0.0, *differences])
    if top == 0.0:
        return np.log1p(sum(np.exp(d) for d in differences))
    rest = np.exp(-top) + sum(np.exp(d - top) for d in differences)
    return top + np.log(rest)


def nt_xent(z, temperature):
    """SimCLR's equation 1 averaged over all anchors, and its gradient.

    Args:
        z: [B, 2, D].
        temperature: positive.

    Returns:
        The mean over 2B anchors of -log(exp(s_ij / t) / sum_{k != i} exp(s_ik / t)),
        and its gradient [B, 2, D].
    """
    z = np.asarray(z, np.float64)
    B, _, D = z.shape
    rows = z.reshape(2 * B, D)  # Row 2i + v is view v of image i.
    u, _ = unit_rows(rows)
    total = 0.0
    gradient = np.zeros_like(u)
    for i in range(2 * B):
        j = i + 1 if i % 2 == 0 else i - 1
        others = [k for k in range(2 * B) if k not in (i, j)]
        difference = {k: float(u[i] @ (u[k] - u[j])) / temperature for k in others}
        loss = log_one_plus_sum_exp(list(difference.values()))
        total += loss
        for k in others:
            probability = np.exp(difference[k] - loss)
            gradient[i] += probability * (u[k] - u[j])
            gradient[k] += probability * u[i]
            gradient[j] -= probability * u[i]
    scale = 1 / (2 * B)
    gradient *= scale / temperature
    return total * scale, through_unit_rows(rows, gradient).reshape(z.shape)


def nt_xent_accuracy(z):
    """Share of anchors that are more similar to their positive than to any other."""
    z = np.asarray(z, np.float64)
    B, _, D = z.shape
    u, _ = unit_rows(z.reshape(2 * B, D))
    hits = 0
    for i in range(2 * B):
        j = i + 1 if i % 2 == 0 else i - 1
        others = [k for k in range(2 * B) if k not in (i, j)]
        hits += all(u[i] @ u[j] > u[i] @ u[k] for k in others)
    return hits / (2 * B)


def supervised(z, labels, temperature, mean):
    """SupCon's L_out ("outside") or L_in ("inside") over all anchors, and its gradient.

    Args:
        z: [B, 2, D].
        labels: [B].
        temperature: positive.
        mean: where the mean over the positives stands.
    """
    z = np.asarray(z, np.float64)
    B, _, D = z.shape
    rows = z.reshape(2 * B, D)
    u, _ = unit_rows(rows)
    label = np.repeat(labels, 2)
    total, gradient = 0.0, np.zeros_like(u)
    for i in range(2 * B):
        others = [k for k in range(2 * B) if k != i]
        positives = [k for k in others if label[k] == label[i]]
        score = {k: float(u[i] @ u[k]) / temperature for k in others}
        top = max(score.values())
        weight = {k: np.exp(score[k] - top) for k in others}
        everything = sum(weight.values())
        share = {k: weight[k] / everything for k in others}
        of_class = sum(weight[k] for k in positives)
        if mean == "outside":
            losses = [np.log(everything) + top - score[k] for k in positives]
            total += sum(losses) / len(losses)
            wanted = dict.fromkeys(positives, 1 / len(positives))
        else:
            total -= np.log(of_class / everything / len(positives))
            wanted = {k: weight[k] / of_class for k in positives}
        for k in others:
            slope = (share[k] - wanted.get(k, 0.0)) / temperature
            gradient[i] += slope * u[k]
            gradient[k] += slope * u[i]
    gradient = through_unit_rows(rows, gradient / (2 * B))
    return total / (2 * B), gradient.reshape(z.shape)


def supervised_accuracy(z, labels):
    """Share of anchors whose most similar other row is of their class."""
    z = np.asarray(z, np.float64)
    u, _ = unit_rows(z.reshape(-1, z.shape[-1]))
    label = np.repeat(labels, 2)
    scores = u @ u.T
    np.fill_diagonal(scores, -np.inf)
    return (label[scores.argmax(1)] == label).mean()


def info_nce(q, k, negatives, temperature):
    """MoCo's equation 1, mean over queries, and its gradient in q.

    Args:
        q: [B, D] queries, used as they are.
        k: [B, D] keys; k[i] belongs to q[i].
        negatives: [K, D] shared by all queries.
        temperature: positive.
    """
    q, k, negatives = (np.asarray(a, np.float64) for a in (q, k, negatives))
    B = len(q)
    total = 0.0
    gradient = np.zeros_like(q)
    for i in range(B):
        difference = [float(q[i] @ (n - k[i])) / temperature for n in negatives]
        loss = log_one_plus_sum_exp(difference)
        total += loss / B
        for d, n in zip(difference, negatives, strict=True):
            gradient[i] += np.exp(d - loss) * (n - k[i]) / (temperature * B)
    return total, gradient


def info_nce_in_batch(q, k, temperature):
    """InfoNCE against the other keys of the batch, and its gradients in q and k."""
    q, k = (np.asarray(a, np.float64) for a in (q, k))
    B = len(q)
    total = 0.0
    dq, dk = np.zeros_like(q), np.zeros_like(k)
    for i in range(B):
        others = [j for j in range(B) if j != i]
        difference = [float(q[i] @ (k[j] - k[i])) / temperature for j in others]
        loss = log_one_plus_sum_exp(difference)
        total += loss / B
        for d, j in zip(difference, others, strict=True):
            share = np.exp(d - loss) / (temperature * B)
            dq[i] += share * (k[j] - k[i])
            dk[j] += share * q[i]
            dk[i] -= share * q[i]
    return total, (dq, dk)


def log_sum_exp(terms):
    """log(sum exp(t)); minus infinity without a term."""
    top = max(terms, default=-np.inf)
    if top == -np.inf:
        return top
    return top + np.log(sum(np.exp(t - top) for t in terms))


def masked_logsumexp(x, y, shift, scale, pairs, weights):
    """lse_i = log sum_j exp(scale (x_i y_j - shift_i)) over pairs[i, j].

    Returns:
        lse [n], the largest exponents [n], and the gradients of sum_i weights_i lse_i
        in x, y, shift and, as [n] terms of row i, in scale; rows without a pair are
        left out.
    """
    x, y, shift = (np.asarray(a, np.float64) for a in (x, y, shift))
    lse, top = np.full(len(x), -np.inf), np.full(len(x), -np.inf)
    dx, dy, dshift = np.zeros_like(x), np.zeros_like(y), np.zeros_like(shift)
    dscale = np.zeros(len(x))
    for i in range(len(x)):
        allowed = [j for j in range(len(y)) if pairs[i, j]]
        distance = {j: float(x[i] @ y[j]) - shift[i] for j in allowed}
        lse[i] = log_sum_exp([scale * distance[j] for j in allowed])
        top[i] = max([scale * distance[j] for j in allowed], default=-np.inf)
        for j in allowed:
            share = weights[i] * np.exp(scale * distance[j] - lse[i])
            dx[i] += share * scale * y[j]
            dy[j] += share * scale * x[i]
            dshift[i] -= share * scale
            dscale[i] += share * distance[j]
    return lse, top, (dx, dy, dshift, dscale)


def decoupled(z, temperature):
    """Yeh et al. (arXiv:2110.06848), L_DC: the positive left out below."""
    z = np.asarray(z, np.float64)
    u, _ = unit_rows(z.reshape(-1, z.shape[-1]))
    losses = []
    for i in range(len(u)):
        negatives = [
            u[i] @ u[k] / temperature for k in range(len(u)) if k // 2 != i // 2
        ]
        losses.append(log_sum_exp(negatives) - u[i] @ u[i ^ 1] / temperature)
    return np.mean(losses)

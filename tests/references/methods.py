"""Whole methods in float64: networks, loss and the state's next value, from the papers.

The encoder is one dense layer with ReLU; heads are read off the names and shapes of
their parameters. A gradient is a central difference of `loss`, in which `held` are the
params of what the paper stops the gradient of.
"""

import math

import numpy as np

from tests.references import assignments, contrastive, instance, prediction, redundancy
from tests.references import triplet as triplets

MOMENTUM = 0.9  # Of running statistics.


def mlp(x, p, stats):
    """Dense layers, the norms that there are, ReLU between; (output, next stats)."""
    moved = {}
    last = len(p) - 1 - sum(name.startswith("norm") for name in p)
    for i in range(last + 1):
        x = x @ p[f"dense{i}"]["kernel"] + p[f"dense{i}"].get("bias", 0.0)
        name = f"norm{i}"
        if name in stats:
            mean, var = x.mean(0), x.var(0)
            moved[name] = {
                "mean": MOMENTUM * stats[name]["mean"] + (1 - MOMENTUM) * mean,
                "var": MOMENTUM * stats[name]["var"] + (1 - MOMENTUM) * var,
            }
            own = p.get(name, {})
            x = (x - mean) / np.sqrt(var + 1e-5) * own.get("scale", 1.0)
            x = x + own.get("bias", 0.0)
        if i < last:
            x = np.maximum(x, 0)
    return x, moved


def features(views, p):
    """[n, ...] images to [n, F]: the encoder of these comparisons."""
    x = views.reshape(len(views), -1) @ p["dense"]["kernel"] + p["dense"]["bias"]
    return np.maximum(x, 0)


def head(name, x, p, stats):
    """The part `name` on x [n, D], an MLP; (output, next stats of all parts)."""
    y, moved = mlp(x, p[name], stats[name].get("batch_stats", {}))
    return y, {**stats, name: {"batch_stats": moved} if moved else {}}


def embed(views, p, stats):
    """Encoder and projector of [n, ...] views; (z, next stats)."""
    return head("projector", features(views, p["encoder"]), p, stats)


def embed_each(views, p, stats):
    """The same view by view, [B, V, ...] -> [B, V, D]."""
    outputs = []
    for v in range(views.shape[1]):
        z, stats = embed(views[:, v], p, stats)
        outputs.append(z)
    return np.stack(outputs, axis=1), stats


def predict_each(z, p, stats):
    """The predictor on [B, V, D]."""
    outputs = []
    for v in range(z.shape[1]):
        q, stats = head("predictor", z[:, v], p, stats)
        outputs.append(q)
    return np.stack(outputs, axis=1), stats


def embed_crops(views, p, stats):
    """The projector on all views together, [B, V, ...] -> [B, V, D]."""
    z, stats = embed(flat(views), p, stats)
    return z.reshape(*views.shape[:2], -1), stats


def ema(old, new, momentum):
    """The teacher's next value."""
    if isinstance(old, dict):
        return {name: ema(old[name], new[name], momentum) for name in old}
    return momentum * old + (1 - momentum) * new


def unit(z):
    """Rows of unit length along the last axis."""
    return z / np.sqrt((z * z).sum(-1, keepdims=True))


def flat(views):
    """[B, V, ...] -> [B V, ...]."""
    return views.reshape(-1, *views.shape[2:])


# Each: (params, held, state, views, drawn) -> (loss, next state as a dict of its
# fields). `drawn` is what the method draws with its key. Params and running statistics
# are keyed by part; a teacher is {"params", "stats"}.


def simclr(p, held, state, views, drawn, temperature):
    z, stats = embed_crops(views, p, state["stats"])
    return contrastive.nt_xent(z, temperature)[0], {"stats": stats}


def supcon(p, held, state, views, drawn, temperature, mean, scale):
    z, stats = embed_crops(views["image"], p, state["stats"])
    value, _ = contrastive.supervised(z, views["label"], temperature, mean)
    return scale * value, {"stats": stats}


def triplet(p, held, state, views, drawn, margin, mining):
    z, stats = embed_crops(views, p, state["stats"])
    return triplets.triplet(z, margin, mining)[0], {"stats": stats}


def moco(p, held, state, views, drawn, temperature, step):
    teacher = state["teacher"]
    q, stats = embed(views[:, 0], p, state["stats"])
    k, teacher_stats = embed(views[:, 1], teacher["params"], teacher["stats"])
    q, k = unit(q), unit(k)
    value, _ = contrastive.info_nce(q, k, state["queue"], temperature)
    queue = state["queue"].copy()
    start = step * len(k) % len(queue)
    queue[start : start + len(k)] = k
    teacher = {**teacher, "stats": teacher_stats}
    return value, {"stats": stats, "teacher": teacher, "queue": queue}


def _asymmetric(p, state, views):
    """Online predictions and teacher's projections of each view, and the next state."""
    teacher = state["teacher"]
    z, stats = embed_each(views, p, state["stats"])
    q, stats = predict_each(z, p, stats)
    k, teacher_stats = embed_each(views, teacher["params"], teacher["stats"])
    return q, k, {"stats": stats, "teacher": {**teacher, "stats": teacher_stats}}


def moco_v3(p, held, state, views, drawn, temperature):
    q, k, after = _asymmetric(p, state, views)
    q, k = unit(q), unit(k)
    value = sum(
        contrastive.info_nce_in_batch(q[:, v], k[:, 1 - v], temperature)[0]
        for v in range(2)
    )
    return 2 * temperature * value, after


def byol(p, held, state, views, drawn):
    q, k, after = _asymmetric(p, state, views)
    value = sum(prediction.normalized_mse(q[:, v], k[:, 1 - v])[0] for v in range(2))
    return value, after


def simsiam(p, held, state, views, drawn):
    z, stats = embed_each(views, p, state["stats"])
    q, stats = predict_each(z, p, stats)
    target, _ = embed_each(views, held, state["stats"])
    value = np.mean(
        [prediction.negative_cosine(q[:, v], target[:, 1 - v])[0] for v in range(2)]
    )
    return value, {"stats": stats}


def barlow_twins(p, held, state, views, drawn, redundancy_weight, scale):
    z, stats = embed_each(views, p, state["stats"])
    value = redundancy.barlow_twins(z, redundancy_weight)[0]
    return scale * value, {"stats": stats}


def vicreg(p, held, state, views, drawn):
    z, stats = embed_each(views, p, state["stats"])
    return redundancy.vicreg(z)[0], {"stats": stats}


def w_mse(p, held, state, views, drawn, size):
    z, stats = embed_crops(views, p, state["stats"])
    return redundancy.w_mse(z, drawn, size), {"stats": stats}


def exemplar(p, held, state, views, drawn):
    """The row of an image is its class."""
    seen = features(views["image"], p["encoder"])
    logits, stats = head("classifier", seen, p, state["stats"])
    losses = cross_entropy(logits, views["index"])
    return losses.mean(), {"stats": stats}


def npid(p, held, state, views, drawn, temperature, momentum, objective, rows):
    z, stats = embed(views["image"], p, state["stats"])
    v, index = unit(z), views["index"]
    bank = state["bank"][:rows]  # What follows fills up the devices.
    if objective == "softmax":
        value, _ = instance.softmax(v, index, bank, temperature)
        constant = state["partition"]
    else:
        own = unit(embed(views["image"], held, state["stats"])[0])
        # The constant is estimated from the first batch, and kept.
        constant = instance.partition(own, index, drawn, bank, temperature)
        value, _ = instance.nce(v, index, drawn, bank, constant, temperature)
    after = {"stats": stats, "partition": constant}
    return value, {
        **after,
        "bank": instance.remember(state["bank"], index, v, momentum),
    }


def swav(p, held, state, views, drawn, temperature, step, queue_from):
    def embedded(p):
        z, stats = embed_crops(views, p, state["stats"])
        return unit(z), unit(z) @ p["prototypes"].T, stats

    queue, (_, fixed, _) = state["queue"], embedded(held)
    codes = []
    for v in range(2):
        past = np.empty((0, fixed.shape[-1]))
        if queue is not None and step >= queue_from:
            past = queue[:, v] @ held["prototypes"].T
        codes.append(assignments.codes_with_queue(fixed[:, v], past, 0.05, 3))
    z, scores, stats = embedded(p)
    value, _ = assignments.swapped_prediction(scores, np.stack(codes, 1), temperature)
    if queue is not None:
        queue = queue.copy()
        start = step * len(z) % len(queue)
        queue[start : start + len(z)] = z
    return value, {"stats": stats, "queue": queue}


def gelu(x):
    """Half of x times 1 + erf(x / sqrt 2)."""
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x):
    """Along the last axis."""
    shares = np.exp(x - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def dino(p, held, state, views, drawn, student_temperature, teacher_temperature):
    def scores(p):
        x = features(flat(views), p["encoder"])
        layers = p["projector"]
        last = len(layers) - 1
        for i in range(last + 1):
            x = x @ layers[f"dense{i}"]["kernel"] + layers[f"dense{i}"]["bias"]
            x = gelu(x) if i < last else unit(x)
        kernel = p["prototypes"]["kernel"]
        x = x @ (kernel / np.sqrt((kernel**2).sum(0)))
        return x.reshape(*views.shape[:2], -1)

    taught, said = scores(state["teacher"]["params"]), scores(p)
    targets = softmax((taught - state["center"]) / teacher_temperature)
    logs = np.log(softmax(said / student_temperature))
    terms = [
        -np.sum(targets[b, i] * logs[b, v])
        for b in range(len(said))
        for i in range(2)
        for v in range(said.shape[1])
        if v != i
    ]
    center = 0.9 * state["center"] + 0.1 * taught.reshape(-1, taught.shape[-1]).mean(0)
    return np.mean(terms), {**state, "center": center}


def cross_entropy(logits, labels):
    """Of each row."""
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def deepcluster(p, held, state, views, drawn, rows):
    x = features(views["image"], p["encoder"])
    last = p["classifier"]["dense"]
    labels = state["labels"][views["index"]]
    losses = cross_entropy(x @ last["kernel"] + last["bias"], labels)
    sizes = np.bincount(state["labels"], minlength=len(state["sizes"]))
    weights = rows / (np.count_nonzero(sizes) * sizes[labels])
    return np.mean(weights * losses), dict(state)


def deepcluster_v2(p, held, state, views, drawn, temperature):
    crops, index = views["global"], views["index"]
    z, stats = embed_crops(crops, p, state["stats"])
    z = unit(z)
    terms = [
        cross_entropy(z[:, v] @ prototypes.T / temperature, labels[index])
        for prototypes, labels in zip(state["prototypes"], state["labels"], strict=True)
        for v in range(z.shape[1])
    ]
    banks = [bank.copy() for bank in state["banks"]]
    for v, bank in enumerate(banks):
        bank[index] = z[:, v]
    return np.mean(terms), {**state, "stats": stats, "banks": tuple(banks)}


def mean_teacher(p, held, state, views, drawn, *, weight, consistency):
    """Tarvainen & Valpola's loss; the teacher sees the second view."""
    del held, drawn

    def scores(x, params):
        dense = params["head"]["dense"]
        return features(x, params["encoder"]) @ dense["kernel"] + dense["bias"]

    images = views["image"]
    said, taught = (
        scores(images[:, 0], p),
        scores(images[:, 1], state["teacher"]["params"]),
    )
    known, _ = prediction.labelled_cross_entropy(said, views["label"])
    if consistency == "mse":
        apart, _ = prediction.probability_mse(said, taught)
    else:
        apart, _ = prediction.softened_kl(said, taught, 1.0)
    return known + weight * apart, {
        "stats": state["stats"],
        "teacher": state["teacher"],
    }

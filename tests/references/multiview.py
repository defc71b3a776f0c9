"""CMC, PIRL and LooC in float64, from the papers and released codes."""

import numpy as np

from tests.references import contrastive, instance
from tests.references.color import rgb_to_lab
from tests.references.methods import features, flat, unit


def softmax(v, index, slots, bank, temperature):
    """Cross-entropy of the own memory among it and the slots, mean over rows."""
    losses = []
    for row, i, others in zip(v, index, slots, strict=True):
        scores = np.array([row @ bank[j] for j in (i, *others)]) / temperature
        losses.append(contrastive.log_one_plus_sum_exp(scores[1:] - scores[0]))
    return np.mean(losses)


def contrast(v, index, slots, bank, z, temperature, objective):
    """Loss and the constant Z, estimated where it is 0."""
    if objective == "softmax":
        return softmax(v, index, slots, bank, temperature), z
    z = z or instance.partition(v, index, slots, bank, temperature)
    return instance.nce(v, index, slots, bank, z, temperature)[0], z


def mlp(x, p):
    """A dense layer, or two with a ReLU between."""
    for i in range(len(p)):
        x = np.maximum(x, 0) if i else x
        x = x @ p[f"dense{i}"]["kernel"] + p[f"dense{i}"]["bias"]
    return x


def cmc(p, held, state, views, drawn, objective, temperature, momentum, rows):
    """`held` are the params in which Z is estimated."""
    index = views["index"]

    def halves(p):
        lab = (rgb_to_lab(views["image"]) - [50.0, 0, 0]) / 50
        seen = {"lightness": lab[..., :1], "color": lab[..., 1:]}
        return {
            half: unit(mlp(features(x, p["encoder"][half]), p["projector"][half]))
            for half, x in seen.items()
        }

    v = halves(p)
    after = {"stats": state["stats"], "banks": {}, "partitions": {}}
    if objective == "in_batch":
        one = contrastive.info_nce_in_batch(v["lightness"], v["color"], temperature)[0]
        two = contrastive.info_nce_in_batch(v["color"], v["lightness"], temperature)[0]
        return one + two, after
    value = 0.0
    for half, other in (("lightness", "color"), ("color", "lightness")):
        bank, z = state["banks"][other][:rows], state["partitions"][half]
        if objective == "nce":
            fixed = halves(held)[half]
            z = z or instance.partition(fixed, index, drawn, bank, temperature)
        own, z = contrast(v[half], index, drawn, bank, z, temperature, objective)
        value += own
        after["partitions"][half] = z
        after["banks"][half] = instance.remember(
            state["banks"][half], index, v[half], momentum
        )
    return value, after


def pirl(
    p,
    held,
    state,
    views,
    drawn,
    pretext,
    objective,
    weight,
    temperature,
    momentum,
    rows,
):
    """`drawn` holds the slots of each term; the transformed images come first."""
    index, bank = views["index"], state["bank"][:rows]

    def embedded(p):
        v = unit(mlp(features(views["image"], p["encoder"]), p["projector"]))
        if pretext == "none":
            return [(1.0, v)]
        seen, own = views["transformed"], p["transformed_projector"]
        if pretext == "rotation":
            g = mlp(features(seen, p["encoder"]), own)
        else:
            tiles = mlp(features(flat(seen), p["encoder"]), own["tile"])
            g = mlp(tiles.reshape(len(seen), -1), own["puzzle"])
        return [(weight, unit(g)), (1 - weight, v)]

    terms, fixed = embedded(p), embedded(held)
    z = state["partition"]
    if objective == "nce":
        z = z or instance.partition(fixed[0][1], index, drawn[0], bank, temperature)
    value = 0.0
    for (share, v), slots in zip(terms, drawn, strict=True):
        value += share * contrast(v, index, slots, bank, z, temperature, objective)[0]
    bank = instance.remember(state["bank"], index, terms[-1][1], momentum)
    return value, {"stats": state["stats"], "bank": bank, "partition": z}


def spaces(x, p):
    """[n, F] -> unit embeddings of each space, a list of [n, D]."""
    own = p["projector"]
    names = [f"spaces_{i}" for i in range(len(own))]
    return [unit(mlp(features(x, p["encoder"]), own[name])) for name in names]


def looc(p, held, state, views, drawn, temperature, step):
    teacher = state["teacher"]["params"]
    q = spaces(views[:, 0], p)
    k = [spaces(views[:, 1 + j], teacher) for j in range(views.shape[1] - 1)]
    losses, queues = [], []
    for i, queue in enumerate(state["queue"]):
        rows = []
        for b, row in enumerate(q[i]):
            positive = row @ k[i][i][b]
            others = [row @ n - positive for n in queue]
            if i > 0:
                others += [
                    row @ key[i][b] - positive for j, key in enumerate(k) if j != i
                ]
            rows.append(
                contrastive.log_one_plus_sum_exp(np.array(others) / temperature)
            )
        losses.append(np.mean(rows))
        queue = queue.copy()
        start = step * len(q[i]) % len(queue)
        queue[start : start + len(q[i])] = k[i][i]
        queues.append(queue)
    after = {"stats": state["stats"], "teacher": state["teacher"]}
    return np.mean(losses), {**after, "queue": tuple(queues)}

"""Nearest neighbours and their vote, float64, one query at a time."""

import numpy as np


def unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def top_k(queries, bank, k):
    """(scores, rows) [Q, k]; equal scores in the order of the bank."""
    scores = np.asarray(queries, np.float64) @ np.asarray(bank, np.float64).T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def votes(train, train_labels, test, k, temperature, num_classes):
    """Sum of exp(s / temperature) over the k nearest of each class, [Q, C]."""
    scores, rows = top_k(unit(test), unit(train), k)
    result = np.zeros((len(test), num_classes))
    for q in range(len(test)):
        for score, row in zip(scores[q], rows[q], strict=True):
            result[q, train_labels[row]] += np.exp(score / temperature)
    return result


def few_label_nearest(train, train_labels, test, rows):
    """Label of the most similar of the train examples `rows`, [Q]."""
    _, nearest = top_k(unit(test), unit(train)[rows], 1)
    return np.asarray(train_labels)[rows][nearest[:, 0]]


def few_label_class_mean(train, train_labels, test, rows, num_classes):
    """Class whose mean unit vector has the largest cosine, [Q]."""
    labelled, labels = unit(train)[rows], np.asarray(train_labels)[rows]
    means = np.stack([labelled[labels == c].mean(0) for c in range(num_classes)])
    return np.argmax(unit(test) @ unit(means).T, axis=1)

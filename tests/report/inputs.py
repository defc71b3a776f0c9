"""Invented runs for the report's tests; none of these numbers was ever measured."""

import numpy as np

RESULTS = {
    "evaluations": [
        {
            "protocol": "knn",
            "settings": {"k": 20, "temperature": 0.1},
            "split": "test",
            "step": 600,
            "rows": [
                {"features": "trained", "accuracy": 0.9271, "std": None},
                {"features": "untrained", "accuracy": 0.4183, "std": 0.0042},
                {"features": "pixels", "accuracy": 0.3521, "std": None},
            ],
        },
        {
            "protocol": "linear",
            "settings": {"epochs": 90},
            "split": "test",
            "step": 600,
            "rows": [
                {
                    "features": "trained",
                    "accuracy": 2 / 3,
                    "std": 0.0012,
                    "detail": {"seeds": 3},
                },
                {"features": "pixels", "accuracy": 0.75, "std": None},
            ],
        },
    ],
    "skipped": [{"protocol": "few_label", "reason": "a class has < 10 labels"}],
}


def metrics(count=120):
    train = [
        {
            "kind": "train",
            "step": 5 * (i + 1),
            "epoch": (i + 1) / 10,
            "seconds": 2.5 * (i + 1),
            "loss": 6.0 - 0.02 * i,
            "learning_rate": 0.1,
            "images_per_second": 1000.0,
            "ms_per_step": 64.0,
            "data_wait": 0.02,
            "peak_memory_bytes": None,
            "mfu": None,
            "teacher_entropy": 2.0 - 0.01 * i,
        }
        for i in range(count)
    ]
    evals = [
        {"kind": "eval", "step": 50 * e, "epoch": e, "protocol": "knn", "accuracy": a}
        for e, a in ((4, 0.5), (8, 0.95), (12, 0.9))
    ]
    return train + evals


def images(rng, *shape):
    return rng.uniform(size=shape).astype(np.float32)

"""Invented runs for the report's tests; none of these numbers was ever measured."""

import numpy as np

ACCURACY = {"name": "accuracy", "unit": "%", "better": "higher"}
DEPTH = [
    {"name": "abs_rel", "unit": "", "better": "lower"},
    {"name": "rmse", "unit": "m", "better": "lower"},
]
RESULTS = {
    "evaluations": [
        {
            "protocol": "knn",
            "title": "20-NN",
            "remark": "cosine, votes exp(s / 0.1)",
            "settings": {"k": 20, "temperature": 0.1},
            "metrics": [ACCURACY],
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
            "title": "linear",
            "settings": {"epochs": 90},
            "metrics": [ACCURACY],
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
        {
            "protocol": "depth",
            "title": "depth",
            "metrics": DEPTH,
            "split": "test",
            "step": 600,
            "rows": [
                {"features": "trained", "abs_rel": 0.125, "rmse": 4.5, "std": 0.01},
                {"features": "pixels", "abs_rel": 0.5, "rmse": 4.25},
            ],
        },
    ],
    "skipped": [
        {"protocol": "few_label", "reason": "a class has < 10 labels"},
        {"protocol": "stereo", "reason": "a class has < 10 labels"},
    ],
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
            "examples_per_second": 1000.0,
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


def look(step, *found, **signs):
    """A doctor's record."""
    spaces = {
        f"{space}_{name}": value
        for space in ("representation", "embedding")
        for name, value in {
            "std": 0.5,
            "rank": 7.0,
            "directions": 3.0,
            "alignment": 0.2,
            "uniformity": -1.5,
            "dim": 16.0,
        }.items()
    }
    said = [
        {"name": n, "evidence": f"<{n}> 0.1", "cause": "why", "remedy": "do"}
        for n in found
    ]
    return {"kind": "doctor", "step": step, **spaces, **signs, "diagnoses": said}


def images(rng, *shape):
    return rng.uniform(size=shape).astype(np.float32)

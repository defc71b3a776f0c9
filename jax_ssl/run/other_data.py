"""How the data that an evaluation reads differ from those of the run's training."""

from collections.abc import Mapping
from typing import Any

from jax_ssl.checkpoint.run_folder import config_differences
from jax_ssl.evaluate.judge import Record


def carried(data: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """A sentence where data of another place are laid on the canvas of the training's.

    Args:
        data: section `data`, resolved.
        changes: keys of it that differ for the part.
    """
    elsewhere = sorted({"path", "dataset", "data_dir"} & changes.keys())
    same = changes.get("name", data["name"]) == data["name"]
    canvas = data.get("canvas")
    if not (elsewhere and same and canvas) or "canvas" in changes:
        return ""
    return (
        f"{elsewhere[0]} is its own, and its canvas is that of config.data, {canvas}; "
        "another one is named by the key canvas."
    )


def other_data(own: Mapping[str, Any], now: Mapping[str, Any]) -> Record | None:
    """How the data of an evaluation differ from the run's own; None if they do not.

    Args:
        own: resolved config of the run.
        now: that of the evaluation.

    Returns:
        {"digest", "where"}: the settings that differ, and the same in words. Those that
        change no example, such as the size of a cache, are left out.
    """
    parts = [
        {
            "data": dict(config["data"]),
            "evals": {part: config["evals"][part] for part in ("train", "test")},
        }
        for config in (own, now)
    ]
    for part in parts:
        part["data"].pop("cache_gib", None)
    lines = config_differences(*parts)
    return {"digest": lines, "where": "; ".join(lines)} if lines else None

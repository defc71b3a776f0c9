"""`jax-ssl export --to=…`: an exported encoder in the forms of other libraries."""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jax_ssl.checkpoint.export import CARD
from jax_ssl.checkpoint.names import by_name
from jax_ssl.checkpoint.run_folder import replacing, write_json_atomic
from jax_ssl.core.types import Variables
from jax_ssl.interop.out_hf import hf_parts
from jax_ssl.interop.out_onnx import onnx_model
from jax_ssl.interop.out_safetensors import write_safetensors
from jax_ssl.interop.out_state import (
    Arrays,
    Head,
    Taken,
    head_of,
    prepared,
    torch_state,
)
from jax_ssl.interop.out_timm import timm_parts
from jax_ssl.interop.out_torch import write_torch
from jax_ssl.run.model_card import model_card
from jax_ssl.run.rebuilt import rebuilt

WEIGHTS = "model.safetensors"  # In a folder.
# Endings of what libraries look for in a folder, in which no two exports may meet.
READ_BESIDE = (
    *(".json", ".safetensors", ".bin", ".pth", ".pt", ".npz", ".h5", ".msgpack"),
    *(".onnx", ".ckpt", ".index", ".py", ".jinja"),
)


def write_as(
    to: str, path: pathlib.Path, variables: Variables, card: Mapping[str, Any]
) -> None:
    """Writes an exported encoder, or classifier, in another form.

    Args:
        to: "safetensors", or out of `WRITERS`.
        path: the file, or the folder for "timm" and "hf".
        variables: that the export holds.
        card: of the export.

    Raises:
        ValueError: if that form cannot express the encoder, naming one that can.
    """
    if to == "safetensors":  # The arrays and the card of the .npz file, as they are.
        with replacing(path) as file:
            write_safetensors(file, by_name(variables), {CARD: json.dumps(card)})
    else:
        WRITERS[to](path, taken_of(str(path), variables, card), card)


def taken_of(name: str, variables: Variables, card: Mapping[str, Any]) -> Taken:
    """The encoder, and its head if it is a classifier's."""
    made = rebuilt(name, variables, card)
    head: Head | None = None
    if made.get("network") is not None:
        head = head_of(variables, made["classes"])
        own = variables.get("stats", {}).get("encoder", {})
        variables = {"params": variables["params"]["encoder"], **own}
    return Taken(made["encoder"], variables, head, card["input"])


def _torch(path: pathlib.Path, taken: Taken, card: Mapping[str, Any]) -> None:
    del card
    with replacing(path) as file:
        write_torch(file, torch_state(taken, "torch"))


def _onnx(path: pathlib.Path, taken: Taken, card: Mapping[str, Any]) -> None:
    del card
    model = onnx_model(taken, prepared(taken, taken.encoder, "onnx"))
    with replacing(path) as file:
        file.write(model)


def _timm(path: pathlib.Path, taken: Taken, card: Mapping[str, Any]) -> None:
    config, state = timm_parts(taken)
    _folder(path, "timm", {"config.json": config}, state, card)


def _hf(path: pathlib.Path, taken: Taken, card: Mapping[str, Any]) -> None:
    config, processor, state = hf_parts(taken)
    files = {"config.json": config, "preprocessor_config.json": processor}
    _folder(path, "transformers", files, state, card)


def _folder(
    path: pathlib.Path,
    library: str,
    files: Mapping[str, Mapping[str, Any]],
    state: Arrays,
    card: Mapping[str, Any],
) -> None:
    own = {*files, WEIGHTS, "README.md"}
    if path.is_dir():
        found = sorted(file.name for file in path.iterdir())
        foreign = [n for n in found if n not in own and n.endswith(READ_BESIDE)]
        if foreign:
            raise ValueError(
                f"{path} holds {', '.join(foreign)}, which a folder for {library} has "
                "not, and which would be read with the new weights; name an empty "
                "folder by --output, or take it out."
            )
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_json_atomic(path / name, content)
    with replacing(path / WEIGHTS) as file:
        write_safetensors(file, state, {"format": "pt"})
    text = model_card(library, path.name, files["config.json"], card)
    with replacing(path / "README.md") as file:
        file.write(text.encode())


WRITERS: dict[str, Callable[[pathlib.Path, Taken, Mapping[str, Any]], None]] = {
    "torch": _torch,
    "timm": _timm,
    "hf": _hf,
    "onnx": _onnx,
}
# Where an export goes unless it is told; {} is what is exported.
PLACES = {
    "npz": "{}.npz",
    "safetensors": "{}.safetensors",
    "torch": "{}.pt",
    "timm": "{}-timm",
    "hf": "{}-hf",
    "onnx": "{}.onnx",
}

"""`jax-ssl import`: an encoder that another library has trained, as a file of ours."""

import argparse
import ast
import contextlib
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jax_ssl.checkpoint.export import (
    export_encoder,
    is_exported,
    load_encoder,
    rewrite,
)
from jax_ssl.checkpoint.run_folder import write_json_atomic
from jax_ssl.interop.importing import import_weights
from jax_ssl.interop.verify import verified

log = logging.getLogger(__name__)


def import_(options: argparse.Namespace) -> int:
    """Writes the encoder of a file, with a card and a certificate beside it."""
    output = pathlib.Path(options.output or "encoder.npz")
    if output.suffix != ".npz":
        raise ValueError(f"--output={output}: an exported encoder is a .npz file.")
    if is_exported(options.file):
        return _own(options, output)
    found = import_weights(
        options.file,
        source=vars(options)["from"],
        prefix=options.prefix,
        heads=options.heads,
        chosen=dict(map(_setting, options.set or ())),
        allow_unused=options.allow_unused,
    )
    certificate = dict(found.certificate)
    if options.verify:
        certificate["verified"] = verified(found)
    card = export_encoder(output, found.variables, found.card)
    beside = output.with_suffix(".certificate.json")
    certificate["written"] = {"name": output.name, "sha256_of_arrays": card["sha256"]}
    write_json_atomic(beside, certificate)
    for note in certificate["notes"]:
        log.info(note)
    left = certificate["left_over"]
    print(
        f"{output}: {card['encoder']['name']}, {card['parameters']:,} parameters, read "
        f"as {certificate['family']} ({certificate['about']}); "
        f"{sum('ours' in line for line in certificate['mapped'].values())} arrays "
        f"mapped as they are, {len(certificate['made'])} put together, "
        f"{sum(map(len, left.values()))} left over. {beside} says which. {_fed(card)}"
    )
    if options.verify:
        print(certificate["verified"]["said"])
    return 0


def _own(options: argparse.Namespace, output: pathlib.Path) -> int:
    """Writes what `jax-ssl export` wrote once more: its card says all that is asked.

    Raises:
        ValueError: if anything is asked of it, or it would be written over itself.
    """
    given = vars(options)
    asked = [n for n in ("prefix", "heads", "set", "verify") if given[n]]
    asked += ["from"] if given["from"] != "auto" else []
    if asked:
        raise ValueError(
            f"--{asked[0]}: {options.file} has a card, as jax-ssl export and import "
            "write it, which says what the encoder is; leave the option out."
        )
    if output.exists() and output.samefile(options.file):
        raise ValueError(
            f"--output={output} is the file itself, which needs no import; name it as "
            "--encoder, or as run.init_from."
        )
    card = rewrite(output, *load_encoder(options.file))
    print(
        f"{output}: {card['encoder']['name']}, {card['parameters']:,} parameters, as "
        f"{options.file} and its card say. It needs no import: jax-ssl embed, "
        "jax-ssl predict and run.init_from read it as it is."
    )
    return 0


def _fed(card: Mapping[str, Any]) -> str:
    """How the card says that the encoder is fed: arrays alone do not tell it."""
    view = card["input"]["view"]
    scaled = "in [0, 1]"
    if view["mean"] is not None:
        scaled = f"less {_list(view['mean'])}, over {_list(view['std'])}"
    return (
        f"Images are resized to {view['resize']} pixels ({view['interpolation']}), cut "
        f"to {view['size']}, and {scaled}, as is the family's custom unless a "
        "preprocessor_config.json or a config.json of timm lies beside it."
    )


def _list(numbers: Sequence[float]) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"


def _setting(text: str) -> tuple[str, Any]:
    """Name and value of "NAME=VALUE"; a value that is no literal is a word.

    Raises:
        ValueError: if it is not of this form.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set={text}: write --set NAME=VALUE.")
    with contextlib.suppress(ValueError, SyntaxError):
        return name, ast.literal_eval(value)
    return name, value

"""Names of things in other packages, "my_package.nnclr:nnclr", and whether they fit.

Such a name stands in a config wherever a name of a table can. The module is imported,
from the folder that the command is given in or from what is installed, and what follows
the colon is called like the factories of this library.
"""

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import jax

from jax_ssl.core.method import Method
from jax_ssl.core.types import Features

# What the things of a section must have, and how it is said.
SHAPES: dict[str, tuple[tuple[str, ...], str]] = {
    "encoder": (("init", "apply"), "a linen module that returns Features"),
    "views": (("__call__",), "a function (key, example) -> views"),
    "optimizer": (("init", "update"), "an optax.GradientTransformation"),
    "data": (
        ("fields", "__len__", "__getitem__", "keep", "listed", "stored", "raw"),
        "a jax_ssl.data.source.Source",
    ),
    "method": (("encoder", "views", "init", "loss", "exports"), "a jax_ssl.Method"),
}
# Other titles under which such things are made.
SAME = {"evals.view": "views", "method.teacher": "encoder"}


def nearest(name: str, known: Iterable[str]) -> str:
    """A question such as "; did you mean 'temperature'?", or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_elsewhere(name: Any) -> bool:
    """Whether a name is that of a thing in another package."""
    return isinstance(name, str) and ":" in name


def elsewhere(name: str, title: str) -> Callable[..., Any]:
    """The factory that a name such as "my_package.nnclr:nnclr" stands for.

    Args:
        name: module and attribute.
        title: of the section, for messages.

    Raises:
        ValueError: if there is no such module or attribute, the module fails, or the
            attribute cannot be called.
    """
    module_name, _, attribute = name.partition(":")
    said = f"{title}.name = {name!r}"
    here = os.getcwd()
    if here not in sys.path:
        # Last, so that nothing installed is shadowed; and for good, since the module
        # may import others of its package later.
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except (ModuleNotFoundError, ValueError) as error:
        own = getattr(error, "name", None) or module_name
        if module_name == own or module_name.startswith(f"{own}."):
            raise ValueError(
                f"{said}: there is no module {own!r}, neither in {here} nor among what "
                "is installed; write MODULE:NAME, and run the command where the module "
                "is found."
            ) from error
        raise ValueError(
            f"{said}: the module imports {own!r}, which is not installed."
        ) from error
    except Exception as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")
        raise ValueError(
            f"{said}: the module fails: {type(error).__name__}: {first}."
        ) from error
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(
                f"{said}: {module_name} has no {attribute!r}"
                f"{nearest(part, dir(found)) or '.'}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(
            f"{said} is of type {type(found).__name__}; it must be a function or class "
            "that makes what the section names."
        )
    return found


def check_made(title: str, name: str, made: Any) -> None:
    """Refuses what a factory elsewhere has made, if it is not what the section needs.

    Raises:
        ValueError: naming what it is and what it must be.
    """
    section = title.removeprefix("config.")
    section = SAME.get(section, section)
    if section not in SHAPES:
        return
    wanted, words = SHAPES[section]
    lacking = [each for each in wanted if not hasattr(made, each)]
    if section == "method" and not isinstance(made, Method):
        lacking = lacking or ["Method"]
    if lacking:
        raise ValueError(
            f"{title}.name = {name!r} makes something of type {type(made).__name__}, "
            f"without {lacking[0]}; it must make {words}."
        )
    if section == "method" and "encoder" not in made.exports:
        raise ValueError(
            f"{title}.name = {name!r}: its exports are {sorted(made.exports)}; they "
            "must have 'encoder', the variables that evaluation reads."
        )


def check_features(name: str, encoder: Any, seen: jax.ShapeDtypeStruct) -> None:
    """Refuses an encoder from elsewhere that returns no `Features` of an image.

    What cannot be traced on what the evaluation's view makes is left to those who read
    it in another way.

    Args:
        name: of the encoder.
        encoder: the module.
        seen: what it reads of one example in evaluation.

    Raises:
        ValueError: naming what it returns.
    """
    x = jax.ShapeDtypeStruct((2, *seen.shape), seen.dtype)

    def both(key: jax.Array, x: jax.Array) -> Any:
        return encoder.apply(encoder.init(key, x, train=False), x, train=False)

    said = f"config.encoder.name = {name!r}"
    try:
        found = jax.eval_shape(both, jax.random.key(0), x)
    except TypeError as error:
        if "train" not in str(error):
            return
        raise ValueError(
            f"{said}: its __call__ does not take the keyword 'train'; it must be "
            "__call__(self, x, *, train)."
        ) from error
    except Exception:  # Of any type; whoever reads it says more.
        return
    if not isinstance(found, Features):
        raise ValueError(
            f"{said} returns {_words(found)} for {x.shape[0]} images; it must return "
            "jax_ssl.core.types.Features(pooled=[B, D], grid=[B, ..., D])."
        )
    if len(found.pooled.shape) != 2 or found.pooled.shape[0] != 2:
        raise ValueError(
            f"{said} returns Features whose pooled is {list(found.pooled.shape)} for "
            "2 images; it must be [2, D]."
        )


def _words(found: Any) -> str:
    if hasattr(found, "shape"):
        return f"an array {list(found.shape)}"
    return f"a {type(found).__name__}"

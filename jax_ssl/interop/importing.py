"""From a file of another library to our encoder, its card and a certificate."""

import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jax_ssl.core.types import Variables
from jax_ssl.interop.claims import DEPTHS
from jax_ssl.interop.families import BESIDE, FAMILIES, HEADS
from jax_ssl.interop.files import Weights, read_weights, sha256
from jax_ssl.interop.layouts import Layout
from jax_ssl.interop.names import TABLES, axes_to_ours, to_ours
from jax_ssl.interop.settings import (
    card_input,
    channels_of,
    module_of,
    resnet_of,
    settings_of,
    vit_of,
)

OURS = ("params/", "batch_stats/", "head/")  # As export --to=safetensors names them.


class Imported(NamedTuple):
    """An encoder that another library has trained.

    Attributes:
        encoder: our module.
        variables: of it, float32.
        card: "encoder", "method", "step", "input" and "imported", for
            `checkpoint.export`.
        certificate: which arrays of the file became which of ours, what was left over
            and why, and the files' SHA-256.
        weights: the file, as it was read.
    """

    encoder: Any
    variables: Variables
    card: dict[str, Any]
    certificate: dict[str, Any]
    weights: Weights


# Words in names of torch.compile, of checkpointed layers and of FSDP.
WRAPPERS = r"(^|\.)(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)(?=\.)"


class Found(NamedTuple):
    """A place in a file at which a family's names lie."""

    family: str
    layout: Layout
    prefix: str


def import_weights(
    path: str | pathlib.Path,
    *,
    source: str = "auto",
    prefix: str | None = None,
    heads: int | None = None,
    chosen: Mapping[str, Any] | None = None,
    allow_unused: bool = False,
) -> Imported:
    """Reads weights and says in our names what they are.

    Args:
        path: a file, or a folder as of the Hugging Face hub's.
        source: a key of `FAMILIES`, or "auto", which tells it from the names.
        prefix: of the names that are read, if there are several networks.
        heads: attention heads, where the width does not tell.
        chosen: settings of our encoder that no shape tells, such as "activation".
        allow_unused: whether names may be left over that no head is known by.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not read, holds no network of ours, or more than that.
    """
    chosen = dict(chosen or {})
    weights = read_weights(path)
    weights = weights._replace(arrays=unwrapped(path, weights.arrays))
    found = locate(weights, path, source, prefix)
    family = FAMILIES[found.family]
    raw = {
        name.removeprefix(found.prefix): lazy
        for name, lazy in weights.arrays.items()
        if name.startswith(found.prefix)
    }
    dropped = [re.compile(p) for p in (*family.heads, *HEADS)]
    known = {name for name in raw if any(p.search(name) for p in dropped)}
    # Outside of what follows, for damage is no sign of another family.
    if whole := [n for n in raw if n not in known and raw[n].dtype.kind not in "fV"]:
        name = whole[0]
        raise ValueError(
            f"{path}: {found.prefix}{name} is of {raw[name].dtype}, and weights are of "
            "floating point; make it float32 again by the library that quantized it."
        )
    arrays = {n: raw[n].load().astype(np.float32) for n in raw if n not in known}
    try:
        arrays, renamed = found.layout.read(arrays)
        if found.layout.network == "resnet":
            name, settings = resnet_of(arrays, weights.config, chosen)
        else:
            # Kernels of big_vision have an axis of heads.
            apart = [
                lazy.shape for n, lazy in raw.items() if n.endswith("query.kernel")
            ]
            heads = heads or (apart[0][-2] if apart else None)
            told = found.family, heads, weights.config, chosen, family.has
            name, settings = vit_of(arrays, *told)
        settings = {**_defaults(found, settings), **settings, **chosen}
        encoder = module_of(found.layout.network, settings)
        ours, unused = _translated(arrays, found.layout.network)
        channels = channels_of(arrays)
        size = family.input.size or settings.get("image_size", 224)
        if found.layout.network == "resnet" and settings["stem"] == "small":
            size = 32
        beside = weights.preprocessor or weights.config.get("pretrained_cfg") or {}
        fed = card_input(family, size, channels, beside)
        _check(encoder, ours, fed["shape"])
    except (KeyError, ValueError, IndexError, TypeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path}, read as {found.family} ({family.about}): {said.rstrip('.')}. "
            f"{_others(found.family, found.layout)}"
        ) from error
    if bad := [name for name, array in ours.items() if not np.isfinite(array).all()]:
        raise ValueError(
            f"{path}: {len(bad)} arrays, such as {bad[0]}, hold numbers that are not "
            "finite in float32; the run diverged, or the file is damaged."
        )
    left = _left_over(weights, found, known, unused, renamed)
    if left["unknown"] and not allow_unused:
        listed = "\n  ".join(left["unknown"][:20])
        raise ValueError(
            f"{path}, read as {found.family}, holds {len(left['unknown'])} arrays that "
            f"are no part of the encoder and no head known here:\n  {listed}\nIf its "
            "features do not need them, import it with --allow_unused."
        )
    files = [
        {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in weights.files
    ]
    encoder_section = {"name": name, **settings_of(encoder)}
    origin = {"family": found.family, "prefix": found.prefix, "files": files}
    card = {
        "encoder": encoder_section,
        "method": {"name": found.family},
        "step": None,
        "input": fed,
        "imported": origin,
    }
    certificate = {
        **origin,
        "about": family.about,
        "kind": weights.kind,
        "encoder": encoder_section,
        "mapped": _mapped(raw, known, found, renamed, ours),
        "made": _made(ours, renamed, found.layout.network),
        "left_over": left,
        "notes": _notes(found, raw, settings),
    }
    return Imported(encoder, unflatten_dict(ours, sep="/"), card, certificate, weights)


def unwrapped(path: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by names without words that only say how a network was run.

    Raises:
        ValueError: if two names become the same one.
    """
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        new = re.sub(WRAPPERS, "", name).removeprefix(".")
        if new in found:
            raise ValueError(
                f"{path} holds {new} twice, wrapped ({name}) and not; keep one of the "
                "two."
            )
        found[new] = array
    return found


def locate(weights: Weights, path: Any, source: str, prefix: str | None) -> Found:
    """The family of a file, and where in it the names lie.

    Raises:
        ValueError: if there is none, or several of which none is the better one.
    """
    if source != "auto" and source not in FAMILIES:
        raise ValueError(
            f"--from={source} is no source known here; choose auto, "
            f"{', '.join(FAMILIES)}."
        )
    names = weights.arrays
    if not any(weights.arrays):
        raise ValueError(f"{path} holds no arrays by name; save a state_dict().")
    told = [
        f"{key}={weights.config.get(key)}" for key in ("model_type", "architecture")
    ]
    for name in FAMILIES if source == "auto" else [source]:
        family = FAMILIES[name]
        if source == "auto" and family.marks:
            marks = [re.compile(mark) for mark in family.marks]
            if not any(mark.search(n) for n in (*names, *told) for mark in marks):
                continue
        for layout in family.layouts:
            places = prefixes(names, layout.anchors)
            if prefix is not None:
                places = [place for place in places if place == prefix]
            if places:
                return Found(name, layout, _best(path, places, family.prefer))
    if all(name.startswith(OURS) for name in names):
        raise ValueError(
            f"{path} is written under our own names, as by jax-ssl export. Where its "
            "metadata hold a card, jax_ssl.load and run.init_from read it; where they "
            "were lost, jax-ssl export --to=safetensors writes it anew."
        )
    shown = "\n  ".join(list(names)[:12])
    near = _nearly(names, [f for f in FAMILIES if source in ("auto", f)])
    asked = "" if prefix is None else f" behind the prefix {prefix!r}"
    asked += "" if source == "auto" else f" as {source}"
    raise ValueError(
        f"{path} holds no network that is known here{asked}.{near} Known are "
        f"{', '.join(FAMILIES)}. Its names begin so:\n  {shown}"
    )


def _nearly(names: Any, families: Sequence[str]) -> str:
    """Of a network that lacks what its names are told by, what that is."""
    for family in families:
        for layout in FAMILIES[family].layouts:
            for anchor in layout.anchors:
                for start in prefixes(names, [anchor]):
                    lost = [a for a in layout.anchors if start + a not in names]
                    if lost and len(lost) <= len(layout.anchors) / 2:
                        return (
                            f" It has {start}{anchor}, as {family} has "
                            f"({FAMILIES[family].about}), and no {start}{lost[0]}."
                        )
    return ""


def prefixes(names: Any, anchors: Sequence[str]) -> list[str]:
    """Prefixes behind which all anchors are names."""
    first = anchors[0]
    ends = [name for name in names if name == first or name.endswith(f".{first}")]
    starts = [name[: len(name) - len(first)] for name in ends]
    return [s for s in starts if all(s + anchor in names for anchor in anchors)]


def _best(path: Any, places: Sequence[str], prefer: Sequence[str]) -> str:
    """One of several prefixes.

    Raises:
        ValueError: naming them, if none is preferred.
    """
    for pattern in (*prefer, r"(ema|teacher|target)\.", r"^$"):
        chosen = [place for place in places if re.search(pattern, place)]
        if len(chosen) == 1:
            return chosen[0]
    if len(places) == 1:
        return places[0]
    raise ValueError(
        f"{path} holds several networks, behind the prefixes "
        f"{', '.join(map(repr, places))}; choose one by --prefix."
    )


def _defaults(found: Found, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the family, as far as the shapes have not told others."""
    chosen = dict(FAMILIES[found.family].settings)
    if found.layout.network == "vit":
        if settings["registers"] and chosen.get("positions") != "rope":
            # DINOv2's networks with registers widen the kernel and have no offset.
            chosen["resample"] = "timm"
        if chosen.get("positions") == "rope":
            chosen["image_size"] = 16 * settings["patch"]
    return chosen


def _translated(
    arrays: dict[str, np.ndarray], network: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays by our names, and the names that the table lacks."""
    ours, unused = {}, []
    for name, array in arrays.items():
        new = to_ours(name, TABLES[network])
        if new is None:
            unused.append(name)
            continue
        try:
            ours[new[0]] = np.ascontiguousarray(axes_to_ours(array, new[1]))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return ours, unused


def _check(encoder: Any, ours: dict[str, np.ndarray], shape: Sequence[int]) -> None:
    """Refuses arrays that are not all of the encoder's, and those alone."""
    init = functools.partial(encoder.init, train=False)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    wanted = flatten_dict(jax.eval_shape(init, jax.random.key(0), x), sep="/")
    lines = [f"{name} is missing" for name in sorted(wanted.keys() - ours.keys())]
    lines += [f"{name} is too much" for name in sorted(ours.keys() - wanted.keys())]
    lines += [
        f"{name} has the shape {list(ours[name].shape)}, not {list(wanted[name].shape)}"
        for name in sorted(ours.keys() & wanted.keys())
        if ours[name].shape != wanted[name].shape
    ]
    if lines:
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise ValueError(
            f"in our names, {'; '.join(lines[:5])}{more}; it is another network, or "
            "not all of it"
        )


def _left_over(
    weights: Weights,
    found: Found,
    known: set[str],
    unused: Sequence[str],
    renamed: dict[str, str],
) -> dict[str, list[str]]:
    """Names that did not become ours: known heads, what is beside, and the rest."""
    back = {new: old for old, new in renamed.items()}
    unknown = [found.prefix + back.get(name, name) for name in unused]
    beside = [name for name in weights.arrays if not name.startswith(found.prefix)]
    patterns = [re.compile(p) for p in (*BESIDE, *FAMILIES[found.family].heads, *HEADS)]
    copies = prefixes(weights.arrays, found.layout.anchors)
    other = [name for name in copies if name != found.prefix]
    for name in beside:
        if not (name.startswith(tuple(other)) or any(p.search(name) for p in patterns)):
            unknown.append(name)
    heads = sorted(found.prefix + name for name in known)
    rest = sorted(set(beside) - set(unknown))
    return {"heads": heads, "beside": rest, "unknown": sorted(unknown)}


def _mapped(
    raw: dict[str, Any],
    known: set[str],
    found: Found,
    renamed: dict[str, str],
    ours: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Of each array of ours what it is made of, and its shape there and here."""
    lines = {}
    for old in raw:
        if old in known:
            continue
        new = to_ours(renamed.get(old, old), TABLES[found.layout.network])
        name = new[0] if new is not None and new[0] in ours else None
        lines[found.prefix + old] = {
            "shape": str(list(raw[old].shape)),
            "dtype": raw[old].dtype.name,
            **(
                {} if name is None else {"ours": name, "here": str([*ours[name].shape])}
            ),
        }
    return lines


def _made(
    ours: dict[str, np.ndarray], renamed: dict[str, str], network: str
) -> list[str]:
    """Arrays of ours that were put together of several of the file's, or of none."""
    straight = {to_ours(new, TABLES[network]) for new in renamed.values()}
    return sorted(ours.keys() - {pair[0] for pair in straight if pair is not None})


def _notes(found: Found, raw: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    notes = []
    if found.layout.network == "vit" and settings["dim"] not in DEPTHS:
        notes.append(
            f"{settings['depth']} blocks were counted; no published network is "
            f"{settings['dim']} wide, so that nothing else says how many there are. "
            "--set depth=N refuses another number."
        )
    if found.family == "timm":
        notes.append(
            "Names like timm's are also DINO's and MAE's; --from=dino or mae sets how "
            "positions are interpolated for images of another size."
        )
    if "rope_embed.periods" in raw:
        periods = raw["rope_embed.periods"].load().astype(np.float32)
        exponents = np.arange(len(periods)) / len(periods)
        ours = settings.get("rope_base", 100.0) ** exponents
        off = float(np.abs(periods / ours - 1).max())
        notes.append(
            f"The periods of the file differ from the formula's, which are used, by up "
            f"to {off:.1e} of their value; it keeps them in bfloat16."
        )
    return notes


def _others(family: str, layout: Layout) -> str:
    likely = [
        name
        for name, other in FAMILIES.items()
        if name != family and layout in other.layouts
    ]
    return f"Of the same names are {', '.join(likely)}: --from=…." if likely else ""

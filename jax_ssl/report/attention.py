"""The picture of a ViT's attention: what each head looks at, and what it cuts out."""

import numpy as np

from jax_ssl.report.inputs import Attention
from jax_ssl.report.pictures import MAX_ROWS, Canvas, Grid, tile

MAX_HEADS = 6
DIMMED = np.float32(0.15)  # Of the light of an image outside of what is kept.

# Dark, violet, red, orange, light: even steps of lightness, also in grey.
_COLORS = np.array(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]],
    np.float32,
)


def attention_grid(found: Attention) -> Grid | None:
    """A row for each image: itself, what is kept of the mean, and the heads' maps."""
    rows, heads = min(len(found.images), MAX_ROWS), found.maps.shape[1]
    if not rows or not heads:
        return None
    shown = min(heads, MAX_HEADS)
    canvas = Canvas(rows, 2 + shown, head=34, foot=0, breaks=(1, 2))
    for c, head in enumerate(
        (
            "image",
            f"{100 * found.mass:.0f} % kept",
            *(f"head {i + 1}" for i in range(shown)),
        )
    ):
        canvas.write(-1, c, head)
    for r in range(rows):
        image = np.asarray(found.images[r], np.float32)
        kept = _as_pixels(found.kept[r].astype(np.float32), image) > 0.5
        canvas.place(r, 0, tile(image))
        canvas.place(r, 1, tile(np.where(kept, image, DIMMED * image)))
        for i in range(shown):
            heat = _colored(_as_pixels(found.maps[r, i], image)[..., 0])
            canvas.place(r, 2 + i, tile(heat))
    said = (
        "Attention of the class token in the last block, a square for each patch; each "
        "map goes from its least to its largest. Bright in the second column: the "
        f"fewest patches that hold {100 * found.mass:.0f} % of the mean over all heads."
    )
    if shown < heads:
        said += f" The first {shown} of {heads} heads are shown."
    return Grid(canvas.png(), said)


def _as_pixels(patches: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Patches [h, w] as squares of pixels of the image, [H, W, 1]."""
    factor = image.shape[0] // patches.shape[0]
    return patches.repeat(factor, axis=0).repeat(factor, axis=1)[..., None]


def _colored(values: np.ndarray) -> np.ndarray:
    """[H, W] stretched from its least to its largest, in colours [H, W, 3] uint8."""
    span = values.max() - values.min()
    place = (values - values.min()) / (span if span > 0 else 1) * (len(_COLORS) - 1)
    stops = np.arange(len(_COLORS))
    channels = [np.interp(place, stops, _COLORS[:, c]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)

"""The picture of masked autoencoding: what the encoder saw, and what became of it."""

import numpy as np

from jax_ssl.report.inputs import Reconstructions
from jax_ssl.report.pictures import MAX_ROWS, Canvas, Grid, tile

HIDDEN = np.float32(0.55)  # The grey of what the encoder did not see.


def reconstruction_grid(found: Reconstructions) -> Grid | None:
    """A row for each image; for each share what is visible, predicted and pasted."""
    rows = min(len(found.images), MAX_ROWS)
    if not rows or not found.filled:
        return None
    firsts = [1 + 3 * i for i in range(len(found.filled))]
    canvas = Canvas(rows, 1 + 3 * len(firsts), head=66, foot=0, breaks=firsts)
    canvas.write(-1, 0, "original")
    for r in range(rows):
        canvas.place(r, 0, tile(found.images[r]))
    for first, (share, (mask, prediction)) in zip(
        firsts, found.filled.items(), strict=True
    ):
        visible = np.where(mask, HIDDEN, found.images)
        pasted = np.where(mask, prediction, found.images)
        canvas.title(first, first + 2, f"{100 * share:.0f} % hidden")
        for c, (head, column) in enumerate(
            (("visible", visible), ("predicted", prediction), ("pasted", pasted))
        ):
            canvas.write(-1, first + c, head)
            for r in range(rows):
                canvas.place(r, first + c, tile(column[r]))
    said = (
        f"Trained with {100 * found.trained_at:.0f} % of the patches hidden. Pasted: "
        "the visible patches as they are, the prediction elsewhere."
    )
    if found.norm_pix:
        said += (
            " The model predicts standardized patches, so each is shown with the mean "
            "and the standard deviation of the true one, which the model did not know: "
            "look at shapes, and not at brightness."
        )
    return Grid(canvas.png(), said)

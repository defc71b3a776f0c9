"""How far the pixels of a picture are from the borders of its cells, on the host."""

import numpy as np

REACH = 32.0  # Pixels; U-Net's weights end far before.


def border_distances(cells: np.ndarray, *, reach: float = REACH) -> np.ndarray:
    """d1 + d2 of U-Net (Ronneberger et al., 2015, arXiv:1505.04597), equation 2.

    The distance to a cell's border is that from the centre of the pixel to the nearest
    centre of a pixel of the cell, and inside of the cell to the nearest outside of it.

    Args:
        cells: [H, W] integers: 0 for no cell, and a number of its own for each cell,
            such as `scipy.ndimage.label` gives.
        reach: what is farther counts as so far; where there are fewer than two cells
            near, it stands for the missing ones.

    Returns:
        [H, W] float32 in pixels, at most 2 reach. `losses.segmentation.border_weights`
        makes weights of it.
    """
    from scipy import ndimage  # type: ignore[import-untyped]

    nearest = np.full((2, *cells.shape), reach)
    spare = int(np.ceil(reach))
    for number, box in enumerate(ndimage.find_objects(cells), start=1):
        if box is None:
            continue
        # Beyond its neighbourhood a cell changes nothing.
        near = tuple(
            slice(max(0, side.start - spare), side.stop + spare) for side in box
        )
        cell = cells[near] == number
        outside, inside = (
            ndimage.distance_transform_edt(part) if part.any() else 0
            for part in (~cell, cell)
        )
        # Where the cell fills all there is, it has no border.
        away = np.where(cell, inside if not cell.all() else reach, outside)
        first, second = nearest[:, near[0], near[1]]
        away = np.minimum(away, reach)
        nearest[:, near[0], near[1]] = np.sort([first, second, away], axis=0)[:2]
    return nearest.sum(0).astype(np.float32)

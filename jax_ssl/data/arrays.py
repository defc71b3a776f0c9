"""Sources that lie in host memory: arrays and .npz files."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jax_ssl.data.source import Rows, Spec, check_rows, example_spec


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images and labels in memory; made by `arrays`, which checks them."""

    name: str
    images: np.ndarray  # [N, H, W, C] uint8
    labels: np.ndarray | None = None  # [N] int32
    sizes: np.ndarray | None = None  # [N, 2] int32
    label_names: tuple[str, ...] | None = None

    @cached_property
    def spec(self) -> Spec:  # noqa: D102
        height, width, channels = self.images.shape[1:]
        return example_spec(
            (height, width, channels),
            labelled=self.labels is not None,
            sized=self.sizes is not None,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> Rows:
        rows = check_rows(rows, len(self), self.name)
        out = {"image": self.images[rows], "index": rows.astype(np.int32)}
        if self.labels is not None:
            out["label"] = self.labels[rows]
        if self.sizes is not None:
            out["size"] = self.sizes[rows]
        return out


def arrays(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    label_names: Sequence[str] | None = None,
    name: str = "arrays",
) -> Arrays:
    """A source from arrays in memory.

    Args:
        images: [N, H, W] or [N, H, W, C] uint8, C being 1 or 3.
        labels: [N] or [N, 1] integers from 0, or None where there are none.
        label_names: the classes in label order.
        name: what messages call it.

    Raises:
        ValueError: if shapes or dtypes differ from these; the message says how to
            convert.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"{name}: images of shape {images.shape} are not [N, H, W, C] with N >= 1 "
            "and 1 or 3 channels in the last axis; transpose channels-first arrays."
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"{name}: images are {images.dtype} in [{images.min():.4g}, "
            f"{images.max():.4g}]; store them as uint8 in [0, 255]."
        )
    if labels is not None:
        labels = _check_labels(np.asarray(labels), len(images), name)
        if label_names is not None and labels.max() >= len(label_names):
            raise ValueError(
                f"{name}: label {labels.max()} has no name among the "
                f"{len(label_names)} label_names."
            )
    names = None if label_names is None else tuple(map(str, label_names))
    return Arrays(name, images, labels, label_names=names)


def _check_labels(labels: np.ndarray, num_examples: int, name: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (num_examples,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: labels are {labels.dtype} of shape {labels.shape}; expected "
            f"integers of shape ({num_examples},), one for each image."
        )
    if labels.min() < 0:
        raise ValueError(f"{name}: label {labels.min()} is negative; count from 0.")
    return labels.astype(np.int32)


def npz(*, path: str, split: str = "") -> Arrays:
    """A source from an .npz archive.

    Without a split the images are the key image, images, x or X, the labels (optional)
    label, labels, y or Y. With a split, say "train", each of these words is looked for
    as x_train and as train_x.

    Args:
        path: the file.
        split: the part of the file, "" for a file that holds one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if no key fits, listing the keys present; or what `arrays` refuses.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"data.path = {path!r} is not a file.")
    with np.load(path, allow_pickle=False) as archive:
        image_key = _find_key(archive.files, ("image", "images", "x", "X"), split)
        label_key = _find_key(archive.files, ("label", "labels", "y", "Y"), split)
        if image_key is None:
            wanted = f"x_{split} or {split}_images" if split else "images or x"
            raise ValueError(
                f"{path} holds no images for data.split = {split!r}: looked for keys "
                f"like {wanted}; the keys present are {sorted(archive.files)}."
            )
        images = archive[image_key]
        labels = None if label_key is None else archive[label_key]
    name = os.path.basename(path) + (f" {split}" if split else "")
    return arrays(images, labels, name=name)


def _find_key(keys: Iterable[str], words: Sequence[str], split: str) -> str | None:
    present = set(keys)
    for word in words:
        for key in (f"{word}_{split}", f"{split}_{word}") if split else (word,):
            if key in present:
                return key
    return None

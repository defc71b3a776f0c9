"""An exported encoder, ready for images: `jax_ssl.load`."""

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.checkpoint.run_folder import CONFIG, read_config
from jax_ssl.config.experiment import naming
from jax_ssl.core import checks
from jax_ssl.core.compiling import jit
from jax_ssl.core.fields import Fields, read_by
from jax_ssl.core.method import ViewFn, encoder_input
from jax_ssl.core.types import Array, Batch, Features, Variables
from jax_ssl.data.given import Frame, Given
from jax_ssl.nn.network import Copy, Network
from jax_ssl.parallel.mesh import make_mesh, replicated, row_sharding
from jax_ssl.parallel.rows import map_examples
from jax_ssl.run.rebuilt import BYTE, rebuilt

Outputs = dict[str, np.ndarray]


def load(path: str | os.PathLike[str]) -> "Loaded":
    """Makes an exported encoder, or classifier, ready for images.

    Args:
        path: a file that `jax-ssl export` or `jax-ssl import` wrote, or the folder of
            a finished run, whose export/encoder.npz is taken.

    Raises:
        FileNotFoundError: if there is no such file, or the run has exported nothing.
        ValueError: if it is no exported encoder, or one that does not read images.
    """
    file = exported(path, "encoder")
    variables, card = load_encoder(file)
    with naming(f"{file}: encoder"):
        return Loaded(**rebuilt(str(file), variables, card))


def exported(path: str | os.PathLike[str], what: str) -> pathlib.Path:
    """The file itself, or what a run's folder holds under export/.

    Raises:
        FileNotFoundError: if the run has exported nothing of that name.
    """
    found = pathlib.Path(path).expanduser()
    if not found.is_dir():
        return found
    file = found / "export" / f"{what}.npz"
    if not (found / CONFIG).is_file():
        raise FileNotFoundError(
            f"{found} is a folder and holds no run (no {CONFIG}); name a run's folder, "
            "or a file that jax-ssl export wrote."
        )
    if not file.is_file():
        read_config(found, "restore it")  # A folder of another library has one too.
        raise FileNotFoundError(
            f"{found} holds no export/{what}.npz, which is written when training ends "
            f"if the method has such a part; jax-ssl export --workdir={found} "
            f"--what={what} writes that of the last checkpoint."
        )
    return file


@dataclass(frozen=True, eq=False)
class Loaded:
    """An encoder with its variables and the preprocessing of its card.

    Images are paths, pictures of Pillow, or arrays [H, W, C] uint8, of any size; they
    go through the view that the run was evaluated with. A program is compiled once for
    each size of batch: full ones, and for fewer images the next power of two.

    Attributes:
        name: of the file.
        card: what the file says of itself, see `checkpoint.export`.
        variables: of the encoder; of a classifier {"params": by part, "stats": by
            part}.
        encoder: the linen module.
        classes: names of the classes of a classifier; () for an encoder alone.
        frame: how images become arrays of one shape.
        fields: of the examples that the view reads.
        view: example -> what the encoder reads.
        network: encoder and head of a classifier; None for an encoder alone.
    """

    name: str
    card: Mapping[str, Any] = field(repr=False)
    variables: Variables = field(repr=False)
    encoder: Any
    frame: Frame
    fields: Fields
    view: ViewFn
    network: Network | None = None
    classes: tuple[str, ...] = ()

    def __call__(self, images: Any, *, batch_size: int = 64) -> np.ndarray:
        """Vectors of images, [N, D] float32, in their order.

        Args:
            images: a list of paths, pictures or arrays; or one of them.
            batch_size: images that the encoder sees at a time.

        Raises:
            ValueError: if one of them cannot be read, naming it.
        """
        return self._whole(images, ("pooled",), batch_size)["pooled"]

    def features(self, images: Any, *, batch_size: int = 64) -> Features:
        """Vectors [N, D] and grids [N, h, w, C] of images, both float32 arrays.

        Args:
            images: as for a call.
            batch_size: as for a call.
        """
        found: dict[str, Any] = self._whole(images, ("pooled", "grid"), batch_size)
        return Features(**found)

    def probabilities(self, images: Any, *, batch_size: int = 64) -> np.ndarray:
        """Probabilities of the classes, [N, K] float32; `classes` names them.

        Args:
            images: as for a call.
            batch_size: as for a call.

        Raises:
            ValueError: if the file holds an encoder without a head.
        """
        return self._whole(images, ("probabilities",), batch_size)["probabilities"]

    def check_head(self) -> None:
        """Refuses an encoder without a head, which names no classes.

        Raises:
            ValueError: saying what has one.
        """
        if self.network is None:
            raise ValueError(
                f"{self.name} holds an encoder without a head, which names no classes; "
                "jax-ssl export --what=classifier writes one with its head, of a run "
                "of the method classifier."
            )

    def stream(
        self,
        images: Sequence[Given],
        wanted: tuple[str, ...] = ("pooled",),
        *,
        batch_size: int = 64,
        broken: dict[int, str] | None = None,
    ) -> Iterator[tuple[list[int], Outputs]]:
        """Outputs batch by batch; images are read ahead by several threads.

        Args:
            images: of any number.
            wanted: out of "pooled", "grid" and "probabilities".
            batch_size: images that the encoder sees at a time.
            broken: receives what is wrong with images that cannot be read, by their
                number, and these are left out; None: the first one is an error.

        Yields:
            Numbers of the images, and their outputs.
        """
        checks.at_least(1, batch_size=batch_size)
        if "probabilities" in wanted:
            self.check_head()
        shards = self._mesh.size
        size = -(-min(batch_size, _power(len(images))) // shards) * shards

        def read(image: Given) -> dict[str, np.ndarray] | Exception:
            try:
                return self._example(image)
            except (MemoryError, ImportError):
                raise
            except Exception as error:  # Decoders fail in every way on broken files.
                return error

        with ThreadPoolExecutor() as pool:
            ahead: list[Any] = []
            waiting = iter(enumerate(images))
            batch: list[tuple[int, dict[str, np.ndarray]]] = []
            while True:
                # No more than two batches of decoded images wait at any time.
                for i, image in itertools.islice(waiting, 2 * size - len(ahead)):
                    ahead.append((i, pool.submit(read, image)))
                while ahead and len(batch) < size:
                    i, future = ahead.pop(0)
                    found = future.result()
                    if not isinstance(found, Exception):
                        batch.append((i, found))
                    elif broken is None:
                        raise ValueError(f"{_named(images[i], i)}: {_said(found)}")
                    else:
                        broken[i] = _said(found)
                if len(batch) == size or (batch and not ahead):
                    rows, examples = zip(*batch, strict=True)
                    yield list(rows), self._run(examples, wanted, size)
                    batch = []
                elif not ahead and not batch:
                    return

    def _whole(self, images: Any, wanted: tuple[str, ...], batch_size: int) -> Outputs:
        alone = isinstance(images, str | os.PathLike | Image.Image) or (
            isinstance(images, np.ndarray) and images.ndim < 4
        )
        images = [images] if alone else list(images)
        if not images:
            raise ValueError("there are no images: the list is empty.")
        parts = [
            found for _, found in self.stream(images, wanted, batch_size=batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def _example(self, image: Given) -> dict[str, np.ndarray]:
        """What the view reads of an image."""
        pixels, full = self.frame.read(image)
        field = self.fields["image"]
        if pixels.shape[-1] != field.shape[-1]:
            raise ValueError(
                f"it has {pixels.shape[-1]} channels, and the encoder reads "
                f"{field.shape[-1]}."
            )
        laid = np.zeros(field.shape, BYTE)
        laid[: pixels.shape[0], : pixels.shape[1]] = pixels
        if field.dtype != BYTE:
            laid = laid.astype(field.dtype) / field.dtype.type(255)
        size = np.array(pixels.shape[:2], np.int32)
        found: dict[str, Any] = {"image": laid, "size": size, "index": np.int32(0)}
        found["scale"] = np.divide(size, full).astype(np.float32)
        return {name: found[name] for name in self._read}

    @functools.cached_property
    def reads(self) -> tuple[int, ...]:
        """Shape of what the encoder reads of an image, [H, W, C] for most."""

        def seen(batch: Batch) -> Array:
            return encoder_input(map_examples(self.view, jax.random.key(0), batch))

        fields = {name: self.fields[name] for name in self._read}
        batch = {
            name: jax.ShapeDtypeStruct((1, *field.shape), field.dtype)
            for name, field in fields.items()
        }
        return tuple(jax.eval_shape(seen, batch).shape[1:])

    def _run(
        self, examples: Sequence[Mapping[str, Any]], wanted: tuple[str, ...], size: int
    ) -> Outputs:
        count = len(examples)
        padded = [examples[min(i, count - 1)] for i in range(size)]
        batch = {name: np.stack([x[name] for x in padded]) for name in self._read}
        with jax.set_mesh(self._mesh):
            there = jax.device_put(batch, row_sharding(self._mesh))
            found = self._program(wanted)(self._placed, there)
        return {name: np.asarray(value)[:count] for name, value in found.items()}

    @functools.cached_property
    def _mesh(self) -> Any:
        return make_mesh(devices=jax.local_devices())

    @functools.cached_property
    def _placed(self) -> Variables:
        return jax.device_put(self.variables, replicated(self._mesh))

    @functools.cached_property
    def _read(self) -> tuple[str, ...]:
        return read_by(self.view, self.fields)

    @functools.cached_property
    def _program(self) -> Callable[[tuple[str, ...]], Any]:
        """What makes of the names of outputs their compiled function."""

        def outputs(
            wanted: tuple[str, ...], variables: Variables, batch: Batch
        ) -> dict[str, Array]:
            seen = map_examples(self.view, jax.random.key(0), batch)
            x = encoder_input(seen)
            found: dict[str, Array] = {}
            if self.network is None:
                features = self.encoder.apply(variables, x, train=False)
            else:
                copy = Copy(variables["params"], variables.get("stats", {}))
                own = Copy({n: {} for n in self.network.parts}, {})
                said, _ = self.network(*own.holding(copy.variables()), x, train=False)
                features = said["encoder"]
                found["probabilities"] = jax.nn.softmax(said["head"], axis=-1)
            found |= {"pooled": features.pooled, "grid": features.grid}
            return {name: found[name].astype(jnp.float32) for name in wanted}

        @functools.cache
        def program(wanted: tuple[str, ...]) -> Any:
            whole = replicated(self._mesh)
            fn = functools.partial(outputs, wanted)
            return jit(fn, mesh=self._mesh, out_shardings=whole)

        return program


def _power(count: int) -> int:
    """The least power of two that is not less."""
    return 1 << max(0, count - 1).bit_length()


def _named(image: Given, number: int) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    return f"image {number}"


def _said(error: Exception) -> str:
    """What is wrong with an image, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    ours = isinstance(error, ValueError)
    return f"{said}." if ours else f"{type(error).__name__}: {said}."

"""Checkpoints of a `TrainState`: written in the background, restored onto any mesh.

A checkpoint is one folder named by its step. It appears by a single rename when it is
complete, so a process killed at any moment leaves the ones before it as they were.
Inside, every leaf of the TrainState lies under its own "/"-joined name, free of Python
classes, beside one JSON document with the host's own facts (epoch, best score, ...).
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orbax.checkpoint as ocp

from jax_ssl import __version__
from jax_ssl.checkpoint.leaves import digest, owned, placed, rebuilt, stored
from jax_ssl.checkpoint.names import by_name, describe_differences, is_key, key_impl
from jax_ssl.checkpoint.orbax_manager import ASIDE, TRASH, Manager
from jax_ssl.checkpoint.run_folder import json_value
from jax_ssl.core import checks
from jax_ssl.core.state import TrainState

FORMAT = 1
# The number of an error of the operating system in what TensorStore says.
SYSTEM_SAID = re.compile(r"os_error_code='(\d+)'")
LEAVES, DOCUMENT = "train", "host"

log = logging.getLogger(__name__)


class DamagedError(ValueError):
    """A checkpoint that cannot be read, or holds other numbers than were written."""


class SaveError(RuntimeError):
    """A checkpoint that could not be written; those before it are intact."""


@dataclass(frozen=True)
class Checkpoints(contextlib.AbstractContextManager["Checkpoints"]):
    """The checkpoints of one run; made by `open_checkpoints`.

    Every method must be called by all processes of the run, at the same step.

    Attributes:
        folder: where the checkpoints lie.
        writable: whether `save` is allowed.
    """

    folder: str
    writable: bool
    manager: Manager

    def save(self, train: TrainState, host: Mapping[str, Any] | None = None) -> bool:
        """Saves `train` under its own step, in the background.

        Returns once the arrays have been copied out of reach of the train step, which
        may then donate them; waits first for a save still under way.

        Args:
            train: arrays, committed to the mesh.
            host: values to lie beside them as JSON (see `json_value`), for `host`.

        Returns:
            False where this step's checkpoint exists already, and nothing is done.

        Raises:
            ValueError: if a later checkpoint exists.
            TypeError: if `host` has no form in JSON.
            SaveError: if the previous save failed.
            RuntimeError: if the folder was opened to read.
        """
        if not self.writable:
            raise RuntimeError(f"the checkpoints in {self.folder} were opened to read.")
        self.wait()
        step = int(train.step)
        steps = self.manager.all_steps()
        if step in steps:
            return False
        if steps and step < max(steps):
            raise ValueError(
                f"cannot save step {step}: {self.folder} holds the later step "
                f"{max(steps)}. Restore that one, or move the later checkpoints away."
            )
        named = by_name(train)
        document = {
            "format": FORMAT,
            "library": __version__,
            "keys": {n: key_impl(leaf) for n, leaf in named.items() if is_key(leaf)},
            "host": json_value(host or {}),
        }
        arrays = {name: owned(leaf) for name, leaf in stored(named).items()}
        document["digests"] = {name: digest(leaf) for name, leaf in arrays.items()}
        leaves, facts = ocp.args.PyTreeSave(arrays), ocp.args.JsonSave(document)
        items = ocp.args.Composite(**{LEAVES: leaves, DOCUMENT: facts})
        # The loop decides when; orbax's own policies stay out of it.
        try:
            return self.manager.save(step, args=items, force=True)
        except Exception as error:
            raise self._unsaved(error) from error

    def restore(self, abstract: TrainState, step: int | None = None) -> TrainState:
        """Restores a checkpoint onto the shardings of `abstract`.

        Where no step is given and the last checkpoint is damaged, the one before is
        restored and a warning says so; opened to write, the damaged one is renamed.

        The mesh may differ from the one that wrote it in size and in shape. A field of
        `abstract` that is None is neither read nor compared: evaluation passes
        `opt_state=None` and never pays for the optimizer's slots.

        Args:
            abstract: TrainState of `jax.ShapeDtypeStruct` with shardings, or of arrays;
                a leaf without a sharding goes to this process's first device.
            step: which checkpoint; the latest unless given.

        Returns:
            TrainState of the structure, dtypes and shardings of `abstract`.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            ValueError: if its leaves are not those of `abstract` (names, shapes,
                dtypes), or it is damaged and there is none before it.
        """
        if step is not None:
            return self._restored(abstract, self._existing(step))
        damaged: list[tuple[int, DamagedError]] = []
        steps = self.steps() or [self._existing(None)]
        for one in reversed(steps):
            try:
                train = self._restored(abstract, one)
            except DamagedError as error:
                damaged.append((one, error))
                continue
            for bad, why in damaged:
                said = str(why).split("; delete")[0]
                if self.writable:
                    self.manager.set_aside(bad)
                    said += f"; it is kept as {bad}{ASIDE}"
                log.warning("%s. Going on from step %d.", said, one)
            return train
        raise damaged[0][1]

    def _restored(self, abstract: TrainState, step: int) -> TrainState:
        document = self._document(step)
        named = by_name(abstract)
        self._check(step, abstract, named, document["keys"])
        wanted = {name: placed(leaf) for name, leaf in stored(named).items()}
        args = ocp.args.PyTreeRestore(
            item=wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,  # `_check` has compared what is to be read.
        )
        found = self._read(step, LEAVES, args)
        written = document.get("digests", {})  # Older checkpoints have none.
        for name, leaf in found.items():
            if name in written and digest(leaf) != written[name]:
                raise self._damaged(step, f"{name} holds other numbers than were saved")
        return rebuilt(abstract, named, found)

    def host(self, step: int | None = None) -> dict[str, Any]:
        """The JSON values saved beside a checkpoint, the latest unless given.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            ValueError: if it cannot be read.
        """
        return self._document(self._existing(step))["host"]

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        self.wait()
        if not self.writable:
            self.manager.reload()  # Another process may have written meanwhile.
        return sorted(self.manager.all_steps())

    def latest_step(self) -> int | None:
        """The last of `steps`, or None."""
        return max(self.steps(), default=None)

    def wait(self) -> None:
        """Blocks until the save under way, if any, is complete.

        Raises:
            SaveError: if it failed.
        """
        try:
            self.manager.wait_until_finished()
        except Exception as error:
            raise self._unsaved(error) from error
        if self.writable:
            self.manager.empty_trash()

    def close(self) -> None:
        """Waits, then frees the threads; the object is not used afterwards."""
        try:
            self.wait()
        finally:
            self.manager.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _existing(self, step: int | None) -> int:
        steps = self.steps()
        if not steps:
            raise FileNotFoundError(
                f"no complete checkpoint in {self.folder}; train first, or name the "
                "folder that holds them."
            )
        if step is None:
            return steps[-1]
        if step not in steps:
            raise FileNotFoundError(
                f"no checkpoint of step {step} in {self.folder}; it holds {steps}."
            )
        return step

    def _read(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        with self._reading(step):
            wanted = ocp.args.Composite(**{item: args})
            return self.manager.restore(step, args=wanted)[item]

    def _document(self, step: int) -> dict[str, Any]:
        document = self._read(step, DOCUMENT, ocp.args.JsonRestore())
        if document.get("format") != FORMAT:
            raise ValueError(
                f"the checkpoint of step {step} in {self.folder} has format "
                f"{document.get('format')!r}, and this version reads {FORMAT}; read it "
                f"with jax_ssl {document.get('library')}."
            )
        return document

    def _check(
        self, step: int, abstract: TrainState, named: dict, keys: Mapping[str, str]
    ) -> None:
        with self._reading(step):
            metadata = self.manager.item_metadata(step)[LEAVES].tree
        skipped = [field for field, part in vars(abstract).items() if part is None]
        found = {n: x for n, x in metadata.items() if n.split("/")[0] not in skipped}
        lines = describe_differences(stored(named), found)
        lines += [
            f"different: {name} ({there} key there, {here} here)"
            for name, leaf in named.items()
            if is_key(leaf) and (there := keys.get(name)) != (here := key_impl(leaf))
        ]
        if lines:
            raise ValueError(
                f"the checkpoint of step {step} in {self.folder} is not of this run's "
                "method and settings:\n  " + "\n  ".join(lines) + "\nUse the settings "
                "that wrote it (config.json of its run), or a new folder."
            )

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise self._damaged(
                step, f"cannot be read: {_first_line(error)}"
            ) from error

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(
            f"the checkpoint of step {step} in {self.folder} is damaged: {why}; delete "
            f"the folder {os.path.join(self.folder, str(step))} to go on from the one "
            "before, or from the start."
        )

    def _unsaved(self, error: Exception) -> SaveError:
        return SaveError(
            f"saving a checkpoint in {self.folder} failed: {_first_line(error)}. "
            "Earlier checkpoints are intact; see to free space and permissions, then "
            "give the same command again, which continues."
        )


def _first_line(error: Exception) -> str:
    if found := SYSTEM_SAID.search(str(error)):
        return os.strerror(int(found[1]))
    said = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return said if len(said) < 300 else f"{said[:300]}..."


def open_checkpoints(
    folder: str | os.PathLike[str],
    *,
    keep: int = 3,
    asynchronous: bool = True,
    writable: bool = True,
) -> Checkpoints:
    """Opens, or starts, a folder of checkpoints.

    Opening to write removes what killed runs left incomplete, so only one run may have
    a folder open to write; any number may read it meanwhile with `writable=False`.

    Args:
        folder: local path or bucket; all processes must see the same one.
        keep: how many of the latest checkpoints stay.
        asynchronous: write in a background thread.
        writable: False to look only, which creates and removes nothing.

    Raises:
        ValueError: if `keep` is less than 1.
        FileNotFoundError: if the folder is absent and not `writable`.
    """
    checks.at_least(1, keep=keep)
    name = os.fspath(folder)
    if "://" not in name:
        name = os.path.abspath(name)
        if not writable and not os.path.isdir(name):
            raise FileNotFoundError(
                f"there is no folder {name} to read checkpoints from; train first, or "
                "name the run's own."
            )
    manager = Manager(
        name,
        options=ocp.CheckpointManagerOptions(
            max_to_keep=keep if writable else None,
            create=writable,
            cleanup_tmp_directories=writable,
            enable_async_checkpointing=asynchronous and writable,
            todelete_subdir=TRASH if writable else None,
        ),
        item_handlers={
            LEAVES: ocp.PyTreeCheckpointHandler(),
            DOCUMENT: ocp.JsonCheckpointHandler(),
        },
    )
    if writable:
        manager.empty_trash()
    return Checkpoints(folder=name, writable=writable, manager=manager)

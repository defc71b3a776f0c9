"""orbax's manager of checkpoints, with two habits of it changed."""

import jax
import orbax.checkpoint as ocp

from jax_ssl.parallel.processes import meet

# Old checkpoints are renamed into this folder before their files go, because a
# half-deleted one would otherwise still look complete after a kill.
TRASH = "deleted"
# What the name of a damaged checkpoint ends with. What could not be read today, for
# want of memory or of a disk that answers, may be sound after all.
ASIDE = ".damaged"


class Manager(ocp.CheckpointManager):
    """Deletes for good what it has moved to the trash, and asks no signals."""

    def empty_trash(self) -> None:
        """Deletes what lies in the trash; done by process 0, called by any."""
        trash = self.directory / TRASH
        if jax.process_index() == 0 and trash.exists():
            trash.rmtree()

    def set_aside(self, step: int) -> None:
        """Renames a checkpoint, so that it counts no more; called by all processes."""
        if jax.process_index() == 0:
            (self.directory / str(step)).rename(self.directory / f"{step}{ASIDE}")
        meet()
        self.reload()

    def reached_preemption(self, step: int) -> bool:
        """False: the loop asks whether the processes have to stop, and when.

        The answer depends on the step asked for last, and orbax would ask for an old
        one, from the thread that ends a save.
        """
        del step
        return False

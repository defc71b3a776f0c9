"""From a config page to the objects of a run, everything checked before compilation."""

from jax_ssl.config.experiment import Experiment
from jax_ssl.config.pages import completed, load_page, override, resolved
from jax_ssl.config.sections import MAY_CHANGE

__all__ = ["MAY_CHANGE", "Experiment", "completed", "load_page", "override", "resolved"]

"""The page that a run leaves behind: its settings, curves, accuracies and pictures."""

from jax_ssl.report.embedding import FeatureMap, tsne_map
from jax_ssl.report.inputs import Neighbors, ReportInputs
from jax_ssl.report.page import write_report

__all__ = ["FeatureMap", "Neighbors", "ReportInputs", "tsne_map", "write_report"]

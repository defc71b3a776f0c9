"""The page that a run leaves behind: its settings, curves, evaluations and pictures."""

from jax_ssl.report.blocks import Column, Pictures
from jax_ssl.report.inputs import ReportInputs
from jax_ssl.report.sections import write_report
from jax_ssl.report.table import format_table

__all__ = ["Column", "Pictures", "ReportInputs", "format_table", "write_report"]

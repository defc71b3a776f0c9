"""The file metrics.jsonl: one JSON object a line, none twice, none torn.

Numbers that JSON lacks are the strings "NaN", "Infinity" and "-Infinity" in the file
(see `jax_ssl.checkpoint.run_folder.json_value`) and floats again when read; null means
that a quantity was not measured.
"""

import errno
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from jax_ssl.checkpoint.run_folder import json_value, replacing

Record = dict[str, Any]

SPOKEN = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class MetricsFile:
    """Appends records, each flushed as it comes, so that a kill loses none.

    Opening it for a run restored at some step drops the records of later steps, which
    the run is about to write again, and any line that a kill has torn.

    Attributes:
        kept: the records that were there already and stay.
    """

    def __init__(self, path: str | os.PathLike[str], *, restored_step: int = 0) -> None:
        self.path = pathlib.Path(path)
        # A refresh is part of the step after it: a run restored there refreshes again.
        self.kept = [
            record
            for record in read_metrics(self.path)
            if record.get("step", 0) + (record.get("kind") == "refresh")
            <= restored_step
        ]
        with replacing(self.path) as file:
            for record in self.kept:
                file.write(_line(record))
        self._file: BinaryIO = open(self.path, "ab", buffering=0)  # noqa: SIM115

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record.

        Raises:
            TypeError: if it has no form in JSON; nothing is written then.
            OSError: if not all of it could be written.
        """
        line = _line(record)
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "a line was cut short", str(self.path))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(path: str | os.PathLike[str]) -> list[Record]:
    """Records of a metrics file in order, [] if there is none; torn lines left out."""
    path = pathlib.Path(path)
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:  # Bytes that are no UTF-8 raise one of its kind.
            continue
        if isinstance(record, dict):
            records.append({name: _spoken(value) for name, value in record.items()})
    return records


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(json_value(record), allow_nan=False) + "\n").encode()


def _spoken(value: Any) -> Any:
    return SPOKEN.get(value, value) if isinstance(value, str) else value

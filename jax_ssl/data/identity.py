"""Which examples a data set holds, and in which order, in a few words.

A row number means an example to the order of batches and to whatever a method keeps of
every example, so a run that is resumed must find the same rows.
"""

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jax_ssl.data.corrupt import spread
from jax_ssl.data.source import Source

LOOKED_AT = 256  # Examples whose content is read, at most.


def identity(source: Source) -> dict[str, Any]:
    """The number of examples, a digest of them in their order, the names of classes.

    The digest does not depend on where the data are. It covers what the source knows of
    all rows without reading them (names of files, arrays in memory) and the content of
    256 rows, spread evenly, or of all where there are fewer.

    Returns:
        {"num_examples": int, "digest": str, "classes": {field: [names]}}, JSON values.
    """
    hashed = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(16) as pool:
        contents = pool.map(source.stored, spread(len(source), LOOKED_AT).tolist())
        for data in itertools.chain(source.listed(), contents):
            hashed.update(memoryview(data).nbytes.to_bytes(8, "little"))
            hashed.update(data)
    return {
        "num_examples": len(source),
        "digest": hashed.hexdigest(),
        "classes": {
            name: list(field.names)
            for name, field in source.fields.items()
            if field.kind == "label" and field.names is not None
        },
    }

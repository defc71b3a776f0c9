"""What a scan of a large file found, kept for the next time in the user's cache folder.

A scan is a function of the file, so that a lost or unwritable cache costs time alone.
"""

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from jax_ssl.core.user_cache import cache_folder

FORM = 1  # Of what is kept; another number makes everything be scanned anew.

log = logging.getLogger(__name__)


def kept(facts: Any, scan: Callable[[], Any]) -> Any:
    """What `scan` gives, read from the cache folder where it was kept before.

    Args:
        facts: a JSON value that says of what it is a scan: the file, its size, when it
            was changed, and what was looked for.
        scan: gives a JSON value.
    """
    try:
        place = cache_folder("scans") / f"{_digest(facts)}.json"
    except (OSError, RuntimeError):  # A home that is read-only, or none.
        return scan()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(place.read_bytes())
        if found["facts"] == facts:
            return found["found"]
    found = scan()
    new = place.with_name(f"{place.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        new.write_text(json.dumps({"facts": facts, "found": found}))
        os.replace(new, place)
    except OSError as error:
        log.info("what a scan found is not kept in %s: %s", place.parent, error)
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return found


def _digest(facts: Any) -> str:
    said = json.dumps([FORM, facts], sort_keys=True).encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()

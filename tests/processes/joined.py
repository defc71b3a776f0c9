"""One of several processes that join as `jax-ssl` does; run by a test.

With a process's number as its argument, that process fails after all have joined.
"""

import argparse
import logging
import sys

import jax

from jax_ssl.parallel.processes import join, meet, of_first

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("jax").setLevel(logging.ERROR)
    processes = join(argparse.Namespace(distributed="auto", peer_timeout=20))
    index, gpu = jax.process_index(), jax.config.read("jax_cuda_visible_devices")
    try:
        logging.info("an aside")
        logging.warning("%d devices, GPU %s", jax.device_count(), gpu)
        assert of_first("name", f"from {index}") == "from 0"
        meet()
        if sys.argv[1:] == [str(index)]:
            raise ValueError("this one gives up")
        processes.finish()
    except ValueError as error:
        processes.leave(error, 2, str(error))

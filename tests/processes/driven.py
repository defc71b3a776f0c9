"""`jax-ssl` slowed down, so that a test can act in the middle of a run.

Started by the tests as one of several processes. With FAIL_IN=I in the environment,
process I finds too many corrupt examples in its second batch.
"""

import os
import sys
import time

import jax

from jax_ssl.cli import main
from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.train.record import Reporter

PAUSE = 0.1  # Seconds after each log line.
train, read, batches = Reporter.train, Reader.read, []


def slow_train(self, step, metrics, waited):
    train(self, step, metrics, waited)
    time.sleep(PAUSE)


def failing_read(self, order, places):
    batches.append(len(places))
    if len(batches) > 1 and str(jax.process_index()) == os.environ["FAIL_IN"]:
        raise TooManyCorrupt({5: "five.jpg: torn"}, seen=9, name="shapes")
    return read(self, order, places)


if __name__ == "__main__":
    Reporter.train = slow_train
    if "FAIL_IN" in os.environ:
        Reader.read = failing_read
    sys.exit(main())

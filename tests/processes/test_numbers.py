"""Two processes of four devices against one process of eight, and one device."""

import shutil

import numpy as np
import pytest

from tests.processes import runs
from tests.processes.launch import Group

COUNT, DEVICES = 2, 4

pytestmark = [pytest.mark.multiprocess, pytest.mark.slow]


def assert_close(found, expected):
    """Equal to 1e-5; gradients, in the optimizer's slots, to 1e-5 of their largest."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        size = np.abs(value).max() if name.startswith("opt_state") else 1.0
        np.testing.assert_allclose(
            found[name], value, rtol=1e-5, atol=1e-5 * max(1.0, size), err_msg=name
        )


# One test a method: what it starts is too dear to be started several times.
@pytest.mark.parametrize("name", ["simclr", "mae", "dino"])
def test_two_processes_train_save_and_see_as_one_does(name, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    one, eight = (runs.train(name, here / str(n), devices=n) for n in (1, 8))
    runs.train(name, there / "of_one_device", devices=1, steps=runs.MIDDLE)
    with Group("tests.processes.worker", COUNT, DEVICES, [name, str(there)]) as group:
        codes = group.codes()
        assert codes == [0] * COUNT, "\n".join(map(group.said, range(COUNT)))

    # From the start, from one device's checkpoint, and with weights split by fsdp.
    for what in ("straight", "resumed", "split"):
        for process in range(COUNT):
            found = np.load(there / f"{what}-{process}.npz")
            assert found["step"] == runs.STEPS
            assert_close(found, runs.leaves(one))
            assert_close(found, runs.leaves(eight))

    # And back: one process resumes what two have saved.
    for what, devices in (("straight", 8), ("split", 1)):
        step = str(runs.MIDDLE)
        shutil.copytree(there / what / step, here / what / step)
        resumed = runs.train(name, here / what, devices=devices)
        assert_close(runs.leaves(resumed), runs.leaves(one))

    # Every process has the features of every image, in order.
    expected = runs.features(name, one, devices=1)
    for process in range(COUNT):
        found = np.load(there / f"features-{process}.npz")
        assert_close(found, expected)
        np.testing.assert_array_equal(found["rows"], np.arange(21))

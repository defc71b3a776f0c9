"""Probes of single frames, and protocols that predict another field."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.types import Features
from jax_ssl.evaluate.frames import frames, split
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.linear import linear
from jax_ssl.evaluate.mfcc import at_places
from jax_ssl.evaluate.part import OnMesh, on_host, part_of
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.test_judge import data, judge, source

QUICK = {"epochs": 20, "batch_size": 32, "learning_rates": (0.1, 1.0)}


class Sequence:
    """An encoder whose grid is its input, [B, t, D]."""

    def apply(self, variables, x, *, train):
        assert not train
        return Features(x.mean(1), grid=x)


def part(count, seed):
    """Four frames an example: noise, but the last two name its class of three."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    grid = rng.normal(size=(count, 4, 5))
    grid[:, 2:, :3] += 12 * np.eye(3)[labels][:, None]
    flat = part_of(grid.reshape(count, -1), label=labels)
    values = OnMesh(flat.values.values.reshape(-1, 4, 5))
    return dataclasses.replace(flat, values=values), grid, labels


@pytest.mark.parametrize("devices", [1, 8])
def test_frames_of_one_example_lie_side_by_side(devices):
    with jax.set_mesh(make_mesh(devices=jax.devices()[:devices])):
        whole, grid, labels = part(24, 0)
        found = split(whole)
        np.testing.assert_allclose(on_host(found.values), grid.reshape(-1, 5), 1e-6)
        some = found.values.take(np.array([5, 0, 95]))
        np.testing.assert_allclose(some, grid.reshape(-1, 5)[[5, 0, 95]], 1e-6)
    np.testing.assert_array_equal(found.fields["label"], labels.repeat(4))
    assert (found.rows[:8].tolist(), found.of_one) == ([0] * 4 + [1] * 4, 4)


def test_each_frame_is_judged_by_itself():
    """Half of the frames are told, the others are guesses of one in three."""
    protocol = frames(Sequence(), places=4, **QUICK)
    assert protocol.places == 4
    (found,) = protocol.run(part(60, 0)[0], part(90, 1)[0])
    assert found.values["accuracy"] == pytest.approx(1 / 2 + 1 / 6, abs=0.06)
    assert found.title == "linear, each frame"
    assert found.settings["places"] == 4


def test_no_example_has_frames_on_both_sides_of_the_choice(monkeypatch):
    seen = []

    def noted(heads, part, known, rows):
        seen.append(rows)
        raise StopIteration

    module = sys.modules["jax_ssl.evaluate.linear"]  # The package has the function.
    monkeypatch.setattr(module, "score", noted)
    with pytest.raises(RuntimeError):
        list(frames(Sequence(), places=4, **QUICK).run(part(60, 0)[0], part(9, 1)[0]))
    held = seen[0]
    assert len(held) == 4 * 6
    np.testing.assert_array_equal(
        held.reshape(6, 4) % 4, np.arange(4)[None].repeat(6, 0)
    )


def test_places_are_the_middles_of_equal_parts(rng):
    grid = rng.normal(size=(2, 10, 3))
    np.testing.assert_allclose(at_places(grid, 2), grid[:, [2, 7]], 1e-6)
    np.testing.assert_allclose(at_places(grid, 10), grid, 1e-6)
    image = jnp.asarray(rng.normal(size=(2, 4, 3, 5)))
    wanted = image.reshape(2, 12, 5)[:, 1::3]
    np.testing.assert_allclose(at_places(image, 4), wanted[:, :], 1e-6)
    with pytest.raises(ValueError, match="places = 0"):
        frames(None, places=0)


def test_a_protocol_says_which_field_it_predicts():
    """And another field that lacks leaves the others alone."""
    plain = source(61, 0)
    fields = {**plain.fields, "speaker": plain.fields["label"]}
    both = {**plain.arrays, "speaker": plain.arrays["label"][::-1].copy()}
    parts = dataclasses.replace(plain, fields=fields, arrays=both)
    mesh = make_mesh(devices=jax.devices()[:1])
    asked = [knn(k=1), knn(k=1, label="speaker"), linear(label="accent")]
    record = judge(asked, train=data(parts, mesh), test=data(parts, mesh))
    assert [e["title"] for e in record["evaluations"]] == ["1-NN", "speaker: 1-NN"]
    assert record["evaluations"][1]["settings"] == {"k": 1, "label": "speaker"}
    (skipped,) = record["skipped"]
    assert skipped["protocol"] == "linear"
    assert "no accent" in skipped["reason"]

"""MFCCs against librosa's own, and where they stand as a control."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.data.arrays import arrays
from jax_ssl.evaluate import mfcc
from jax_ssl.evaluate.frames import frames
from jax_ssl.evaluate.judge import Judge
from jax_ssl.evaluate.knn import knn
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.test_judge import data, fresh, method, trained

RATE = 8000.0


def sounds(count=3, samples=2000):
    """Chirps, noise behind them, then silence."""
    rng = np.random.default_rng(0)
    t = np.arange(samples) / RATE
    pitch = rng.uniform(200, 800, (count, 1))
    waves = 0.5 * np.sin(2 * np.pi * pitch * t * (1 + 2 * t))
    waves += 0.01 * rng.normal(size=waves.shape)
    waves[:, -samples // 4 :] = 0
    return np.float32(waves)


@pytest.mark.parametrize("samples", [2000, 480])
def test_they_are_librosas(samples):
    """With deltas of nine frames, or of what a short wave has."""
    librosa = pytest.importorskip("librosa")
    waves = sounds(samples=samples)
    found = np.asarray(mfcc.mfcc(jnp.asarray(waves), RATE))
    for wave, own in zip(waves, found, strict=True):
        wanted = librosa.feature.mfcc(
            y=wave, sr=RATE, n_mfcc=20, n_fft=256, win_length=200, hop_length=80,
            n_mels=40,
        )  # fmt: skip
        width = min(9, wanted.shape[1] - (wanted.shape[1] + 1) % 2)
        parts = [wanted] + [
            librosa.feature.delta(wanted, width=width, order=order) for order in (1, 2)
        ]
        np.testing.assert_allclose(own, np.concatenate(parts).T, atol=5e-3)
    pooled = mfcc.mfcc_reader(RATE)(jnp.asarray(waves))
    both = np.concatenate([found.mean(1), found.std(1)], -1)
    np.testing.assert_allclose(pooled, both, atol=1e-4)
    some = mfcc.mfcc_reader(RATE, 3)(jnp.asarray(waves))
    middles = (np.array([1, 3, 5]) * found.shape[1]) // 6
    np.testing.assert_allclose(some, found[:, middles], atol=1e-5)


def judge(**settings):
    mesh = make_mesh(devices=jax.devices()[:1])
    waves = sounds(12, 192)
    source = arrays({"wave": waves, "label": np.arange(12) % 2}, rate=RATE)
    one = Judge(method(), lambda key, example: example["wave"], fresh, mesh)
    part = data(source, mesh)
    with jax.set_mesh(mesh):
        return one.judge([knn(k=1)], trained(), part, part, **settings)


def test_they_stand_beside_the_samples():
    pytest.importorskip("librosa")
    (evaluation,) = judge()["evaluations"]
    kinds = {row["features"]: row["detail"]["dimensions"] for row in evaluation["rows"]}
    assert kinds == {"trained": 5, "untrained": 5, "samples": 192, "mfcc": 120}


def test_where_librosa_lacks_it_is_said(monkeypatch):
    monkeypatch.setattr(mfcc, "installed", lambda: False)
    record = judge()
    kinds = [row["features"] for row in record["evaluations"][0]["rows"]]
    assert kinds == ["trained", "untrained", "samples"]
    assert record["skipped"] == [{"protocol": "mfcc", "reason": mfcc.LACKING}]
    assert frames(None).places == 8

"""Camera motion: the two errors of snippets, and trajectories, against plain loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jax_ssl.evaluate.ego_motion import ego_motion
from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.protocol import Skipped
from tests.references.predictions import snippet_errors


def path(rng, count, turn=0.05):
    """World poses [count, 4, 4] of a camera that moves about a metre a frame."""
    poses = [np.eye(4)]
    for _ in range(count - 1):
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(rng.normal(0, turn, 3)).as_matrix()
        step[:3, 3] = rng.normal(0, 0.2, 3) + np.array([0, 0, 1])
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def films(world, count):
    """Poses [K, count, 4, 4] of films that begin one frame apart, to each's first."""
    starts = range(len(world) - count + 1)
    return np.stack([np.linalg.inv(world[i]) @ world[i : i + count] for i in starts])


def outcomes(found, true, sequences=None, **settings):
    protocol = ego_motion(**settings)
    rows = []
    for i, (one, other) in enumerate(zip(found, true, strict=True)):
        fields = {"poses": jnp.asarray(other[:, :3], jnp.float32)}
        if sequences is not None:
            fields["sequence"] = jnp.int32(sequences[i])
        said = {"poses": jnp.asarray(one[:, :3], jnp.float32)}
        rows.append(protocol.measured.measure(said, fields))
    part = part_of(np.stack(rows))
    return list(protocol.run(part, part))


def test_both_errors_of_snippets_are_those_of_plain_loops(rng):
    found, true = films(path(rng, 12), 5), films(path(rng, 12), 5)
    (outcome,) = outcomes(found, true)
    errors = [
        snippet_errors(p[:, :3, 3], q[:, :3, 3])
        for p, q in zip(found, true, strict=True)
    ]
    published, real = np.mean(errors, axis=0)
    assert outcome.values["snippet_ate"] == pytest.approx(published, rel=1e-5)
    assert outcome.values["snippet_rmse"] == pytest.approx(real, rel=1e-5)
    assert real == pytest.approx(published * 5**0.5)
    assert outcome.spread == pytest.approx(np.std([e[0] for e in errors]), rel=1e-4)
    assert outcome.values["trajectory_ate"] is None
    assert outcome.detail["snippets"] == 8


def test_the_scale_of_motion_does_not_matter(rng):
    true = films(path(rng, 9), 5)
    found = true.copy()
    found[..., :3, 3] *= 0.03
    (outcome,) = outcomes(found, true, np.zeros(len(true)))
    assert [*outcome.values.values()] == pytest.approx([0, 0, 0], abs=1e-5)


def test_snippets_of_short_films_are_chained(rng):
    """Films of two or three frames say what those of five say."""
    world, other = path(rng, 12), path(rng, 12)
    whole = outcomes(films(other, 5), films(world, 5))[0].values
    for count in (2, 3):
        pair = films(other, count), films(world, count)
        (outcome,) = outcomes(*pair, np.full(len(pair[0]), 3))
        assert outcome.values["snippet_ate"] == pytest.approx(
            whole["snippet_ate"], rel=1e-4
        )
        assert outcome.detail["snippets"] == 8


@pytest.mark.parametrize("alignment", ["similarity", "scale"])
def test_trajectories_of_several_sequences_are_chained_and_aligned(rng, alignment):
    worlds = [(path(rng, n), path(rng, n)) for n in (9, 14)]
    found, true = (
        np.concatenate([films(pair[i], 3) for pair in worlds]) for i in (0, 1)
    )
    numbers = np.repeat([4, 7], [7, 12])
    (outcome,) = outcomes(found, true, numbers, alignment=alignment)
    errors = {}
    for number, (other, world) in zip((4, 7), worlds, strict=True):
        p, q = other[:, :3, 3], world[:, :3, 3]
        if alignment == "scale":
            moved = p * (p * q).sum() / (p * p).sum()
        else:
            a, b = p - p.mean(0), q - q.mean(0)
            turn, _ = Rotation.align_vectors(b, a)
            a = turn.apply(a)
            moved = a * (a * b).sum() / (a * a).sum() + q.mean(0)
        errors[f"sequence {number}"] = np.sqrt(((moved - q) ** 2).sum(1).mean())
        drawn = outcome.tracks[f"sequence {number}"]
        np.testing.assert_allclose(drawn["true"], q[:, [0, 2]], atol=2e-3)
        np.testing.assert_allclose(drawn["found"], moved[:, [0, 2]], atol=2e-3)
    assert outcome.detail["trajectory_ate_by_sequence"] == pytest.approx(
        errors, rel=1e-4
    )
    mean = np.mean([*errors.values()])
    assert outcome.values["trajectory_ate"] == pytest.approx(mean, rel=1e-4)


def test_films_that_do_not_follow_each_other_are_not_chained(rng):
    true = films(path(rng, 13), 3)[::2]
    (skipped,) = outcomes(true, true, np.zeros(len(true)))
    assert isinstance(skipped, Skipped)
    assert "begin one frame apart" in skipped.reason
    (outcome,) = outcomes(true, true, np.zeros(len(true)), snippet=3)
    assert outcome.values["trajectory_ate"] is None


def test_straight_ahead_is_right_where_the_camera_goes_straight_ahead(rng):
    world = np.repeat(np.eye(4)[None], 9, axis=0)
    world[:, 2, 3] = 1.7 * np.arange(9)
    true = films(world, 5)
    ahead = ego_motion().measured.baselines["straight_ahead"]
    fields = {"poses": jnp.zeros((5, 3, 4))}
    found = np.repeat(np.asarray(ahead({}, fields)["poses"])[None], len(true), axis=0)
    (outcome,) = outcomes(found, true)
    assert outcome.values["snippet_ate"] == pytest.approx(0, abs=1e-6)
    # Sideways it finds nothing: all of the motion is error.
    world[:, 0, 3], world[:, 2, 3] = world[:, 2, 3], 0
    (outcome,) = outcomes(found, films(world, 5))
    rms = 1.7 * np.sqrt(np.mean(np.arange(5) ** 2))
    assert outcome.values["snippet_rmse"] == pytest.approx(rms, rel=1e-5)


def test_films_of_another_length_are_refused(rng):
    true = films(path(rng, 6), 5)
    with pytest.raises(ValueError, match=r"3 poses are predicted.*5"):
        outcomes(true[:, :3], true)

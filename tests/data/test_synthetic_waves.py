import numpy as np
import pytest

from jax_ssl.data.synthetic_waves import MOTIONS, synthetic_waves


def waves_of(source):
    return source[np.arange(len(source))]["wave"]


def motion_of(wave):
    """Which motion a wave has, from the strongest pitch of short parts of it."""
    parts = np.lib.stride_tricks.sliding_window_view(wave, 128)[::64] * np.hanning(128)
    spectrum = abs(np.fft.rfft(parts, 1024))
    loud = spectrum.max(1)
    pitch = spectrum.argmax(1)
    if (loud < 0.3 * np.median(loud)).mean() > 0.15:
        return MOTIONS.index("pulses")
    steps = np.diff(pitch)
    up, down = (steps > 1).mean(), (steps < -1).mean()
    if up + down < 0.2:
        return MOTIONS.index("tone")
    if max(up, down) > 3 * min(up, down):
        return MOTIONS.index("rising chirp" if up > down else "falling chirp")
    return MOTIONS.index("warble")


def test_the_class_is_how_the_pitch_moves():
    source = synthetic_waves(num_examples=100, num_classes=5)
    rows = source[np.arange(100)]
    found = np.array([motion_of(wave) for wave in rows["wave"]])
    assert (found == rows["label"]).mean() > 0.95
    # Not in the loudness, nor in the sample values themselves.
    loudness = rows["wave"].std(1)
    means = [loudness[rows["label"] == k].mean() for k in range(4)]
    assert max(means) - min(means) < 0.1
    a = rows["wave"]
    distance = (a**2).sum(1)[:, None] + (a**2).sum(1) - 2 * a @ a.T
    np.fill_diagonal(distance, np.inf)
    nearest = rows["label"][distance.argmin(1)]
    assert (nearest == rows["label"]).mean() < 0.5


def test_noise_has_its_standard_deviation():
    clean, noisy = (waves_of(synthetic_waves(noise=n)) for n in (0.0, 0.1))
    assert (noisy - clean).std() == pytest.approx(0.1, rel=0.01)
    assert abs(np.corrcoef(clean.ravel(), (noisy - clean).ravel())[0, 1]) < 0.01
    assert abs(clean).max() <= 0.6


def test_a_row_depends_on_its_number_seed_and_split_alone():
    few, many = (waves_of(synthetic_waves(num_examples=n)) for n in (8, 24))
    np.testing.assert_array_equal(few, many[:8])
    assert len(np.unique(many, axis=0)) == 24
    for other in ({"seed": 1}, {"split": "test"}):
        assert (waves_of(synthetic_waves(num_examples=8, **other)) != few).any()


def test_fields_are_described():
    source = synthetic_waves(num_examples=8, samples=100, rate=16000.0)
    assert source.fields["wave"].kind == "wave"
    assert source.fields["wave"].shape == (100,)
    assert source.fields["wave"].rate == 16000
    assert source.fields["label"].names == MOTIONS[:4]
    assert source[np.arange(8)]["label"].tolist() == [0, 1, 2, 3] * 2


def test_wrong_settings_are_refused():
    wrong = ({"num_classes": 6}, {"num_examples": 3}, {"samples": 9}, {"noise": 0.5})
    for settings in wrong:
        with pytest.raises(ValueError, match=f"{next(iter(settings))} = "):
            synthetic_waves(**settings)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"^split = 'nope' must be one of 'train', "):
        synthetic_waves(split="nope")

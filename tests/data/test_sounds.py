"""Folders of sounds: lengths, rates, pieces, classes, broken files."""

import sys
import wave

import numpy as np
import pytest

from jax_ssl.data.corrupt import Reader, TooManyCorrupt
from jax_ssl.data.order import sweep
from jax_ssl.data.sounds import sounds
from jax_ssl.data.source import CorruptExamples


def tone(samples, rate=8000, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)


def save(path, values, rate=8000):
    """A WAV file of 16 bits, of one channel or [n, channels], by Python alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    channels = 1 if values.ndim == 1 else values.shape[1]
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.int16(np.round(32767 * values)).tobytes())


def test_the_package_that_is_missing_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.wav", tone(10))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ValueError, match=r"soundfile.*pip install 'jax_ssl\[audio\]'"):
        sounds(path=str(tmp_path), samples=8)


@pytest.fixture
def spoken(tmp_path):
    """Three sounds of two classes, of different lengths and rates, and no sound."""
    pytest.importorskip("soundfile")
    save(tmp_path / "eve" / "b.wav", tone(50))
    save(tmp_path / "adam" / "x" / "a.WAV", np.stack([tone(20), 0 * tone(20)], 1))
    save(tmp_path / "eve" / "c.wav", tone(4000, 16000), rate=16000)
    (tmp_path / "eve" / "notes.txt").write_text("not a sound")
    return tmp_path


def test_longer_sounds_are_cut_and_shorter_ones_padded(spoken):
    source = sounds(path=str(spoken), samples=30, labels="folders")
    assert source.source.files == ("adam/x/a.WAV", "eve/b.wav", "eve/c.wav")
    assert source.fields["wave"].rate == 8000  # That of the first file.
    assert source.fields["label"].names == ("adam", "eve")
    rows = source[np.arange(3)]
    for name, field in source.fields.items():
        assert rows[name].shape == (3, *field.shape)
        assert rows[name].dtype == field.dtype
    assert rows["length"].tolist() == [20, 30, 30]
    assert rows["label"].tolist() == [0, 1, 1]
    # Two channels become their mean.
    np.testing.assert_allclose(rows["wave"][0, :20], tone(20) / 2, atol=1e-4)
    assert not rows["wave"][0, 20:].any()
    np.testing.assert_allclose(rows["wave"][1], tone(50)[:30], atol=1e-4)


def test_other_rates_are_resampled(spoken):
    """440 Hz stays 440 Hz, but for the ends, which the filter sees half of."""
    own = sounds(path=str(spoken), samples=4000, rate=8000)[np.array([2])]
    assert own["length"] == 2000
    inside = slice(100, 1900)
    np.testing.assert_allclose(own["wave"][0, inside], tone(2000)[inside], atol=5e-3)
    fast = sounds(path=str(spoken), samples=4000, rate=11025)[np.array([2])]
    assert fast["length"] == np.ceil(4000 * 11025 / 16000)
    wanted = tone(2757, 11025)
    np.testing.assert_allclose(fast["wave"][0, inside], wanted[inside], atol=5e-3)


def test_every_piece_can_be_an_example(spoken):
    source = sounds(path=str(spoken), samples=20, rate=8000, pieces="all")
    assert len(source) == 1 + 2 + 100
    rows = source[np.arange(103)]
    np.testing.assert_allclose(rows["wave"][2], tone(50)[20:40], atol=1e-4)
    assert set(rows["length"]) == {20}
    whole = sounds(path=str(spoken), samples=2000, rate=8000)[np.array([2])]
    np.testing.assert_array_equal(rows["wave"][3:].ravel(), whole["wave"][0])


def test_a_list_names_the_files(spoken):
    (spoken / "some.txt").write_text("b\nadam/x/a\n\n")
    source = sounds(path=str(spoken), samples=9, names=str(spoken / "some.txt"))
    assert source.source.files == ("adam/x/a.WAV", "eve/b.wav")
    (spoken / "some.txt").write_text("b\nd\n")
    with pytest.raises(ValueError, match=r"some\.txt' names 'd'"):
        sounds(path=str(spoken), samples=9, names=str(spoken / "some.txt"))
    with pytest.raises(ValueError, match=r"gone\.txt' cannot be read"):
        sounds(path=str(spoken), samples=9, names=str(spoken / "gone.txt"))


def test_flac_and_ogg_are_read_too(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for name in ("a.flac", "b.ogg"):
        soundfile.write(tmp_path / name, tone(4000), 8000)
    rows = sounds(path=str(tmp_path), samples=3000)[np.arange(2)]
    np.testing.assert_allclose(rows["wave"][0], tone(3000), atol=1e-4)
    np.testing.assert_allclose(rows["wave"][1], tone(3000), atol=0.05)


def test_broken_files_are_named_and_replaced(spoken):
    whole = (spoken / "eve" / "b.wav").read_bytes()
    (spoken / "eve" / "b.wav").write_bytes(whole[:20])
    (spoken / "eve" / "d.wav").write_bytes(b"")
    (spoken / "eve" / "e.wav").write_text("this was never a sound")
    save(spoken / "eve" / "f.wav", [])
    source = sounds(path=str(spoken), samples=30, rate=8000)
    with pytest.raises(CorruptExamples) as error:
        source[np.arange(6)]
    assert set(error.value.reasons) == {1, 3, 4, 5}
    for row, name in ((1, "b"), (3, "d"), (4, "e"), (5, "f")):
        assert str(spoken / "eve" / f"{name}.wav") in error.value.reasons[row]
    assert "it holds no sample" in error.value.reasons[5]
    kept = [batch["index"] for batch in sweep(source, batch_size=6)]
    assert np.concatenate(kept).tolist() == [0, 2, 2, 0, 0, 0]
    with pytest.raises(TooManyCorrupt, match=r"b\.wav"):
        list(sweep(source, batch_size=6, reader=Reader(source, 0.0)))


def test_samples_of_another_scale_and_endless_rates_are_broken(spoken):
    """One would be cut to noise; the filter of the other would fill the memory."""
    import soundfile

    soundfile.write(spoken / "eve" / "b.wav", 30000 * tone(50), 8000, subtype="FLOAT")
    save(spoken / "eve" / "c.wav", tone(50), rate=2**31 - 1)
    with pytest.raises(CorruptExamples) as error:
        sounds(path=str(spoken), samples=30, rate=8000)[np.arange(3)]
    assert set(error.value.reasons) == {1, 2}
    assert "its samples reach 14933" in error.value.reasons[1]
    assert "2147483647 samples a second" in error.value.reasons[2]


@pytest.mark.parametrize("rate", [8000, 11025, 24000])
def test_resampled_pieces_are_those_of_the_whole(spoken, rate):
    """Of a long file a piece reads its own part alone."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 9000)
    save(spoken / "eve" / "c.wav", noise, rate=16000)
    pieces = sounds(path=str(spoken), samples=150, rate=rate, pieces="all")
    rows = [i for i, file in enumerate(pieces.source.files) if file == "eve/c.wav"]
    found = pieces[np.array(rows)]["wave"].ravel()
    whole = sounds(path=str(spoken), samples=len(found), rate=rate)[np.array([2])]
    np.testing.assert_allclose(found, whole["wave"][0], atol=1e-6)


def test_what_cannot_be_is_refused(spoken):
    with pytest.raises(ValueError, match=r"samples = 2147483647 must be in \[1, "):
        sounds(path=str(spoken), samples=2**31 - 1)
    with pytest.raises(ValueError, match=r"rate = 2147483647 must be in \[1, "):
        sounds(path=str(spoken), samples=9, rate=2**31 - 1)
    with pytest.raises(ValueError, match="samples = 0 must be in"):
        sounds(path=str(spoken), samples=0)
    with pytest.raises(ValueError, match="pieces = 'some' must be one of"):
        sounds(path=str(spoken), samples=9, pieces="some")
    save(spoken / "z.wav", tone(9))
    with pytest.raises(ValueError, match=r"1 sounds lie directly in .*'z\.wav'"):
        sounds(path=str(spoken), samples=9, labels="folders")
    (spoken / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no sound"):
        sounds(path=str(spoken / "none"), samples=9)

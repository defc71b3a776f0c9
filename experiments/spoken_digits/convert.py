"""The Free Spoken Digit Dataset as an .npz file that the library reads.

Run:   python experiments/spoken_digits/convert.py fsdd.npz spoken_digits.npz

The first is one archive: "audio" int16, all recordings one after the other, "offsets",
"digit", "speaker" with "speaker_names", and "index", the take. The second has parts,
which differ in their takes, so that no recording is in two of them: "train" 5 to 49 and
"test" 0 to 4, which is the set's own split; and of train, to choose settings by, "fit"
10 to 49 and "choose" 5 to 9.
"""

import argparse

import numpy as np

TAKES = {"train": (5, 49), "test": (0, 4), "fit": (10, 49), "choose": (5, 9)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive")
    parser.add_argument("output")
    options = parser.parse_args()
    with np.load(options.archive) as archive:
        given = {name: archive[name] for name in archive}
    waves = np.split(given["audio"], given["offsets"][1:-1])
    speakers = given["speaker_names"].astype(str)[given["speaker"]]
    found = {"label_names": np.array([str(digit) for digit in range(10)])}
    for part, (first, last) in TAKES.items():
        rows = np.flatnonzero((given["index"] >= first) & (given["index"] <= last))
        lengths = [len(waves[row]) for row in rows]
        found[f"wave_{part}"] = np.concatenate([waves[row] for row in rows])
        found[f"offsets_{part}"] = np.cumsum([0, *lengths])
        found[f"label_{part}"] = given["digit"][rows].astype(np.int32)
        found[f"speaker_{part}"] = speakers[rows]
    np.savez_compressed(options.output, **found)


if __name__ == "__main__":
    main()

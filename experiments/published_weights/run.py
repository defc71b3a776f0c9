"""Real files of weights, as they lie in three wheels, read or refused without torch.

Run: python -m pip download --no-deps --dest DIR lpips==0.1.4 facenet-pytorch==2.6.0 \
         silero-vad==6.2.3
     python experiments/published_weights/run.py DIR

Where torch is installed, each file is also read by it, and the numbers are compared.
"""

import importlib.util
import pathlib
import sys
import tempfile
import zipfile

import numpy as np

from jax_ssl.interop.files import read_weights

SUFFIXES = (".pth", ".pt", ".safetensors", ".jit", ".onnx")


def by_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The same file, read by torch or by safetensors."""
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return {name: value.numpy() for name, value in load_file(path).items()}
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.numpy() for name, value in state.items()}


def line(path: pathlib.Path, name: str) -> str:
    """What became of one file, as a row of a table."""
    try:
        weights = read_weights(path)
    except ValueError as error:
        said = str(error).split(": ", 1)[-1] if "first bytes" in str(error) else error
        said = str(said).replace(str(path), path.name)
        return f"| {name} | refused | {said.split('. ')[0]} |"
    arrays = {key: lazy.load() for key, lazy in weights.arrays.items()}
    count = sum(array.size for array in arrays.values())
    said = f"{len(arrays)} arrays, {count:,} numbers"
    if importlib.util.find_spec("torch"):
        theirs = by_torch(path)
        same = arrays.keys() == theirs.keys() and all(
            np.array_equal(arrays[key], theirs[key]) for key in theirs
        )
        said += ", equal to torch's" if same else ", NOT equal to torch's"
    return f"| {name} | {weights.kind} | {said} |"


def main(folder: str) -> None:
    """Prints a table of all files of weights in the wheels of a folder."""
    print("| file | read as | what |\n| --- | --- | --- |")
    for wheel in sorted(pathlib.Path(folder).glob("*.whl")):
        with tempfile.TemporaryDirectory() as unpacked:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
            for path in sorted(pathlib.Path(unpacked).rglob("*")):
                if path.suffix in SUFFIXES:
                    short = path.relative_to(unpacked).as_posix()
                    print(line(path, f"{wheel.name.split('-')[0]}: `{short}`"))


if __name__ == "__main__":
    main(sys.argv[1])

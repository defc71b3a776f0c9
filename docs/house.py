"""Draws docs/house.png: the folders of jax_ssl by floor, and what each imports from.

Run `python -m docs.house` in a checkout. The floors are those that
tests/test_floors.py keeps; the imports are read from the syntax trees, and a folder
says of itself what it is in the first line of its docstring.
"""

import ast
import pathlib
import textwrap

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from tests.test_floors import FLOORS, imported

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jax_ssl"


def said(path: pathlib.Path) -> str:
    """The first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.partition("\n")[0].rstrip(".").replace("`", "")


def units() -> dict[str, list[pathlib.Path]]:
    """The folders of the package, and the command line, with their files."""
    found = {path.parent.name: path.parent for path in PACKAGE.glob("*/__init__.py")}
    files = {name: sorted(folder.rglob("*.py")) for name, folder in found.items()}
    return {**files, "cli": [PACKAGE / "cli.py"]}


def sources(name: str, files: list[pathlib.Path]) -> set[str]:
    """The other folders that one imports from."""
    found = set()
    for file in files:
        package = file.relative_to(ROOT).parts[:-1]
        for _, dotted in imported(ast.parse(file.read_text()), package):
            if dotted.startswith("jax_ssl."):
                found.add(dotted.split(".")[1])
    return (found & units().keys()) - {name}


def draw(path: pathlib.Path) -> None:
    """Writes the picture."""
    here = units()
    rows = [[name for name in floor if name in here] for floor in FLOORS]
    height = 1.25
    figure, axes = plt.subplots(figsize=(12, height * len(rows)))
    for level, names in enumerate(rows):
        width = 1 / len(names)
        for place, name in enumerate(names):
            axes.add_patch(
                FancyBboxPatch(
                    (place * width + 0.004, level + 0.05),
                    width - 0.008,
                    0.9,
                    boxstyle="round,pad=0,rounding_size=0.01",
                    facecolor="#eef3f8",
                    edgecolor="#5b7a99",
                )
            )
            middle = (place + 0.5) * width
            text = said(here[name][0])
            below = ", ".join(sorted(sources(name, here[name]))) or "nothing"
            for y, words, style in (
                (0.85, name, {"weight": "bold"}),
                (0.54, text, {"fontsize": 7.5}),
                (0.18, f"imports {below}", {"fontsize": 7, "color": "#557"}),
            ):
                lines = "\n".join(textwrap.wrap(words, int(150 * width)))
                axes.text(middle, level + y, lines, ha="center", va="center", **style)
    axes.set(xlim=(0, 1), ylim=(0, len(rows)))
    axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    draw(ROOT / "docs" / "house.png")

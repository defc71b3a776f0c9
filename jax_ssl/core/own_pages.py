"""The library's own config pages: where they lie, and what each says of itself.

Nothing of a page is run here, and neither jax nor ml_collections is needed.
"""

import ast
import pathlib


def own_pages() -> dict[str, pathlib.Path]:
    """The library's own pages by name, as installed or in the checkout."""
    package = pathlib.Path(__file__).parent.parent
    for folder in (package / "configs", package.parent / "configs"):
        files = {file.stem: file for file in sorted(folder.glob("*.py"))}
        if "simclr_digits" in files:
            return {name: file for name, file in files.items() if name != "common"}
    return {}


def first_line(page: pathlib.Path) -> str:
    """The first line of a page's docstring, read without running the page.

    Raises:
        ValueError: if the file is not Python.
    """
    try:
        text = ast.get_docstring(ast.parse(page.read_text(encoding="utf-8"))) or ""
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"config page {page} is damaged: {error}.") from error
    return text.partition("\n")[0]

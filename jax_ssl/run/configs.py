"""`jax-ssl configs`: the pages of the library, with a line each."""

import argparse

from jax_ssl.core.own_pages import first_line, own_pages


def configs(options: argparse.Namespace) -> int:
    """Prints the names of pages and what they are, those with a word or all.

    Raises:
        ValueError: if the word stands in no name and in no line.
    """
    pages = {name: first_line(file) for name, file in own_pages().items()}
    word = options.word or ""
    found = [
        (name, line)
        for name, line in pages.items()
        if word.lower() in f"{name} {line}".lower()
    ]
    if not found:
        raise ValueError(
            f"no page of the library has {word!r} in its name or its line; jax-ssl "
            f"configs alone lists all {len(pages)}."
        )
    width = max(len(name) for name, _ in found)
    for name, line in found:
        print(f"{name:{width}s}  {line}")
    return 0

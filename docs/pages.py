"""What the site has beside the pages in docs/, written when it is built.

A hook of mkdocs (`mkdocs build --strict -f .mkdocs.yml`). Pages of methods, protocols
and modules come from the tables and docstrings of jax_ssl, from configs/ and from
experiments/; files of the repository that a page links to become pages as well.
"""

import ast
import inspect
import json
import os
import pathlib
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
SECTION = re.compile(
    r"^(Args|Attributes|Returns|Yields|Raises|Note|Notes|Example):\n", re.MULTILINE
)
LANGUAGES = {
    ".py": "python",
    ".sh": "bash",
    ".sbatch": "bash",
    ".json": "json",
    ".yaml": "yaml",
}
PICTURES = (".png", ".svg", ".jpg")


def links(text: str) -> Iterator[str]:
    """Where the text's links lead, but for those to other hosts."""
    for target, _ in LINK.findall(text):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def in_site(path: str) -> str:
    """The place in the site of a file of the repository; both relative to the root."""
    path = path.removeprefix("docs/")
    suffix = pathlib.PurePosixPath(path).suffix
    if suffix == ".ipynb":
        return path.removesuffix(suffix) + ".md"
    return path if suffix in (".md", *PICTURES) else f"{path}.md"


def relinked(text: str, path: str) -> str:
    """The text of the repository's file `path`, its links made those of the site."""
    here = posixpath.dirname(in_site(path))

    def change(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        return f"]({posixpath.relpath(in_site(there), here or '.')}{anchor})"

    return LINK.sub(change, text)


def linked_files() -> set[str]:
    """The repository's files outside docs/ that belong to the site, as posix paths.

    All pages and pictures of experiments/ and all of configs/, and what any page
    links to.
    """
    found = {
        file.relative_to(ROOT).as_posix()
        for file in [
            *(ROOT / "experiments").rglob("*.md"),
            *(ROOT / "configs").glob("*.py"),
        ]
    }
    for page in [*DOCS.rglob("*.md"), *(ROOT / name for name in sorted(found))]:
        if page.suffix == ".md":
            for target in links(page.read_text()):
                there = pathlib.Path(os.path.normpath(page.parent / target))
                if there.is_file() and not there.is_relative_to(DOCS):
                    found.add(there.relative_to(ROOT).as_posix())
    return found


def shown(path: str) -> str:
    """The page of a file of code: its text, word for word."""
    language = LANGUAGES.get(pathlib.PurePosixPath(path).suffix, "text")
    code = (ROOT / path).read_text().rstrip("\n")
    return f"# {path}\n\n`````{language}\n{code}\n`````\n"


def marked(text: str) -> str:
    """A docstring as Markdown: papers become links, brackets stay brackets."""
    text = re.sub(r"\][ ]?\[", r"]&#91;", text)
    text = re.sub(r"(?<![`\w])\*(?=\w)", r"\\*", text)
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", text)


def parts(docstring: str) -> dict[str, str]:
    """The sections of a docstring by name; "" is what comes before them."""
    pieces = SECTION.split(inspect.cleandoc(docstring or ""))
    found = {"": pieces[0].strip()}
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        found[name] = inspect.cleandoc(text)
    return found


def cell(text: str) -> str:
    """A text that may stand in a table."""
    return marked(" ".join(text.split())).replace("|", "\\|")


def code_cell(text: str) -> str:
    """Code that may stand in a table."""
    return "`" + " ".join(text.split()) + "`"  # Whose bars part no cells.


def settings_table(factory: Callable[..., Any]) -> str:
    """The settings of a factory with types, defaults and meanings."""
    from jax_ssl.config.bind import NEEDED
    from jax_ssl.config.settings import describe

    rows = ["| setting | type | default | what it is |", "| --- | --- | --- | --- |"]
    for setting in describe(factory):
        default = "needed" if setting.default is NEEDED else repr(setting.default)
        named = code_cell(setting.name), code_cell(setting.type), code_cell(default)
        rows.append(f"| {' | '.join(named)} | {cell(setting.text)} |")
    return "\n".join(rows) if len(rows) > 2 else "It has none."


def said(factory: Callable[..., Any]) -> str:
    """What a factory's docstring says beside its arguments."""
    found = parts(factory.__doc__ or "")
    text = marked(found[""])
    for name in ("Note", "Returns", "Raises"):
        if name in found:
            text += f"\n\n**{name}.** {marked(found[name])}"
    return text


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The tables of a page of Markdown: the cells of the head, those of each row."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        rows = [
            [part.strip() for part in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
            for line in block.strip().split("\n")
        ]
        if len(rows) > 2:
            yield rows[0], rows[2:]


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """The same as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def is_of(text: str, name: str, names: Mapping[str, Any]) -> bool:
    """Whether a cell names this method, such as "moco_v2" moco, and no longer one."""
    word = re.sub(r"\W+", "_", text.strip("`* ").lower())
    own = [other for other in names if word == other or word.startswith(f"{other}_")]
    return bool(own) and max(own, key=len) == name


def measured(name: str, names: Mapping[str, Any], at: str) -> str:
    """The rows of the tables in experiments/ whose column "method" names this one.

    Args:
        name: of a method.
        names: those of all methods.
        at: the page for which the links are made.
    """
    blocks = []
    for page in sorted((ROOT / "experiments").rglob("*.md")):
        text, path = page.read_text(), page.relative_to(ROOT).as_posix()
        title = text.partition("\n")[0].lstrip("# ")
        own = []
        for head, rows in tables(text):
            if "method" not in (lower := [part.lower() for part in head]):
                continue
            column = lower.index("method")
            kept, last = [], ""
            for row in rows:
                # An empty cell means the method of the row above.
                last = row[column] or last
                if len(row) == len(head) and is_of(last, name, names):
                    kept.append(row)
            if kept:
                own.append(rebased(table_of(head, kept), path, at))
        if own:
            target = posixpath.relpath(path, posixpath.dirname(at))
            blocks.append(f"### {title}\n\nFrom [{path}]({target}).\n\n")
            blocks[-1] += "\n\n".join(own)
    return "\n\n".join(blocks)


def rebased(text: str, path: str, at: str) -> str:
    """Links of the repository's file `path` made those of the site's page `at`."""

    def change(found: re.Match[str]) -> str:
        if "://" in found[1]:
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        return f"]({posixpath.relpath(in_site(there), posixpath.dirname(at))})"

    return LINK.sub(change, text)


def row_of(page: str, name: str, names: Mapping[str, Any], at: str) -> str:
    """The last cell of the row that is of this method, in a page of docs/."""
    for _, rows in tables((DOCS / page).read_text()):
        for row in rows:
            if is_of(row[0], name, names):
                return rebased(row[-1], f"docs/{page}", at)
    return ""


def configs_of() -> dict[str, list[tuple[str, str]]]:
    """The config pages of each method, each with its docstring."""
    from jax_ssl.config import load_page

    found: dict[str, list[tuple[str, str]]] = {}
    for file in sorted((ROOT / "configs").glob("*.py")):
        if file.stem not in ("common", "__init__"):
            name = load_page(str(file))["method"]["name"]
            docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
            found.setdefault(name, []).append((file.name, docstring))
    return found


def entry(docstring: str, word: str) -> str:
    """The paragraph of a config page's docstring that begins with a word."""
    found = re.search(rf"^{word}:\s+((?:.*\n?)(?:[ ]{{7}}.*\n?)*)", docstring, re.M)
    return " ".join(found[1].split()) if found else ""


def losses_of(module: Any) -> dict[str, Any]:
    """The functions of jax_ssl.losses that a method's module imports, by name.

    Those that the first paragraph of one of them names beside it come along, for it may
    leave the equation to them.
    """
    found = {}
    for name, value in vars(module).items():
        of_losses = getattr(value, "__module__", "").startswith("jax_ssl.losses")
        if inspect.isfunction(value) and of_losses and not name.startswith("check"):
            found[name] = value
            beside = vars(sys.modules[value.__module__])
            first = (value.__doc__ or "").partition("\n\n")[0]
            for other in re.findall(r"`(\w+)`", first):
                if inspect.isfunction(beside.get(other)):
                    found.setdefault(other, beside[other])
    return found


def method_pages() -> dict[str, str]:
    """The Markdown of one page a method, by its place in the site."""
    from jax_ssl.methods import METHODS

    pages, configs = {}, configs_of()
    for name, factory in METHODS.items():
        at = f"methods/{name}.md"
        module = sys.modules[factory.__module__]
        losses = losses_of(module)
        title, _, body = (module.__doc__ or "").partition("\n")
        file = f"jax_ssl/methods/{name}.py"
        text = [
            f"# {name}",
            f"**{marked(title)}**",
            marked(body.strip()),
            f'## Settings\n\n`config.method = dict(name="{name}", ...)`',
            settings_table(factory),
            f"## What is built\n\n{said(factory)}",
        ]
        if losses:
            text.append("## Loss")
        for key, value in losses.items():
            about = parts(value.__doc__ or "")
            text.append(f"### {value.__module__}.{key}\n\n{marked(about[''])}")
            if "Note" in about:
                text.append(marked(about["Note"]))
        text.append("## Config pages and what was measured")
        if row := row_of("methods/index.md", name, METHODS, at):
            text.append(f"In short: {row}.")
        rows = [
            [
                f"[{page}](../configs/{page}.md)",
                cell(docstring.partition("\n")[0]),
                cell(entry(docstring, "Paper")),
                cell(entry(docstring, "Ours")),
            ]
            for page, docstring in configs.get(name, ())
        ]
        if rows:
            text.append(table_of(["page", "what", "paper", "ours"], rows))
        text.append(measured(name, METHODS, at))
        text.append(f"## Code\n\n[{file}](../{file}.md)")
        pages[at] = "\n\n".join(part for part in text if part) + "\n"
    return pages


def protocol_pages() -> dict[str, str]:
    """The Markdown of one page a protocol of evaluation, by its place in the site."""
    from jax_ssl.evaluate import PROTOCOLS

    pages = {}
    for name, factory in sorted(PROTOCOLS.items()):
        module = sys.modules[factory.__module__]
        file = module.__name__.replace(".", "/") + ".py"
        pages[f"protocols/{name}.md"] = "\n\n".join(
            [
                f"# {name}",
                marked(inspect.cleandoc(module.__doc__ or "")),
                f"## Settings\n\n`config.evals.{name} = dict(...)`",
                settings_table(factory),
                f"## What is judged\n\n{said(factory)}",
                f"## Code\n\n[{file}](../{file}.md)\n",
            ]
        )
    return pages


# The packages of the library whose modules are meant to be called, from below.
PUBLIC = (
    "core",
    "losses",
    "nn",
    "augment",
    "encoders",
    "optim",
    "methods",
    "data",
    "evaluate",
    "train",
    "checkpoint",
    "config",
)
# Modules of the others that are.
ALSO = ("jax_ssl.run.use", "jax_ssl.parallel.mesh", "jax_ssl.parallel.ring")


def api_pages() -> dict[str, str]:
    """The Markdown of the pages of modules, one a package, by its place in the site."""
    pages = {}
    for package in PUBLIC:
        files = sorted((ROOT / "jax_ssl" / package).glob("[!_]*.py"))
        names = [f"jax_ssl.{package}.{file.stem}" for file in files]
        text = "\n\n".join(f"::: {name}" for name in names)
        pages[f"api/{package}.md"] = f"# jax_ssl.{package}\n\n{text}\n"
    text = "\n\n".join(f"::: {name}" for name in ALSO)
    pages["api/index.md"] = f"# API\n\n{text}\n"
    return pages


def notebook_page(path: pathlib.Path) -> str:
    """A notebook as Markdown: its texts and its code."""
    text = []
    for part in json.loads(path.read_text())["cells"]:
        source = "".join(part["source"])
        text.append(source if part["cell_type"] == "markdown" else fenced(source))
    where = f"The notebook itself: [{path.name}]({path.name})."
    return "\n\n".join([*text, where]) + "\n"


def fenced(code: str) -> str:
    """A block of Python."""
    return f"```python\n{code}\n```"


def notebooks() -> list[pathlib.Path]:
    """The notebooks in docs/."""
    return sorted((DOCS / "notebooks").glob("*.ipynb"))


def generated() -> dict[str, str]:
    """All pages that are written when the site is built, but for files of code."""
    pages = {**method_pages(), **protocol_pages(), **api_pages()}
    for path in notebooks():
        pages[f"notebooks/{path.stem}.md"] = notebook_page(path)
    return pages


def on_config(config: Any) -> Any:
    """Adds the pages that are written here to the navigation."""
    pages = config["extra"]["generated"] = generated()
    for section in config["nav"]:
        (title, entries), *_ = section.items()
        prefix = {"Methods": "methods/", "Protocols": "protocols/"}.get(title)
        if prefix:
            names = [page for page in pages if page.startswith(prefix)]
            entries += [{pathlib.PurePosixPath(p).stem: p} for p in names]
    config["nav"] += [
        {"Notebooks": [p for p in pages if p.startswith("notebooks/")]},
        {"API": ["api/index.md", *(f"api/{package}.md" for package in PUBLIC)]},
        {"Experiments": ["experiments/README.md"]},
    ]
    config["nav"] = [part for part in config["nav"] if all(part.values())]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the written pages and the repository's files that belong to the site."""
    from mkdocs.structure.files import File, InclusionLevel

    quiet = InclusionLevel.NOT_IN_NAV
    pages = config["extra"].pop("generated")
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text, inclusion=quiet))
    code = {page.removesuffix(".md") for page in map(str, linked_by(pages))}
    for path in sorted(linked_files() | code):
        suffix = pathlib.PurePosixPath(path).suffix
        if suffix in (".md", *PICTURES):
            text = {"abs_src_path": str(ROOT / path)}
            if suffix == ".md":
                text = {"content": relinked((ROOT / path).read_text(), path)}
        else:
            text = {"content": shown(path)}
        files.append(File.generated(config, in_site(path), inclusion=quiet, **text))
    return files


def linked_by(pages: Mapping[str, str]) -> set[str]:
    """The pages of code of the library to which the written pages link."""
    found = set()
    for place, text in pages.items():
        for target in links(text):
            there = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
            if there.startswith("jax_ssl/"):
                found.add(there)
    return found


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Makes the links of the pages in docs/ those of the site."""
    if page.file.generated_by:
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}")

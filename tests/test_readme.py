"""The README and the pages in docs/ say what is there."""

import ast
import hashlib
import importlib
import importlib.util
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from jax_ssl import __version__
from jax_ssl.config import load_page, override, resolved
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.suites import SUITES
from jax_ssl.methods import METHODS
from jax_ssl.run.command_lines import COMMAND_LINES

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
METHODS_PAGE = (ROOT / "docs" / "methods" / "index.md").read_text()
PROTOCOLS_PAGE = (ROOT / "docs" / "protocols" / "index.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_python_example_traces(monkeypatch):
    (code,) = (code for code in blocks("python") if "train_step" in code)
    # Abstractly: compiling a ResNet-18 would take the time of a hundred tests.
    monkeypatch.setattr(jax, "jit", lambda f: lambda *args: jax.eval_shape(f, *args))
    image = jax.ShapeDtypeStruct((8, 32, 32, 3), jnp.uint8)
    batch = {"image": image, "index": jax.ShapeDtypeStruct((8,), jnp.int32)}
    names = {"batch": batch}
    exec(code, names)
    assert names["state"].step.shape == ()
    assert names["metrics"]["loss"].shape == ()


def test_the_readme_is_short_and_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    # What .ci/run runs, and what the site's first page shows.
    first = blocks("bash")[0]
    assert [line.split()[0] for line in first.splitlines()] == [
        "python3",
        ".venv/bin/pip",
    ]
    assert text.index(first) < 2000
    assert f"```bash\n{first}```" in (ROOT / "docs" / "index.md").read_text()


def test_every_command_line_names_settings_that_exist():
    lines = " ".join(blocks("sh")).replace("\\\n", " ")
    trained = [line for line in lines.splitlines() if "jax-ssl train" in line]
    assert trained
    for line in trained:
        page = re.search(r"--config=(\S+)", line)[1]
        quoted = r"""--config\.([\w.]+=(?:"[^"]*"|'[^']*'|\S+))"""
        changes = [re.sub('["](.*)["]', r"\1", c) for c in re.findall(quoted, line)]
        assert changes
        resolved(override(load_page(page), changes))


def test_every_method_has_its_row():
    for name in METHODS:
        title = name.replace("_", "[ -]")
        assert re.search(rf"^\| {title} \|", METHODS_PAGE, re.M | re.I), name


def test_every_protocol_and_suite_has_its_row():
    first = "\n".join(re.findall(r"^\|([^|]*)\|", PROTOCOLS_PAGE, re.MULTILINE))
    for name in {*PROTOCOLS, *SUITES} - {"classification"}:  # Judges a classifier.
        assert f"`{name}`" in first, name


def test_the_readme_counts_the_methods():
    counted = re.search(r"the (\d+) methods", (ROOT / "README.md").read_text())
    assert int(counted[1]) == len(METHODS)


STUDIES = sorted((ROOT / "experiments").rglob("*.md"))
PROSE = [*PAGES, *STUDIES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_exist(page):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def heading_names(heading, site):
    """What the site (True) or GitHub (False) calls a heading in a link."""
    name = re.sub(r"[^\w\s-]", "", heading.strip().lower())
    return re.sub(r"[-\s]+", "-", name) if site else name.replace(" ", "-")


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_headings_exist_on_github_and_on_the_site(page):
    for file, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", page.read_text()):
        if file.startswith("http"):
            continue
        target = page.parent / file if file else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
        for site in (True, False):
            assert anchor in [heading_names(heading, site) for heading in headings]


def test_records_of_studies_name_no_place_on_a_machine():
    for record in sorted((ROOT / "experiments").rglob("*.json")):
        places = re.findall(r"(?<=[=\s\"])/(?:\w+/)+", record.read_text())
        assert not places, f"{record.name}: {places[0]}"


@pytest.mark.parametrize("page", ["docs/house.md", "CONTRIBUTING.md"])
def test_the_house_knows_its_files_folders_and_tables(page):
    page = (ROOT / page).read_text()
    quoted = re.findall(r"`([^`\s]+)`", page)
    for name in (name for name in quoted if re.fullmatch(r"[\w/]+(\.py|/)", name)):
        found = any((at / name).exists() for at in (ROOT, ROOT / "jax_ssl"))
        assert found or name.endswith("/NAME.py"), name
    for table in re.findall(r"`([A-Z_]{5,})`", page):
        found = (ROOT / "jax_ssl").glob("*/__init__.py")
        assert any(table in file.read_text() for file in found), table


def test_experiments_import_what_there_is():
    files = [*(ROOT / "experiments").rglob("*.py"), *(ROOT / "configs").glob("*.py")]
    assert len(files) > 40
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            module = getattr(node, "module", None) or ""
            if module.split(".")[0] in ("jax_ssl", "tests"):
                names = [alias.name for alias in node.names]
                found = importlib.import_module(module)
                for name in names:
                    where = f"{file.relative_to(ROOT)}: {module}.{name}"
                    assert hasattr(found, name) or importlib.util.find_spec(
                        f"{module}.{name}"
                    ), where


def test_the_licence_is_there_and_goes_into_the_wheel():
    text = (ROOT / "LICENSE").read_text()
    # The text of apache.org, word for word.
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest.startswith("cfc7749b96f63bd3")
    assert 'license_files=["LICENSE"]' in (ROOT / "setup.py").read_text()


def test_the_version_is_one():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [__version__]
    assert "- name: The jax_ssl authors" in citation
    newest = re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest[1] == __version__


def test_every_command_is_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert all(f"`{command}`" in text for command in COMMAND_LINES)


def test_the_site_has_a_page_of_every_method_and_protocol():
    from docs.pages import method_pages, protocol_pages

    pages = {**method_pages(), **protocol_pages()}
    assert len(pages) == len(METHODS) + len(PROTOCOLS)
    simclr = pages["methods/simclr.md"]
    # The docstrings' words, a default, a row of an experiment, and a page's own.
    assert "τ of equation 1, positive" in simclr
    assert "| `hidden_dim` | `int` | `2048` |" in simclr
    assert "From [experiments/errors/README.md]" in simclr
    assert "\n| SimCLR | " in simclr
    assert "[simclr_cifar10.py](../configs/simclr_cifar10.py.md)" in simclr
    # A page that is made of another one's.
    assert "infomin_cifar10.py" in pages["methods/moco.md"]
    # A longer name is another method.
    assert "moco_v3_cifar10" not in pages["methods/moco.md"]
    assert "| MoCo v3" not in pages["methods/moco.md"]
    assert "accuracy" in pages["protocols/knn.md"]


def test_notebooks_hold_no_outputs():
    notebooks = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 3
    for path in notebooks:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name

"""`jax-ssl configs`, and that commands which pages and messages name can be given."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

from jax_ssl.cli import main
from jax_ssl.config import load_page, override, resolved
from jax_ssl.core.own_pages import first_line, own_pages
from jax_ssl.run.command_lines import COMMAND_LINES, HOSTS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = {path.stem: path for path in (ROOT / "configs").glob("*.py")}
del PAGES["common"]
FULL = pathlib.Path("/dev/full")


def listed(capsys, *words):
    assert main(["configs", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def test_every_page_has_a_line(capsys):
    found = listed(capsys)
    assert found.keys() == PAGES.keys()
    assert list(found) == sorted(found)
    for name, line in found.items():
        assert PAGES[name].read_text().startswith(f'"""{line}\n')
    assert found["simclr_cifar10"] == "SimCLR, ResNet-18, CIFAR-10."


def test_a_word_stands_in_name_or_line(capsys):
    assert set(listed(capsys, "DINO")) == {name for name in PAGES if "dino" in name}
    assert {"infomin_cifar10", "moco_v3_imagenet"} <= set(listed(capsys, "MoCo"))
    assert main(["configs", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "no page of the library has 'nowhere' in its name or its line; jax" in said
    assert str(len(PAGES)) in said


def test_light_commands_load_no_jax(tmp_path):
    code = (
        "import sys; from jax_ssl.cli import main\n"
        "assert main(['configs', 'digits']) == main(['completion', 'bash']) == 0\n"
        "assert not {'jax', 'numpy', 'ml_collections'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cpc_audio_digits  CPC on spoken digits")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["configs", "digits"], ["completion", "zsh"]])
def test_a_full_disk_is_said(words):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jax_ssl", *words],
            env={"PYTHONPATH": str(ROOT), "JAX_SSL_ALLOCATOR": "0"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"jax-ssl {words[0]}: No space left on device; free space")


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "jax-ssl 0.1.0\n"


def test_a_damaged_page_is_named(tmp_path):
    (tmp_path / "page.py").write_text('"""A page\n')
    with pytest.raises(ValueError, match=r"page\.py is damaged: unterminated"):
        first_line(tmp_path / "page.py")


def test_no_setting_is_taken(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["configs", "--config.run.seed=1"])
    assert ended.value.code == 2
    assert "configs takes no --config.run.seed=1" in capsys.readouterr().err


def commands(text):
    """(command, its flags) of every `jax-ssl COMMAND --FLAG...` that a text names."""
    text = text.replace("\\\n", " ")
    for name, rest in re.findall(r"jax-ssl ([a-z]+)\b((?:\s+-[^\s`,;)]+)*)", text):
        yield name, re.findall(r"--[a-z_]+(?=[=\s]|$)", rest)


def complaints(text):
    """What of a text cannot be given in a folder where there is no checkout."""
    for page in re.findall(r"--config=([^\s`'\",;):]+)", text):
        if page.rstrip(".") not in PAGES and not re.fullmatch(r"[A-Z{][\w}.]*", page):
            yield f"--config={page} is no page of the library"
    yield from re.findall(r"configs/[\w.]*", text)
    for name, flags in commands(text):
        if name not in COMMAND_LINES:
            yield f"jax-ssl {name} is no command"
            continue
        known = COMMAND_LINES[name][1].replace("?", "").split()
        known += [*HOSTS, "--verbose"] if name in ("train", "evaluate") else []
        yield from (f"jax-ssl {name} {flag}" for flag in flags if flag not in known)


def strings(file):
    if not re.search("jax-ssl|--config=|configs/", file.read_text()):
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", "{}") for part in node.values)
            yield "".join(part if isinstance(part, str) else "{}" for part in parts)


def test_commands_that_messages_and_pages_name_can_be_given_anywhere():
    files = [*(ROOT / "jax_ssl").rglob("*.py"), *PAGES.values()]
    found = [
        f"{file.relative_to(ROOT)}: {complaint}"
        for file in files
        for text in strings(file)
        for complaint in complaints(text)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("say --config=configs/byol_cifar10.py", "configs/byol_cifar10.py"),
        ("say --config=byol_cifar11:x", "--config=byol_cifar11 is no page"),
        ("the pages in configs/ say", "configs/"),
        ("`jax-ssl configure`", "jax-ssl configure is no command"),
        ("jax-ssl export --whta=classifier", "jax-ssl export --whta"),
        ("jax-ssl report \\\n --workdir=DIR --step=3", "jax-ssl report --step"),
    ],
)
def test_what_cannot_be_given_is_convicted(text, complaint):
    assert any(one.startswith(complaint) for one in complaints(text))


def test_what_can_be_given_is_acquitted():
    text = "jax-ssl train --config=byol_imagenet:1000 --workdir=D \\\n --seeds=0,1"
    assert not list(complaints(f"{text}; --config=PAGE, --config={{reference}}"))


def runs(text):
    """(page, settings) of every command in the Run: part of a page's docstring."""
    text = text[text.index("Run:") : text.index("Ours:")]
    page = None
    # Settings after a colon are given in the place of those before.
    for piece in re.split(r"jax-ssl train|:\n", text)[1:]:
        page = re.search(r"--config=(\S+)|$", piece)[1] or page
        quoted = r"""--config\.([\w.]+=(?:"[^"]*"|[^\s,]+))"""
        yield page, [one.replace('"', "") for one in re.findall(quoted, piece)]


def test_run_lines_of_pages_name_settings_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, file in PAGES.items():
        found = list(runs(ast.get_docstring(ast.parse(file.read_text()))))
        assert found, name
        for page, changes in found:
            assert page.partition(":")[0] == name
            # An argument in capitals stands for any.
            resolved(override(load_page(re.sub(":[A-Z]+$", "", page)), changes))


def test_own_pages_are_those_of_the_folder():
    assert own_pages() == PAGES

"""`jax-ssl completion`: what a shell offers after a word has been begun."""

import argparse
import shutil
import subprocess

import pytest

from jax_ssl.cli import main
from jax_ssl.run.command_lines import COMMAND_LINES
from jax_ssl.run.completion import SHELLS, script


def scripts(shell):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    train = commands.add_parser("train", help="it's [a: test]")
    train.add_argument("--config", help="a 'page'")
    train.add_argument("--extend", action="store_true")
    train.add_argument("--to", choices=("npz", "hf"))
    train.add_argument("--workdir", metavar="DIR")
    compare = commands.add_parser("compare", help="runs")
    compare.add_argument("runs", nargs="+", metavar="RUN")
    commands.add_parser("settings").add_argument("what", nargs="?")
    return script(shell, parser, ["byol", "moco", "moco_v3"])


def offered(text, *words):
    """What bash offers for the last of some words."""
    quoted = " ".join(f"'{word}'" for word in words)
    asked = (
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        '_jax_ssl\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{text}\n{asked}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["train"]),
        ([""], ["train", "compare", "settings", "--version", "--help"]),
        (["train", "--"], ["--help", "--config=", "--extend", "--to=", "--workdir="]),
        (["train", "--co"], ["--config="]),
        # Where "=" breaks words, as it does unless one changes COMP_WORDBREAKS.
        (["train", "--config", "="], ["byol", "moco", "moco_v3"]),
        (["train", "--config", "=", "mo"], ["moco", "moco_v3"]),
        # And where it does not.
        (["train", "--config=mo"], ["--config=moco", "--config=moco_v3"]),
        (["train", "--config", "by"], ["byol"]),
        (["train", "--extend", "--to", "=", ""], ["npz", "hf"]),
        (["train", "--config.run.seed", "=", "1", "--ex"], ["--extend"]),
        (["train", "--workdir", "=", ""], []),  # Bash then offers files.
        (["compare", "x"], []),
        (["settings", "m"], ["moco", "moco_v3"]),
    ],
)
def test_bash_offers(words, expected):
    assert offered(scripts("bash"), "jax-ssl", *words) == expected


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_command_prints_what_bash_takes(capsys):
    assert main(["completion", "bash"]) == 0
    text = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert offered(text, "jax-ssl", "tr") == ["train"]
    assert set(COMMAND_LINES) < set(offered(text, "jax-ssl", ""))
    assert offered(text, "jax-ssl", "plan", "--config=unet") == ["--config=unet_isbi"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_theirs(shell):
    text = scripts(shell)
    assert "byol moco moco_v3" in text
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_help_texts_are_quoted():
    assert "'train:it'\\''s [a\\: test]'" in scripts("zsh")
    assert "'--config=[a '\\''page'\\'']:value:_jax_ssl_pages'" in scripts("zsh")
    assert "-a train -d 'it\\'s [a: test]'" in scripts("fish")
    assert "--extend" in scripts("bash")


def test_no_other_shell_is_taken(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert set(SHELLS) == {"bash", "zsh", "fish"}

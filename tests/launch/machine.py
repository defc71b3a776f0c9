"""A machine on which the commands of clusters are pretended and recorded."""

import os
import pathlib
import signal
import subprocess

from jax_ssl.run.command_lines import command_parser, overrides

ROOT = pathlib.Path(__file__).parent.parent.parent
LAUNCH = ROOT / "experiments" / "launch"
# Values that a shell would take apart, were they quoted carelessly.
TRAIN = [
    "--config=configs/simclr_imagenet.py:100",
    "--workdir=/mnt/shared/my runs/x",
    "--config.data={'name': 'tfds', \"path\": '$HOME & *;`id`'}",
]

RECORD = """#!/usr/bin/env bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n\\0'; } >>"$RECORD"
"""


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.record = folder / "record"
        (folder / "bin").mkdir()
        for name in ("gcloud", "kubectl", "srun", "scontrol", "squeue", "scancel"):
            self.pretend(name)

    def pretend(self, name, script=""):
        path = self.folder / "bin" / name
        path.write_text(RECORD + script)
        path.chmod(0o755)

    def start(self, *words, new_session=False, **environ):
        keep = {
            name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ
        }
        # What runs in the background ignores it, and so would all that it starts.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [str(word) for word in words],
                cwd=ROOT,
                env={
                    **keep,
                    "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                    "RECORD": str(self.record),
                    "TMPDIR": str(self.folder),
                    **environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=new_session,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def run(self, *words, status=0, **environ):
        process = self.start(*words, **environ)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        return output

    def dry_run(self, script, *words, **environ):
        """The commands that a dry run prints, as a shell reads them."""
        printed = self.run(LAUNCH / script, *words, DRY_RUN="1", **environ)
        assert not self.record.exists(), "a dry run has run something"
        for name in ("git", "jax-ssl"):
            self.pretend(name)
        self.run("bash", "-euo", "pipefail", "-c", printed)
        for name in ("git", "jax-ssl"):
            (self.folder / "bin" / name).unlink()
        return self.recorded()

    def recorded(self):
        """The pretended commands that have run since the last call."""
        if not self.record.exists():
            return []
        calls = self.record.read_text().split("\n\0")[:-1]
        self.record.unlink()
        return [call.split("\0")[:-1] for call in calls]


def read(words):
    """`jax-ssl` arguments as the program reads them."""
    parser = command_parser()
    options, rest = parser.parse_known_args(words)
    options.overrides = overrides(parser, rest)
    return options

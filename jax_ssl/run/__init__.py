"""The commands: each takes parsed options and returns an exit status."""

from jax_ssl.run.compare import compare
from jax_ssl.run.embed import embed
from jax_ssl.run.evaluate import evaluate
from jax_ssl.run.export import export
from jax_ssl.run.importing import import_
from jax_ssl.run.infer import infer
from jax_ssl.run.plan import plan
from jax_ssl.run.predict import predict
from jax_ssl.run.report import report
from jax_ssl.run.settings import settings
from jax_ssl.run.train import train

COMMANDS = {
    command.__name__.rstrip("_"): command  # "import" is a word of Python's.
    for command in (
        *(train, evaluate, plan, report, export, import_),
        *(embed, predict, infer, compare, settings),
    )
}

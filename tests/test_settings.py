"""What `jax-ssl settings` prints: read from signatures and docstrings alone."""

import dataclasses
import functools
import json
import pathlib

import optax
import pytest

from jax_ssl.checkpoint.run_folder import json_value
from jax_ssl.cli import main
from jax_ssl.config import completed, load_page, resolved
from jax_ssl.config.bind import NEEDED, schema
from jax_ssl.config.settings import Setting, catalogue, describe, headline, used

DIGITS = str(pathlib.Path(__file__).parent.parent / "configs" / "simclr_digits.py")


def factory(
    encoder,
    *,
    temperature: optax.Schedule | float = 0.1,
    widths: tuple[int, ...],
):
    """Builds nothing.

    Args:
        encoder: a wire, and no setting.
        temperature: positive; a colon: belongs to the text, and so does
            what stands on the next line.

            And after an empty one.
        widths: of the layers.

    Returns:
        encoders: this is no argument.
    """
    del encoder, temperature, widths


@dataclasses.dataclass(kw_only=True)
class Section:
    """A section.

    Attributes:
        length: in steps.
    """

    length: int | None = None
    quiet: bool = True


def test_a_setting_has_its_type_its_default_and_its_text():
    text = (
        "positive; a colon: belongs to the text, and so does what stands on the next "
    )
    assert list(describe(factory)) == [
        Setting(
            "temperature",
            "schedule | float",
            0.1,
            f"{text}line. And after an empty one.",
        ),
        Setting("widths", "tuple[int, ...]", NEEDED, "of the layers."),
    ]
    assert list(describe(Section)) == [
        Setting("length", "int | None", None, "in steps."),
        Setting("quiet", "bool", True, ""),
    ]


def test_a_partial_is_described_with_its_own_defaults():
    narrow = functools.partial(functools.partial(factory, widths=(1,)), temperature=2)
    by_name = {setting.name: setting for setting in describe(narrow)}
    assert by_name["widths"].default == (1,)
    assert by_name["widths"].text == "of the layers."
    assert by_name["temperature"].default == 2
    assert headline(factory) == "Builds nothing."
    assert headline(narrow) == "Builds nothing. With widths=(1,), temperature=2."


@pytest.mark.parametrize("path", catalogue())
def test_everything_in_the_catalogue_is_described(path):
    maker = catalogue()[path]
    assert headline(maker)
    names = [setting.name for setting in describe(maker)]
    assert names == list(schema(maker).settings)


def test_a_page_uses_what_it_names():
    paths = dict(used(resolved(load_page(DIGITS))))
    assert {"encoder.convnet", "method.simclr", "data.digits", "feed"} < set(paths)
    assert {"evals.knn", "evals.online"} < set(paths)
    assert "encoder.vit" not in paths
    assert "evals.class_tokens" not in paths
    assert paths["doctor"]["images"] == 256


def printed(capsys, *arguments):
    assert main(["settings", *arguments]) == 0
    return capsys.readouterr().out


def test_without_a_name_all_names_are_listed(capsys):
    text = printed(capsys)
    assert all(path in text for path in catalogue())
    only = printed(capsys, "method")
    assert "method.byol" in only
    assert "encoder." not in only


def test_a_name_shows_its_settings(capsys):
    text = printed(capsys, "encoder.vit_s")
    assert "  num_heads: int = 6\n      attention heads; divides `dim`.\n" in text


def test_a_page_shows_its_values_and_marks_them(capsys):
    text = printed(capsys, DIGITS, "--config.method.hidden_dim=100")
    assert "* hidden_dim: int = 100\n" in text
    assert "  head_layers: int = 2\n" in text
    assert "  exclude: tuple[str, ...] | None = [" in text  # A list in JSON, no change.
    assert max(map(len, text.splitlines())) < 400


def test_an_unknown_name_gets_the_nearest(capsys):
    assert main(["settings", "metod.simclr"]) == 2
    assert "did you mean 'method.simclr'?" in capsys.readouterr().err


def test_an_earlier_versions_config_has_todays_defaults_where_it_lacks_settings():
    now = resolved(load_page("mae_cifar10"))
    earlier = json.loads(json.dumps(json_value(now)))
    del earlier["encoder"]["rope_base"], earlier["method"]["mask_ratio"]
    del earlier["run"]["trackers"], earlier["evals"]["detection"]
    assert completed(earlier) == now
    # What is no setting any more is left as it is, for the difference to be told.
    gone = {**earlier, "encoder": {**earlier["encoder"], "gone": 1}}
    assert completed(gone) == gone

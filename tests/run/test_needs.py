"""What evaluations need, asked of the data and of their view before training."""

import types

import numpy as np
import pytest

from jax_ssl.augment.views import center_crop, two_crops
from jax_ssl.data.arrays import arrays
from jax_ssl.data.synthetic import synthetic
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.knn import knn
from jax_ssl.run import needs
from jax_ssl.run.needs import check_needs, draws, unlike_moments


@pytest.fixture
def data():
    source = synthetic(num_examples=4, size=8)
    return types.SimpleNamespace(
        feed=types.SimpleNamespace(fields=source.fields, name=source.name)
    )


def test_a_view_that_draws_at_random_is_known(data):
    assert draws(two_crops(size=8), data)
    assert not draws(center_crop(size=8), data)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("image", "knn: field 'image' is of kind 'image' in the test part .*: label"),
        ("index", "field 'index' is of kind 'index'"),
        ("speaker", "field 'speaker' is not there in the test part .*: label"),
    ],
)
def test_a_field_of_another_kind_is_refused(data, label, message):
    with pytest.raises(ValueError, match=message):
        check_needs(knn(label=label), "test", data, {})


def test_what_usually_is_there_may_lack(data):
    check_needs(knn(), "test", data, {})
    without = {k: v for k, v in data.feed.fields.items() if k != "label"}
    data.feed.fields = without
    check_needs(knn(), "test", data, {})  # It is skipped, with its reason.


def test_a_class_with_too_few_labels_is_named(monkeypatch):
    def said(labels):
        images = np.zeros((len(labels), 4, 4, 1), np.uint8)
        given = {"image": images, "label": np.array(labels)}
        source = arrays(given, label_names=["ant", "bee"])
        train = types.SimpleNamespace(feed=types.SimpleNamespace(source=source))
        return needs.few_labels(few_label(labels_per_class=(1, 3)), train)

    assert "evals.few_label: class 'bee' has 2 training examples" in said(
        [0, 0, 0, 1, 1]
    )
    assert "the 3 labels a class" in said([0, 0, 0, 1, 1])
    assert said([0, 0, 0, 1, 1, 1]) is None
    monkeypatch.setattr(needs, "MOST", 4)
    assert said([0, 0, 0, 1, 1]) is None


def test_other_moments_in_evaluation_are_said():
    same = {"mean": [0.5] * 3, "std": [0.2] * 3}
    assert unlike_moments(same, {"mean": (0.5,) * 3, "std": (0.2,) * 3}) is None
    assert unlike_moments({"size": 8}, same) is None
    assert unlike_moments({"mean": None, "std": None}, {"name": "identity"}) is None
    said = unlike_moments(same, {"name": "identity"})
    assert "mean = (0.5, 0.5, 0.5)" in said
    assert "config.evals.view None and None" in said

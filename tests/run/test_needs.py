"""What evaluations need, asked of the data and of their view before training."""

import types

import pytest

from jax_ssl.augment.views import center_crop, two_crops
from jax_ssl.data.synthetic import synthetic
from jax_ssl.evaluate.knn import knn
from jax_ssl.run.needs import check_needs, draws


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

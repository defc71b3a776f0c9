"""The laptop race's judge against the library's, and its page."""

import importlib.util
import pathlib

import numpy as np
import pytest

from jax_ssl.config import load_page
from jax_ssl.evaluate.knn import knn
from tests.evaluate.digits import digit_pixels, score

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def judge():
    path = ROOT / "experiments" / "race_laptop" / "judge.py"
    spec = importlib.util.spec_from_file_location("judge", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.5), (200, 0.1)])
def test_the_judge_votes_as_the_library_does(judge, k, temperature):
    train, test = digit_pixels()
    found = judge.accuracy(*train, *test, k=k, temperature=temperature)
    wanted = score(knn(k=k, temperature=temperature), train, test)
    assert found == pytest.approx(wanted)
    assert 0.5 < found < 1  # A vote in which something can go wrong.


def test_the_judge_weighs_a_vote_by_its_cosine(judge):
    # One neighbour at cosine 1 against two at 0.8: e^0 against 2 e^(-0.2 / T).
    bank = np.array([[1, 0], [0.8, 0.6], [0.8, -0.6]])
    known, query = np.array([1, 0, 0]), np.array([[2.0, 0]])
    for temperature, wanted in ((0.28, 1), (0.3, 0)):  # 0.2 / ln 2 = 0.2885.
        settings = {"k": 3, "temperature": temperature}
        assert judge.accuracy(bank, known, query, np.array([wanted]), **settings) == 1
        other = np.array([1 - wanted])
        assert judge.accuracy(bank, known, query, other, **settings) == 0


def test_the_judge_refuses_what_cannot_vote(judge):
    ones, labels = np.ones((3, 2)), np.zeros(3, int)
    with pytest.raises(ValueError, match="k = 4 is more than the 3 features"):
        judge.accuracy(ones, labels, ones, labels, k=4)
    with pytest.raises(ValueError, match="not finite"):
        judge.accuracy(ones, labels, np.nan * ones, labels, k=1)


def test_settings_are_chosen_without_the_test_images():
    page = str(ROOT / "configs" / "race_laptop.py")
    config = load_page(f"{page}:held_out")
    assert config.data.split == config.evals.train["split"] == "train[:45000]"
    assert config.evals.test["split"] == "train[45000:]"
    final = load_page(page)
    assert final.data.split == final.evals.train["split"] == "train"
    assert final.evals.test["split"] == "test"
    with pytest.raises(ValueError, match="tset: say one of test, held_out"):
        load_page(f"{page}:tset")

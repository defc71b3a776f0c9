"""Labels of one class say nothing: every protocol that classifies refuses them."""

import inspect

import jax
import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.data.arrays import arrays
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate import single as module
from jax_ssl.evaluate.classification import classification
from jax_ssl.evaluate.few_label import few_label
from jax_ssl.evaluate.few_shot import few_shot
from jax_ssl.evaluate.frames import frames
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.linear import linear
from jax_ssl.evaluate.part import part_of
from jax_ssl.evaluate.retrieval import retrieval
from jax_ssl.evaluate.robustness import classifier_error
from jax_ssl.evaluate.segmentation import ONE_CLASS, segmentation
from jax_ssl.evaluate.single import one_answer, single
from jax_ssl.evaluate.transfer import transfer
from jax_ssl.evaluate.transfer_labels import transfer_labels
from jax_ssl.evaluate.voc07 import voc07
from jax_ssl.evaluate.voc07_low_shot import voc07_low_shot
from jax_ssl.parallel.mesh import make_mesh
from tests.evaluate.test_judge import data, judge

ONE, TWO = np.array([1, 1, 1, -1]), np.array([0, 1, -1])
NAMED = {"label": Field("label", (), np.dtype("int32"), names=("ant", "bee"))}
CLASSIFY = [knn(), linear(), few_label(), transfer(), retrieval(), frames(None)]
BY_LABELS = [voc07(), voc07_low_shot(), transfer_labels()]


def test_no_protocol_of_labels_is_forgotten():
    asks = {"label", "labels"}
    own = {n for n, p in PROTOCOLS.items() if asks & {*inspect.signature(p).parameters}}
    tried = {p.name for p in (*CLASSIFY, *BY_LABELS, few_shot(), classification(2))}
    assert own <= tried | {"layers"}  # Layers are judged by `linear`.


@pytest.mark.parametrize("protocol", CLASSIFY, ids=lambda p: p.name)
def test_training_labels_of_one_class_are_refused(protocol):
    said = single(protocol, ONE, TWO, NAMED)
    assert "the training examples are all of class 'bee' ('label')" in said
    assert "labels of two classes or more" in said
    assert single(protocol, ONE, None, {}) == said.replace("'bee'", "1")
    assert not single(protocol, TWO, ONE, NAMED)
    assert not single(protocol, None, ONE, NAMED)


@pytest.mark.parametrize("protocol", BY_LABELS, ids=lambda p: p.name)
def test_classes_that_all_or_none_have_are_refused(protocol):
    all_or_none, some = np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]])
    assert "no class of 'labels' has test examples" in single(
        protocol, some, all_or_none, {}
    )
    assert "has training examples" in single(protocol, all_or_none, None, {})
    assert not single(protocol, some, some, {})


def test_the_part_counts_in_which_classes_are_told_apart():
    assert not single(few_shot(drawn_from="both"), ONE, TWO, NAMED)
    assert "all of class" in single(few_shot(drawn_from="both"), ONE, ONE, NAMED)
    assert "the test examples are all" in single(few_shot(), TWO, ONE, NAMED)
    assert "the test examples" in single(
        classifier_error(2, among_present=True), TWO, ONE, NAMED
    )
    assert "training and test examples" in single(classification(2), ONE, ONE, NAMED)
    assert not single(classification(2), ONE, TWO, NAMED)


def test_a_test_part_of_one_class_is_said_beside_the_number():
    assert "all test examples are of class 'bee'" in one_answer(knn(), ONE, NAMED)
    assert one_answer(classification(2), ONE, NAMED)
    assert not one_answer(knn(), TWO, NAMED)
    assert not one_answer(retrieval(), ONE, NAMED)


@pytest.mark.parametrize("before", [True, False])
def test_the_judge_refuses_before_it_reads_and_after(monkeypatch, before):
    images = np.zeros((8, 8, 8, 3), np.uint8)
    source = arrays({"image": images, "label": np.full(8, 1)}, label_names=["a", "b"])
    both = {"label": np.arange(8) % 2, "image": images}
    other = arrays(both, label_names=["a", "b"])
    mesh, swept = make_mesh(devices=jax.devices()[:1]), []
    if not before:
        monkeypatch.setattr(module, "MOST", 7)
    monkeypatch.setattr(
        "jax_ssl.evaluate.judge.left_out", lambda *given: swept.append(1) or {}
    )
    protocols = [few_label(labels_per_class=1), knn(k=1)]
    found = judge(
        protocols, train=data(source, mesh), test=data(source, mesh), kinds=["pixels"]
    )
    assert [e["protocol"] for e in found["skipped"]] == ["few_label", "knn"]
    assert all("all of class 'b'" in e["reason"] for e in found["skipped"])
    assert not found["evaluations"]
    assert bool(swept) is not before
    found = judge(
        protocols, train=data(other, mesh), test=data(source, mesh), kinds=["pixels"]
    )
    rows = [e["rows"][0]["detail"] for e in found["evaluations"]]
    assert all("all test examples are of class 'b'" in row["note"] for row in rows)


def test_masks_of_one_class_are_refused():
    protocol = segmentation({"mask": Field("mask", (4, 4), np.dtype("uint8"))})
    counts = np.zeros((1, 3, 255), np.float32)
    counts[:, :, 4] = 16
    part = part_of(counts.reshape(1, -1))
    assert list(protocol.run(part, part)) == [ONE_CLASS]

"""The order of an evaluation, on a few images whose features can be written down."""

import contextlib
import math
from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.core.fields import Field
from jax_ssl.core.method import Health, Method
from jax_ssl.core.types import Features
from jax_ssl.data.arrays import arrays
from jax_ssl.data.source import CorruptExamples, Source
from jax_ssl.evaluate.judge import POOLED, RAW, Data, Judge
from jax_ssl.evaluate.knn import knn
from jax_ssl.evaluate.linear import linear
from jax_ssl.evaluate.part import OnHost, on_host
from jax_ssl.evaluate.protocol import Metric, Outcome, Protocol, Skipped
from jax_ssl.parallel.mesh import make_mesh
from jax_ssl.train.feeds import Feed
from tests.images import examples

TRAIN, TEST = 61, 29
LABELS = np.array([7, 2_147_483_000, 40_000])  # Catalogue numbers, few of many.


class Linear(nn.Module):
    """The least encoder: one dense layer."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return Features(nn.Dense(5)(x.reshape(x.shape[0], -1)), x)


def view(key, example):
    del key
    return example["image"].astype(jnp.float32) / 255


def method(**health):
    encoder = Linear()

    def init(key, views):
        return encoder.init(key, views, train=False)["params"], ()

    return Method(
        encoder=encoder,
        views=view,
        init=init,
        loss=None,
        exports={"encoder": lambda params, state: {"params": params}},
        health=Health(**health),
    )


def source(count, seed):
    rng = np.random.default_rng(seed)
    return arrays(
        {"image": examples(count, seed)["image"], "label": rng.choice(LABELS, count)}
    )


def data(source, mesh, **more):
    feed = Feed(
        source, mesh=mesh, seed=0, batch_size=mesh.size, workers=1, max_corrupt=1.0
    )
    return Data(feed=feed, **more)


def fresh():
    params, state = method().init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
    return params, state


def trained():
    return jax.tree.map(lambda leaf: leaf + 0.01, fresh())


def judge(protocols, *, devices=1, train=None, test=None, made=None, **more):
    """The record of an evaluation."""
    mesh = make_mesh(devices=jax.devices()[:devices])
    most = {"most_bytes": more.pop("most_bytes")} if "most_bytes" in more else {}
    one = Judge(made or method(), view, fresh, mesh, at_once=16, **most)
    train = train or data(source(TRAIN, 0), mesh, split="train")
    test = test or data(source(TEST, 1), mesh)
    with jax.set_mesh(mesh):
        return one.judge(protocols, trained(), train, test, **more)


def noted(**settings):
    """A protocol that keeps the parts that it was given, in the order of its calls."""
    calls = []

    def run(train, test):
        calls.append((train, test))
        yield Outcome(title="noted", settings={}, values={"rows": float(len(calls))})

    metrics = (Metric("rows", unit=""),)
    protocol = Protocol(name="noted", metrics=metrics, run=run, **settings)
    return protocol, calls


def dense(kernel_and_bias, images):
    layer = jax.device_get(kernel_and_bias[0]["Dense_0"])
    x = images.reshape(len(images), -1) / 255.0
    return x @ np.float64(layer["kernel"]) + layer["bias"]


def rows_of(part):
    """The features of a part's examples, in the order of the data set."""
    order = np.argsort(part.rows[part.counts], kind="stable")
    return on_host(part.values)[part.counts][order], part.rows[part.counts][order]


@pytest.mark.parametrize("devices", [1, 8])
def test_trained_features_come_first_then_untrained_ones_then_the_input(devices):
    protocol, calls = noted()
    record = judge([protocol], devices=devices)
    images = [source(count, seed).arrays["image"] for count, seed in ((61, 0), (29, 1))]
    wanted = [
        lambda x: dense(trained(), x),
        lambda x: dense(fresh(), x),
        lambda x: x.reshape(len(x), -1) / 255.0,
    ]
    assert len(calls) == 3
    for parts, features in zip(calls, wanted, strict=True):
        for part, pixels in zip(parts, images, strict=True):
            values, rows = rows_of(part)
            np.testing.assert_array_equal(rows, np.arange(len(pixels)))
            np.testing.assert_allclose(values, features(pixels), atol=1e-5)
    (evaluation,) = record["evaluations"]
    kinds = [row["features"] for row in evaluation["rows"]]
    assert kinds == ["trained", "untrained", "pixels"]
    assert [row["rows"] for row in evaluation["rows"]] == [1, 2, 3]
    sizes = [row["detail"]["dimensions"] for row in evaluation["rows"]]
    assert sizes == [5, 5, 192]
    assert evaluation["split"] == "test"


def test_labels_travel_with_their_examples():
    protocol, calls = noted()
    judge([protocol], devices=8)
    part = calls[0][0]
    labels = source(TRAIN, 0).arrays["label"]
    np.testing.assert_array_equal(
        part.fields["label"][part.counts], labels[part.rows[part.counts]]
    )


PROTOCOLS = (knn(k=5), linear(epochs=3, batch_size=8, learning_rates=(0.1, 1.0)))


@pytest.fixture(scope="module")
def plain():
    return judge(PROTOCOLS)


def assert_alike(record, other):
    for one, two in zip(record["evaluations"], other["evaluations"], strict=True):
        assert one["settings"] == two["settings"]
        assert len(one["rows"]) == 3
        for row, same in zip(one["rows"], two["rows"], strict=True):
            # One example more or less may be right after rounding.
            assert math.isclose(row["accuracy"], same["accuracy"], abs_tol=1.1 / TEST)
            if one["protocol"] == "knn":
                assert row["accuracy"] == same["accuracy"]


@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 8])
def test_any_device_count_gives_the_same_numbers(plain, devices):
    assert_alike(judge(PROTOCOLS, devices=devices), plain)


@pytest.mark.parametrize("devices", [1, 8])
def test_features_in_files_give_the_same_numbers(plain, devices):
    protocol, calls = noted()
    record = judge((*PROTOCOLS, protocol), devices=devices, most_bytes=0)
    assert isinstance(calls[0][0].values, OnHost)
    record["evaluations"].pop()
    assert_alike(record, plain)


def test_what_labels_are_called_is_no_matter(plain):
    def renamed(source):
        label = np.searchsorted(np.sort(LABELS), source.arrays["label"])
        return arrays({"image": source.arrays["image"], "label": label})

    mesh = make_mesh(devices=jax.devices()[:1])
    parts = {
        "train": data(renamed(source(TRAIN, 0)), mesh),
        "test": data(renamed(source(TEST, 1)), mesh),
    }
    assert_alike(judge(PROTOCOLS, **parts), plain)


def test_examples_without_a_label_are_left_out_and_unseen_classes_said():
    mesh = make_mesh(devices=jax.devices()[:8])
    whole, said = source(TEST, 1), []

    @contextlib.contextmanager
    def tell(text, total):
        said.append(text)
        yield lambda rows: None

    dropped = whole.arrays["label"] == LABELS[0]
    none = replace(whole, numbers={"label": (np.sort(LABELS), np.array([-1, 1, 2]))})
    named = replace(
        source(TRAIN, 0), numbers={"label": (np.sort(LABELS), np.array([1, 1, 5]))}
    )
    record = judge(
        [knn(k=5)],
        devices=8,
        train=data(named, mesh),
        test=data(none, mesh),
        tell=tell,
    )
    unseen = whole.arrays["label"] == LABELS.max()
    for evaluation in record["evaluations"]:
        for row in evaluation["rows"]:
            assert row["detail"]["unlabelled_examples"] == dropped.sum() > 0
            assert row["detail"]["examples_of_unseen_classes"] == unseen.sum() > 0
            assert (row["accuracy"] * (~dropped).sum()).is_integer()
    line = f"{dropped.sum()} unlabelled examples, {unseen.sum()} examples of unseen"
    assert any(line in text for text in said)
    # The same numbers as of the rest alone.
    rest = data(none, mesh, rows=np.flatnonzero(~dropped))
    alone = judge([knn(k=5)], devices=8, train=data(named, mesh), test=rest)
    for one, two in zip(record["evaluations"], alone["evaluations"], strict=True):
        pairs = zip(one["rows"], two["rows"], strict=True)
        assert all(a["accuracy"] == b["accuracy"] for a, b in pairs)


def test_a_part_without_one_label_is_skipped():
    mesh = make_mesh(devices=jax.devices()[:1])
    none = {"label": (np.sort(LABELS), np.array([-1, -1, -1]))}
    test = data(replace(source(TEST, 1), numbers=none), mesh)
    record = judge(PROTOCOLS, test=test)
    assert record["evaluations"] == []
    assert {skipped["reason"] for skipped in record["skipped"]} == {
        "no example of one of the parts has a label"
    }


@dataclass(frozen=True, eq=False)
class Torn(Source):
    """A source some of whose files are broken."""

    whole: Source
    broken: tuple[int, ...]

    def read(self, rows):
        if bad := set(self.broken) & set(rows.tolist()):
            raise CorruptExamples({row: f"{row}.jpg: torn" for row in bad})
        found = self.whole[rows]
        return {name: found[name] for name in self.fields if name != "index"}


def torn(whole, *broken):
    return Torn(whole.name, whole.fields, len(whole), whole, broken)


def test_corrupt_examples_are_left_out_and_counted():
    protocol, calls = noted()
    mesh = make_mesh(devices=jax.devices()[:8])
    train = data(torn(source(TRAIN, 0), 3, 4, 60), mesh)
    record = judge([protocol], devices=8, train=train)
    _, rows = rows_of(calls[0][0])
    np.testing.assert_array_equal(rows, np.setdiff1d(np.arange(TRAIN), [3, 4, 60]))
    details = [row["detail"] for row in record["evaluations"][0]["rows"]]
    assert [detail["corrupt_examples"] for detail in details] == [3, 3, 3]


def test_a_part_with_nothing_but_broken_files_is_refused():
    mesh = make_mesh(devices=jax.devices()[:1])
    test = data(torn(source(3, 1), 0, 1, 2), mesh)
    with pytest.raises(Exception, match=r"3 .*(read|corrupt)"):
        judge([noted()[0]], test=test)


def test_some_rows_alone():
    protocol, calls = noted()
    mesh = make_mesh(devices=jax.devices()[:8])
    chosen = np.array([40, 3, 17, 60, 5])
    train = data(source(TRAIN, 0), mesh, rows=chosen)
    judge([protocol], devices=8, train=train)
    part = calls[0][0]
    np.testing.assert_array_equal(part.rows[part.counts], chosen)


def test_what_the_data_lack_is_skipped_and_said():
    protocol, calls = noted(needs=("label", "mask"))
    record = judge([protocol, knn(k=1)])
    assert calls == []
    (skipped,) = record["skipped"]
    assert skipped == {
        "protocol": "noted",
        "reason": "the training part, arrays, has no mask",
    }
    mesh = make_mesh(devices=jax.devices()[:1])
    without = data(arrays({"image": examples(TEST, 1)["image"]}, name="photos"), mesh)
    (skipped,) = judge([knn(k=1)], test=without)["skipped"]
    reason = "the test part, photos, has no labels"
    assert skipped == {"protocol": "knn", "reason": reason}


def test_a_reason_to_skip_is_said_once():
    def run(train, test):
        yield Skipped("there are too few of them")

    record = judge([Protocol(name="shy", run=run)])
    reason = "there are too few of them"
    assert record == {
        "evaluations": [],
        "skipped": [{"protocol": "shy", "reason": reason}],
    }


def test_a_setting_may_have_no_answer_for_one_kind_of_features():
    turns = iter("abc")

    def run(train, test):
        turn = next(turns)
        yield Outcome(title="first", settings={"n": 1}, values={"accuracy": 0.5})
        if turn == "b":
            yield Skipped("the fit diverged")
        else:
            yield Outcome(title="second", settings={"n": 2}, values={"accuracy": 1.0})

    record = judge([Protocol(name="shy", run=run)])
    first, second = record["evaluations"]
    assert [row["features"] for row in first["rows"]] == [
        "trained",
        "untrained",
        "pixels",
    ]
    assert [row["features"] for row in second["rows"]] == ["trained", "pixels"]
    said = "untrained features: the fit diverged"
    assert record["skipped"] == [{"protocol": "shy", "reason": said}]


def test_features_that_are_no_numbers_are_named():
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, trained())
    mesh = make_mesh(devices=jax.devices()[:1])
    parts = data(source(TRAIN, 0), mesh), data(source(TEST, 1), mesh)
    with jax.set_mesh(mesh):
        record = Judge(method(), view, fresh, mesh).judge([knn(k=1)], broken, *parts)
    (skipped,) = record["skipped"]
    said = "trained features: there are numbers that are not finite"
    assert skipped["reason"] == said
    kinds = [row["features"] for row in record["evaluations"][0]["rows"]]
    assert kinds == ["untrained", "pixels"]


def test_a_protocol_without_controls_reads_the_head():
    protocol, calls = noted(reads="head", controls=False, needs=())
    made = method(project=lambda params, state, x: x.mean((1, 2)))
    judge([protocol], made=made)
    ((train, _),) = calls
    images = source(TRAIN, 0).arrays["image"] / 255
    np.testing.assert_allclose(rows_of(train)[0], images.mean((1, 2)), atol=1e-5)


def test_neighbours_may_be_those_of_what_the_head_says():
    channels = Health(project=lambda params, state, x: x.mean((1, 2)))
    record = judge([knn(k=1, reads="head")], made=replace(method(), health=channels))
    train, test = (source(count, seed).arrays for count, seed in ((61, 0), (29, 1)))
    z, asked = (part["image"].mean((1, 2)) / 255.0 for part in (train, test))
    z, asked = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (z, asked))
    found = train["label"][(asked @ z.T).argmax(1)]
    (evaluation,) = record["evaluations"]
    assert evaluation["title"] == "1-NN of the head"
    assert evaluation["settings"] == {"k": 1, "reads": "head"}
    kinds = [row["features"] for row in evaluation["rows"]]
    assert kinds == ["trained", "untrained", "pixels"]
    wanted = (found == test["label"]).mean()
    assert [row["accuracy"] for row in evaluation["rows"][:2]] == [wanted, wanted]


def test_a_method_without_a_head_is_not_asked_for_what_it_says():
    with pytest.raises(ValueError, match="reads = 'head' asks for"):
        judge([knn(k=1, reads="head")])


def test_fields_that_follow_the_view_are_those_of_the_view():
    fields = {"image": examples(20)["image"], "depth": np.ones((20, 8, 8), np.float32)}

    def halved(key, example):
        half = example["depth"] / 2
        return {"depth": half, "image": view(key, example)}

    mesh = make_mesh(devices=jax.devices()[:8])
    whole = data(arrays(fields, {"depth": "depth"}), mesh)
    one = Judge(method(), halved, fresh, mesh)
    with jax.set_mesh(mesh):
        parts = one.parts([POOLED, RAW], trained(), whole, ("depth",))
    for part in parts.values():
        depth = part.fields["depth"][part.counts]
        np.testing.assert_array_equal(depth, np.full((20, 8, 8), 0.5))
    assert parts[RAW].values.shape == (24, 192)


def test_the_last_kind_is_named_after_the_input():
    mesh = make_mesh(devices=jax.devices()[:1])
    waves = arrays({"wave": np.zeros((4, 64), np.float32)}, {"wave": "wave"})
    assert isinstance(waves.fields["wave"], Field)
    one = Judge(method(), lambda key, example: example["wave"], fresh, mesh)
    assert one.kinds(data(waves, mesh)) == ("trained", "untrained", "samples")

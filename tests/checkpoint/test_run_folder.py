import json
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.checkpoint.run_folder import (
    check_config,
    check_data,
    config_differences,
    data_of,
    json_value,
    replacing,
    write_json_atomic,
)

CONFIG = {
    "encoder": {"name": "resnet18", "stem": "small"},
    "optimizer": {"learning_rate": {"name": "cosine", "peak": 0.1}, "decay": 1e-4},
    "run": {"num_epochs": 5, "log_every_steps": 50},
    "data": {"workers": 0, "sizes": (1, 2)},
}
HARMLESS = ("run.log_every_steps", "data")


def changed(**sections):
    return {**CONFIG, **{name: {**CONFIG[name], **s} for name, s in sections.items()}}


def test_floats_that_json_lacks_are_words_that_float_reads():
    value = {"a": [float("nan"), float("inf"), -float("inf"), 0.5]}
    said = json_value(value)
    assert said == {"a": ["NaN", "Infinity", "-Infinity", 0.5]}
    np.testing.assert_equal([float(x) for x in said["a"]], value["a"])


def test_arrays_paths_and_tuples_have_a_form():
    value = {
        1: np.float32(0.5),
        "b": (jnp.int32(3), np.asarray([True, False])),
        "c": pathlib.PurePosixPath("a/b"),
        "d": jnp.asarray([1.5, jnp.nan]),
        "e": None,
    }
    assert json_value(value) == {
        "1": 0.5,
        "b": [3, [True, False]],
        "c": "a/b",
        "d": [1.5, "NaN"],
        "e": None,
    }
    with pytest.raises(TypeError, match="type set has no form"):
        json_value({"x": {1}})


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a" / "x.json"
    write_json_atomic(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json_atomic(path, {"x": object()})
    with pytest.raises(RuntimeError), replacing(path) as file:  # noqa: PT012
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert os.listdir(path.parent) == ["x.json"]


def test_differences_are_dotted_and_sorted():
    new = changed(encoder={"stem": "large"}, run={"seed": 3})
    del new["optimizer"]["decay"]
    new = {**new, "optimizer": {"learning_rate": {"name": "cosine", "peak": 0.2}}}
    old = {**CONFIG, "optimizer": {**CONFIG["optimizer"], "decay": 1e-4}}
    assert config_differences(old, new) == [
        'encoder.stem: "small" → "large"',
        "optimizer.decay: 0.0001 → absent",
        "optimizer.learning_rate.peak: 0.1 → 0.2",
        "run.seed: absent → 3",
    ]


def test_an_empty_section_differs_from_none_at_all():
    assert config_differences({"a": {}}, {}) == ["a: {} → absent"]
    assert config_differences({"a": {}}, {"a": {"b": 1}}) == [
        "a: {} → absent",
        "a.b: absent → 1",
    ]


def test_what_came_through_json_does_not_differ():
    odd = {"a": (1, 2), "b": float("inf"), "c": {"d": np.float32(0.5)}}
    assert config_differences(json.loads(json.dumps(json_value(odd))), odd) == []


def test_a_setting_that_came_later_is_let_through_at_its_default_alone(tmp_path):
    check_config(tmp_path, {"a": {"x": 1}})
    later = lambda old: {"a": {"new": 0, **old["a"]}}
    assert check_config(tmp_path, {"a": {"x": 1, "new": 0}}, completed=later) == []
    with pytest.raises(ValueError, match=r"a\.new: 0 → 2"):
        check_config(tmp_path, {"a": {"x": 1, "new": 2}}, completed=later)


def test_the_same_config_resumes(tmp_path):
    assert check_config(tmp_path, CONFIG) == []
    written = (tmp_path / "config.json").read_bytes()
    assert json.loads(written)["data"]["sizes"] == [1, 2]
    assert check_config(tmp_path, CONFIG) == []
    assert (tmp_path / "config.json").read_bytes() == written


@pytest.mark.parametrize("trace", ["metrics.jsonl", "checkpoints/10/state"])
def test_a_run_without_record_and_checkpoint_binds_nobody(tmp_path, trace):
    check_config(tmp_path, CONFIG)
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / "checkpoints").mkdir()
    traces, other = ("metrics.jsonl", "checkpoints"), changed(encoder={"stem": "x"})
    said = check_config(tmp_path, other, traces=traces)
    assert 'encoder.stem: "small" → "x"' in said
    assert check_config(tmp_path, other) == []
    (tmp_path / trace).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / trace).write_text("{}\n")
    with pytest.raises(ValueError, match="a run with other settings"):
        check_config(tmp_path, CONFIG, traces=traces)


def test_another_config_is_refused_with_every_difference(tmp_path):
    check_config(tmp_path, CONFIG)
    new = changed(run={"num_epochs": 9, "log_every_steps": 1}, encoder={"stem": "x"})
    with pytest.raises(ValueError, match="a run with other settings") as caught:
        check_config(tmp_path, new, may_change=HARMLESS)
    text = str(caught.value)
    assert 'encoder.stem: "small" → "x"\n' in text
    assert "run.num_epochs: 5 → 9\n" in text
    assert "log_every_steps" not in text
    assert json.loads((tmp_path / "config.json").read_text())["encoder"] == {
        "name": "resnet18",
        "stem": "small",
    }


def test_harmless_changes_are_let_through_and_written(tmp_path):
    check_config(tmp_path, CONFIG)
    new = changed(run={"log_every_steps": 1}, data={"workers": 4})
    lines = check_config(tmp_path, new, may_change=HARMLESS)
    assert lines == ["data.workers: 0 → 4", "run.log_every_steps: 50 → 1"]
    assert check_config(tmp_path, new) == []


def test_a_harmless_key_is_no_prefix_of_others(tmp_path):
    check_config(tmp_path, {"data": {"dir": 1}, "database": 1})
    with pytest.raises(ValueError, match="database: 1 → 2"):
        check_config(tmp_path, {"data": {"dir": 2}, "database": 2}, may_change=["data"])


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        check_config(tmp_path, CONFIG)


def began(folder, **values):
    """What a run with a checkpoint says that it began with, beside what it did."""
    given = {"num_examples": 36, "digest": "ab", "classes": {}, **values}
    check_data(folder, {}, given)
    (folder / "checkpoints" / "9").mkdir(parents=True, exist_ok=True)
    return data_of(folder, "checkpoints"), given


def test_the_same_data_resume(tmp_path):
    before, given = began(tmp_path)
    assert before == given
    assert check_data(tmp_path, before, given) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_examples": 44, "digest": "cd"},
            "has 44 examples, the run began with 36",
        ),
        ({"digest": "cd"}, "has 36 examples as when the run began, but they are other"),
    ],
)
def test_other_data_are_refused_or_accepted_once(tmp_path, change, message):
    before, given = began(tmp_path)
    now = {**given, **change}
    with pytest.raises(ValueError, match=f"{message}.*accept_changed_data=True"):
        check_data(tmp_path, before, now)
    assert data_of(tmp_path, "checkpoints") == given
    assert message in check_data(tmp_path, before, now, accept=True)
    assert check_data(tmp_path, data_of(tmp_path, "checkpoints"), now) == ""


def test_a_run_that_has_no_checkpoint_may_begin_with_other_data(tmp_path):
    check_data(tmp_path, {}, {"num_examples": 36, "digest": "ab"})
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp-1").mkdir(parents=True)
    assert data_of(tmp_path, "checkpoints") == {}
    assert data_of(tmp_path / "nowhere", "checkpoints") == {}


def test_a_run_of_before_data_json_resumes(tmp_path):
    (tmp_path / "checkpoints" / "9").mkdir(parents=True)
    assert data_of(tmp_path, "checkpoints") == {}


def test_a_damaged_data_json_is_named(tmp_path):
    began(tmp_path)
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(ValueError, match=r"data\.json is not JSON"):
        data_of(tmp_path, "checkpoints")

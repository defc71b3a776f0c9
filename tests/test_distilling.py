"""From a teacher to a smaller student, as a user types it."""

import json

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.train.metrics import read_metrics
from tests.test_config import feed_of
from tests.test_fine_tuning import MAE, PAGE, VIT, changes, train

pytestmark = pytest.mark.slow  # Two networks, trained and judged.

HEAD = "'num_prototypes': 12, 'hidden_dim': 16, 'bottleneck_dim': 8"
TEACHER = {
    "encoder": VIT + ", 'mask_token': True}",
    "method": "{'name': 'dinov2', " + HEAD + "}",
    "views": "{'name': 'dino', 'global_size': 8, 'local_size': 4, 'num_locals': 1, "
    "'strength': 0.0, 'gray_probability': 0.0, 'mean': None, 'std': None}",
}
LARGER = VIT + ", 'mask_token': True}"
STUDENT = {
    **TEACHER,
    "encoder": VIT.replace("'dim': 8", "'dim': 4") + "}",
    "method": "{'name': 'dinov2_distillation', 'teacher': " + f"{LARGER}, {HEAD}}}",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("teacher")
    assert train(workdir, TEACHER) == 0
    assert main(["export", f"--workdir={workdir}", "--what=teacher"]) == 0
    return workdir / "export" / "teacher.npz"


def started(*parts):
    """The first state of a run."""
    page = override(load_page(PAGE), changes(*parts))
    experiment = Experiment(resolved(page), devices=jax.devices()[:1])
    made = experiment.program(feed_of(experiment))
    with jax.set_mesh(experiment.mesh):
        return made.start(jax.random.key(0))


def test_student_learns_from_the_exported_teacher(exported, tmp_path):
    variables, card = load_encoder(exported)
    assert card["encoder"]["dim"] == 8
    assert set(variables["params"]) == {"encoder", "projector", "prototypes"}
    start = {"run.init_from": repr({"teacher": str(exported)})}
    state = started(STUDENT, start)
    jax.tree.map(
        np.testing.assert_array_equal,
        state.state.teacher.params,
        variables["params"],
    )
    own = tmp_path / "teacher.npz"
    own.write_bytes(exported.read_bytes())
    assert train(tmp_path, STUDENT, {"run.init_from": repr({"teacher": str(own)})}) == 0
    # It is read once: what comes later, the untrained control too, can do without.
    own.unlink()
    knn = {"evals.knn": "{'k': 5}", "run.init_from": repr({"teacher": str(own)})}
    assert train(tmp_path, STUDENT, knn) == 0
    _, card = load_encoder(tmp_path / "export" / "encoder.npz")
    assert card["encoder"]["dim"] == 4
    # A student can teach in its turn.
    assert main(["export", f"--workdir={tmp_path}", "--what=teacher"]) == 0
    found, _ = load_encoder(tmp_path / "export" / "teacher.npz")
    assert found["params"]["encoder"]["class_token"].shape == (1, 4)


def test_linear_probe_reads_class_tokens(tmp_path, capsys):
    probe = {
        "evals.linear": "{'epochs': 1, 'class_tokens': 1, 'mean_patch': True}",
    }
    assert train(tmp_path, TEACHER, probe) == 0
    assert "class tokens of the last block, and the mean" in capsys.readouterr().out
    (evaluation,) = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    sizes = {row["features"]: row["detail"]["dimensions"] for row in evaluation["rows"]}
    assert sizes == {"trained": 16, "untrained": 16, "pixels": 64}
    assert evaluation["settings"]["class_tokens"] == 1
    many = {**probe, "evals.linear": "{'class_tokens': 2}"}
    assert train(tmp_path / "other", TEACHER, many) == 2
    said = capsys.readouterr().err
    assert "config.evals.linear: class_tokens = 2 must be from 1 to 1" in said


FITTED = {
    "encoder": "{'name': 'convnet', 'widths': (4,)}",
    "method": "{'name': 'clusterfit', 'num_clusters': 8, 'teacher': " + f"{LARGER}}}",
    "views": "{'name': 'npid', 'size': 8, 'strength': 0.0, 'gray_probability': 0.0, "
    "'mean': None, 'std': None}",
}


def test_another_network_learns_the_clusters_of_a_runs_features(exported, tmp_path):
    encoder = exported.parent / "encoder.npz"
    start = {"run.init_from": repr({"teacher": str(encoder)})}
    assert train(tmp_path, FITTED, start) == 0
    _, card = load_encoder(tmp_path / "export" / "encoder.npz")
    assert card["encoder"]["name"] == "convnet"
    told = read_metrics(tmp_path / "metrics.jsonl")
    (stage,) = [record for record in told if record["kind"] == "refresh"]
    assert stage["step"] == 0
    assert 0 < stage["prototype_entropy"] <= np.log(8) + 1e-6
    state = started(FITTED, start).state
    wanted = load_encoder(encoder)[0]["params"]
    jax.tree.map(np.testing.assert_array_equal, state.teacher.params, wanted)


@pytest.mark.parametrize(("page", "what"), [(STUDENT, "teacher"), (FITTED, "encoder")])
def test_a_student_without_a_teacher_is_refused(page, what):
    said = f"run.init_from names no teacher, which this method needs.*--what={what}"
    with pytest.raises(ValueError, match=said):
        started(page)


def test_a_teacher_of_other_shapes_is_refused(exported):
    method = STUDENT["method"].replace("'dim': 8", "'dim': 16")
    start = {"run.init_from": repr({"teacher": str(exported)}), "method": method}
    said = r"(?s)run.init_from, teacher = .*\[8\] there, \[16\].*--what=teacher"
    with pytest.raises(ValueError, match=said):
        started(STUDENT, start)


def test_teachers_are_for_distillation(exported):
    with pytest.raises(ValueError, match="this method has no teacher to fill"):
        started(TEACHER, {"run.init_from": repr({"teacher": str(exported)})})


def test_methods_without_a_teacher_export_none(tmp_path, capsys):
    assert train(tmp_path, MAE) == 0
    assert main(["export", f"--workdir={tmp_path}", "--what=teacher"]) == 2
    assert "--what=teacher: mae exports encoder" in capsys.readouterr().err

"""The commands as a user types them, on data of a few dozen images."""

import gc
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main

DIGITS = str(pathlib.Path(__file__).parent.parent / "configs" / "simclr_digits.py")
CIFAR = str(pathlib.Path(__file__).parent.parent / "configs" / "simclr_cifar10.py")
TINY = {
    "encoder.widths": "(4,)",
    "method.hidden_dim": "8",
    "method.output_dim": "4",
    "feed.batch_size": "64",
    "optimizer.learning_rate": "0.01",
    "run.num_epochs": "None",
    "run.num_steps": "4",
    "run.checkpoint_every_epochs": "None",
    "run.log_every_steps": "2",
    "evals.online": "{'every_epochs': 0.1, 'k': 5}",
    "evals.linear": "{'epochs': 2}",
    "evals.few_label": "{'draws': 3}",
}


def arguments(command, workdir, changes=(), page=DIGITS):
    settings = {**TINY, **dict(changes)}
    config = [f"--config={page}"] if command == "train" else []
    overrides = settings if command == "train" else dict(changes)
    return [
        command,
        f"--workdir={workdir}",
        *config,
        *(f"--config.{key}={value}" for key, value in overrides.items()),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on digits."""
    workdir = tmp_path_factory.mktemp("digits")
    assert main(arguments("train", workdir)) == 0
    return workdir


def read(path):
    return json.loads(path.read_text())


def test_run_folder_holds_what_the_readme_says(run):
    config = read(run / "config.json")
    assert config["method"]["head_layers"] == 2  # A default, filled in.
    lines = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in train] == [2, 4]
    for name in ("loss", "learning_rate", "examples_per_second", "ms_per_step"):
        assert train[-1][name] > 0
    assert 0 <= train[-1]["data_wait"] <= 1
    assert {"mfu", "peak_memory_bytes"} <= set(train[-1])
    online = [line for line in lines if line["kind"] == "eval"]
    assert online
    assert {"accuracy", "untrained", "pixels"} <= set(online[0])
    assert (online[0]["metric"], online[0]["split"]) == ("accuracy", "held-out train")
    assert (run / "checkpoints" / "4").is_dir()
    page = (run / "report" / "index.html").read_text()
    assert "<img" in page
    assert list((run / "report").glob("*.png"))


def test_results_have_every_protocol_beside_both_controls(run):
    results = read(run / "results.json")
    protocols = [e["protocol"] for e in results["evaluations"]]
    assert protocols == ["few_label", "few_label", "few_label", "knn", "knn", "linear"]
    for evaluation in results["evaluations"]:
        kinds = [row["features"] for row in evaluation["rows"]]
        assert kinds == ["trained", "untrained", "pixels"]
        assert evaluation["split"] == "test"
        assert evaluation["step"] == 4
    assert results["environment"]["versions"]["jax"]


def test_a_finished_run_is_only_judged_again(run, capsys):
    before = (run / "metrics.jsonl").read_text()
    assert main(arguments("train", run)) == 0
    assert (run / "metrics.jsonl").read_text() == before
    assert "raw pixels" in capsys.readouterr().out


def test_a_changed_config_is_refused_with_its_keys(run, capsys):
    changes = {"method.temperature": "0.7", "run.seed": "5"}
    assert main(arguments("train", run, changes)) == 2
    said = capsys.readouterr().err
    assert "method.temperature: 0.5 → 0.7" in said
    assert "run.seed: 0 → 5" in said


def test_evaluate_adds_to_what_was_measured(run, capsys):
    before = read(run / "results.json")["evaluations"]
    changes = {"evals.knn": "{'k': 3}", "evals.linear": "None"}
    changes["evals.few_label"] = "{'labels_per_class': 1, 'draws': 3}"
    assert main(arguments("evaluate", run, changes)) == 0
    assert "3-NN" in capsys.readouterr().out
    after = read(run / "results.json")["evaluations"]
    key = lambda e: (e["protocol"], e["settings"], e["split"], e["step"])
    new = [e for e in after if key(e) not in [key(old) for old in before]]
    assert [e["settings"].get("k") for e in new] == [3]
    # What was measured again is there once, and the same; all else is kept.
    assert len(after) == len(before) + 1
    for old in before:
        (same,) = [e for e in after if key(e) == key(old)]
        assert same["rows"] == old["rows"]
    assert new[0]["made"]["commit"]


def test_evaluate_refuses_to_change_the_method(run, capsys):
    assert main(arguments("evaluate", run, {"method.temperature": "1.0"})) == 2
    assert "the run in" in capsys.readouterr().err


def test_export_writes_a_file_that_says_how_to_feed_it(run, tmp_path):
    path = tmp_path / "encoder.npz"
    assert main(["export", f"--workdir={run}", f"--output={path}"]) == 0
    variables, card = load_encoder(path)
    assert card["encoder"]["name"] == "convnet"
    assert card["input"]["size"] == 8
    assert card["step"] == 4
    assert set(variables) == {"params", "batch_stats"}


def test_report_can_be_written_again(run, capsys):
    assert main(["report", f"--workdir={run}"]) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")


def test_a_folder_of_images_without_labels_trains_and_says_what_it_skipped(
    tmp_path, capsys, caplog, rng
):
    images = tmp_path / "images" / "nested"
    images.mkdir(parents=True)
    for i in range(40):
        pixels = rng.integers(0, 50, (20 + i, 30, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.jpg")
    (images / "broken.jpg").write_bytes(b"not an image")
    changes = {
        "data": f"{{'name': 'folder', 'path': '{tmp_path / 'images'}', 'canvas': 16, "
        "}",
        "feed": "{'batch_size': 16}",
        "views": "{'name': 'two_crops', 'size': 8, 'strength': 0.0, "
        "'gray_probability': 0.0, 'blur_probability': 0.0}",
        "evals.view": "{'name': 'center_crop', 'size': 8, 'resize': 16}",
        "evals.test": "None",
    }
    settings = {**TINY, **changes}
    del settings["feed.batch_size"]
    words = [f"--config.{key}={value}" for key, value in settings.items()]
    workdir = tmp_path / "run"
    assert main(["train", f"--config={DIGITS}", f"--workdir={workdir}", *words]) == 0
    said = capsys.readouterr().out
    assert "Skipped few label, knn, linear: there is no test part" in said
    skipped = {
        s["protocol"]: s["reason"] for s in read(workdir / "results.json")["skipped"]
    }
    assert "has no labels" in skipped["online knn"]
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    train = [line for line in map(json.loads, lines) if line["kind"] == "train"]
    assert train[-1]["corrupt_examples"] == 1
    page = (workdir / "report" / "index.html").read_text()
    assert "no labels" in page
    # A canvas that is too small for the evaluation's view is said before and after.
    for text in (caplog.text, page):
        assert "on 16 x 16 pixels 100% of the images are shrunk" in text
        assert "resizes the shorter side to 16 pixels" in text
        # And so are images that use little of their range.
        assert re.search(r"data\.range: nearly all .* of 255, 1\d\.\d% of the", text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method.tempratur": "1"}, "did you mean 'temperature'"),
        ({"feed.batch_size": "60"}, "56 and 64"),
        ({"evals.knn": "{'kk': 3}"}, "has no setting 'kk'"),
        ({"evals.knn": "{'k': 'many'}"}, "must be int, not str"),
        ({"evals.knn": "5"}, "config.evals.knn = 5 must be a section"),
        ({"evals.online": "{'every': 3}"}, "did you mean 'every_epochs'"),
        ({"evals.online": "{'k': 0}"}, "config.evals.online: k = 0 must be"),
        ({"encoder.groups": "7"}, "groups = 7"),
        (
            {"evals.knn": "{'label': 'image'}"},
            "evals.knn: field 'image' is of kind 'image' in the train part",
        ),
        ({"evals.linear": "{'label': 'index'}"}, "one of kind 'label': label."),
        (
            {
                "evals.view": "{'name': 'two_crops', 'size': 8, 'strength': 0, "
                "'gray_probability': 0}"
            },
            "evals.view on the train part: of every example the encoder would read (2,",
        ),
    ],
)
def test_bad_settings_end_with_status_2_and_no_folder(
    tmp_path, capsys, changes, message
):
    workdir = tmp_path / "run"
    assert main(arguments("train", workdir, changes)) == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()


@pytest.mark.parametrize("below", ["", "run"])
def test_a_workdir_that_is_a_file_is_said_at_once(tmp_path, capsys, below):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert main(arguments("train", file / below, {})) == 2
    assert f"{file} is a file, not a folder" in capsys.readouterr().err


def test_commands_without_a_run_say_so(tmp_path, capsys):
    for command in ("evaluate", "report", "export"):
        assert main([command, f"--workdir={tmp_path}"]) == 2
        assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--workdir={}"],
        ["export", "--workdir={}"],
        ["export", "--encoder={}", "--to=torch"],
        ["embed", "--encoder={}", "--images=."],
        ["compare", "{}", "."],
    ],
)
def test_a_folder_of_another_library_is_no_run(words, tmp_path, capsys):
    # What jax-ssl export --to=hf writes has a config.json too.
    (tmp_path / "config.json").write_text('{"architectures": ["ViTModel"]}')
    assert main([word.format(tmp_path) for word in words]) == 2
    assert "its config.json has no sections method and run" in capsys.readouterr().err


def test_garbage_of_a_process_that_calls_it_is_still_collected(capsys):
    """A notebook gives many commands; what is frozen is never looked at again."""
    before = gc.get_freeze_count()
    assert main(["settings", "method.byol"]) == 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_a_bucket_is_no_folder(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--workdir=gs://bucket/run"])
    assert ended.value.code == 2
    assert "mount the bucket" in capsys.readouterr().err


def test_missing_data_is_said_with_its_remedy(tmp_path, capsys):
    words = [f"--config.data.data_dir={tmp_path}", f"--workdir={tmp_path / 'run'}"]
    assert main(["train", f"--config={CIFAR}", *words]) == 2
    assert "cifar10" in capsys.readouterr().err


def test_a_test_part_that_is_not_there_is_said_before_training(tmp_path, capsys):
    workdir = tmp_path / "run"
    changes = {"evals.test": "{'split': 'tset'}"}
    assert main(arguments("train", workdir, changes)) == 2
    assert "config.evals.test: " in capsys.readouterr().err
    assert not workdir.exists()

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jax_ssl.report import Neighbors, ReportInputs, write_report
from tests.report.inputs import RESULTS, images, metrics
from tests.report.reading import Page

HOSTILE = "<script>alert('x')</script>\"&"


def full_inputs(rng, channels=3):
    labels = np.arange(60) % 3
    return ReportInputs(
        title=f"A run {HOSTILE}",
        config={
            "method": {"name": "simclr", "temperature": 0.5, "note": HOSTILE},
            "optimizer": {"learning_rate": {"peak_value": 0.3, "steps": (1, 2)}},
            "seed": 7,
        },
        metrics=metrics(),
        results=RESULTS,
        originals=images(rng, 3, 8, 8, channels),
        views=images(rng, 3, 2, 8, 8, channels),
        neighbors=Neighbors(
            queries=images(rng, 2, 8, 8, channels),
            images=images(rng, 2, 3, 8, 8, channels),
            similarities=np.linspace(0.9, 0.4, 6).reshape(2, 3),
            query_labels=np.array([0, 1]),
            labels=np.array([[0, 0, 1], [1, 2, 0]]),
        ),
        features=rng.normal(size=(60, 8)) + 5 * np.eye(8)[labels],
        labels=labels,
        label_names=["cat", "$dog_", HOSTILE],
        environment={
            "command": "jax-ssl train",
            "commit": "abc1234",
            "seconds": 3725.0,
            "versions": {"jax": "0.10"},
        },
        warnings=["Only half of the data was there."],
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "deep" / "folder"
    path = write_report(folder, full_inputs(np.random.default_rng(0)))
    return path, Page(path.read_text(encoding="utf-8"))


def test_page_needs_no_other_file_and_no_network(report):
    path, page = report
    source = path.read_text(encoding="utf-8")
    assert "http://" not in source
    assert "https://" not in source
    assert "url(" not in source
    assert "@import" not in source
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert "href" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "srcset"):
            assert attrs.get(name, "data:").startswith("data:")
    assert not page.open, "elements are left open"


def test_the_files_are_the_pictures_in_the_page(report):
    path, page = report
    files = {file.name: file.read_bytes() for file in path.parent.glob("*.png")}
    themed = ["loss", "accuracy", "learning_rate", "images_per_second", "data_wait"]
    themed += ["metric_0", "tsne"]
    assert set(files) == {
        *(f"{name}{suffix}.png" for name in themed for suffix in ("", "-dark")),
        *("views.png", "neighbors.png"),
    }
    assert sorted(files.values()) == sorted(page.images())
    for name, data in files.items():
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert 400 <= image.width <= 2400, name
            assert 300 <= image.height <= 2400, name
            levels = np.asarray(image.convert("RGB"), np.float32)
            assert levels.std() > 1, f"{name} is blank"


def test_light_and_dark_figures_have_their_own_surface(report):
    path, _ = report
    corners = []
    for name in ("loss.png", "loss-dark.png"):
        with Image.open(path.parent / name) as image:
            corners.append(sum(image.convert("RGB").getpixel((0, 0))))
    assert corners[0] == 3 * 255
    assert corners[1] < 150


def test_everything_from_outside_is_escaped(report):
    path, page = report
    assert "<script" not in path.read_text(encoding="utf-8").lower()
    assert f"A run {HOSTILE}" in page.text  # The reader still sees it as it was.
    assert page.text.count(HOSTILE) >= 3  # Twice the title, once the setting.


def test_accuracies_are_the_results(report):
    _, page = report
    trained = page.accuracies("trained")
    knn, linear = sorted(trained)[:2]
    pixels, untrained = page.accuracies("pixels"), page.accuracies("untrained")
    assert trained[knn] == (0.9271, "92.71 %")
    assert trained[linear] == (2 / 3, "66.67 % ± 0.12")
    # The cells of a control's accuracy and of the gain over it share its name.
    cells = [(row, attrs) for row, attrs, _ in page.cells if "data-features" in attrs]
    shown = {
        (row, attrs["data-features"]): float(attrs["data-value"])
        for row, attrs in cells
    }
    assert shown == {
        (knn, "trained"): 0.9271,
        (knn, "untrained"): 0.4183,
        (knn, "pixels"): 0.3521,
        (linear, "trained"): 2 / 3,
        (linear, "pixels"): 0.75,
    }
    assert pixels[knn] == (pytest.approx(0.9271 - 0.3521), "+57.50")
    assert pixels[linear] == (pytest.approx(2 / 3 - 0.75), "−8.33")
    assert set(untrained) == {knn}  # No control, no difference.
    assert "41.83 % ± 0.42" in page.text


def test_key_figures(report):
    _, page = report
    for name, value, aside in (
        ("k-NN accuracy", "92.71 %", "test, k = 20"),
        ("Steps", "600", "12 epochs"),
        ("Images per second", "1,000", "median of 120 records"),
        ("Time", "1 h 2 min", ""),
    ):
        assert f"{name}{value}{aside}" in page.text


def test_settings_are_all_there_by_their_flags(report):
    _, page = report
    assert "learning_rate.peak_value0.3learning_rate.steps[1, 2]" in page.text
    assert "temperature0.5" in page.text
    assert "seed7" in page.text
    assert "versions.jax0.10" in page.text
    assert "trained.seeds3" in page.text  # An evaluation's detail.


def test_warnings_and_skipped_evaluations_are_said(report):
    _, page = report
    assert "1 warning" in page.text
    assert "Only half of the data was there." in page.text
    assert "Few labels (skipped): a class has < 10 labels" in page.text


def test_the_same_inputs_give_the_same_bytes(tmp_path, report):
    again = write_report(tmp_path, full_inputs(np.random.default_rng(0)))
    assert again.read_bytes() == report[0].read_bytes()


def test_nothing_yet_is_a_page_of_sentences(tmp_path):
    page = Page(write_report(tmp_path, ReportInputs(title="new")).read_text("utf-8"))
    assert not page.images()
    for sentence in (
        "not evaluated",
        "No evaluation has been made yet.",
        "No metrics have been recorded yet.",
        "No views were given to this report.",
        "No neighbours have been searched for.",
        "No features have been computed.",
        "No settings were given.",
    ):
        assert sentence in page.text


def test_given_reasons_stand_in_for_the_general_ones(tmp_path):
    inputs = ReportInputs(
        title="audio",
        absent={"views": "Sound has no picture.", "evaluations": "No labels."},
        results={"skipped": [{"protocol": "features", "reason": "No encoder."}]},
    )
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    for sentence in ("Sound has no picture.", "No labels.", "No encoder."):
        assert sentence in page.text
    assert "No views were given" not in page.text


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_image_without_labels(tmp_path, rng, channels):
    inputs = ReportInputs(
        title="one",
        metrics=metrics(1)[:1],
        originals=images(rng, 1, 5, 7, channels),
        views=images(rng, 1, 1, 300, 200, channels),
        neighbors=Neighbors(
            queries=images(rng, 1, 5, 7, channels),
            images=images(rng, 1, 1, 5, 7, channels),
            similarities=np.array([[0.5]]),
        ),
        features=np.ones((1, 4)),
    )
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    assert "no labels to colour them by" in page.text
    assert "frames cannot say which are right" in page.text
    assert {"views.png", "neighbors.png", "tsne.png", "loss.png"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_a_diverged_run_is_reported_as_one(tmp_path):
    broken = [
        {"kind": "train", "step": step, "loss": loss}
        for step, loss in ((10, 3.0), (20, float("nan")), (30, float("inf")))
    ]
    inputs = ReportInputs(
        title="diverged", metrics=broken, features=np.full((5, 2), np.nan)
    )
    page = Page(write_report(tmp_path, inputs).read_text("utf-8"))
    assert "not finite in 2 of 3 records, first at step 20" in page.text
    assert "5 of 5 feature rows are not finite: there is no map" in page.text


def test_a_loss_that_was_never_finite(tmp_path):
    records = [{"kind": "train", "step": 1, "loss": float("nan"), "data_wait": 0.0}]
    write_report(tmp_path, ReportInputs(title="nan", metrics=records))
    assert not (tmp_path / "loss.png").exists()


def test_wrong_shapes_are_named_before_anything_is_drawn(rng):
    with pytest.raises(ValueError, match=r"views has shape \(2, 1, 4, 4, 3\)"):
        ReportInputs(
            title="",
            originals=images(rng, 3, 4, 4, 3),
            views=images(rng, 2, 1, 4, 4, 3),
        )
    with pytest.raises(ValueError, match=r"labels has shape \(4,\).*\[5\]"):
        ReportInputs(title="", features=np.ones((5, 2)), labels=np.arange(4))
    with pytest.raises(ValueError, match="give both or neither"):
        ReportInputs(title="", view_mean=(0.5,))


def test_importing_the_package_does_not_load_the_plotting_library():
    code = (
        "import sys, jax_ssl.report; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_commit_that_is_not_known_is_not_shown(tmp_path):
    inputs = ReportInputs(title="x", environment={"commit": None, "command": "y"})
    page = write_report(tmp_path, inputs).read_text()
    heading = page[page.index("Environment") :].split("</summary>")[0]
    assert "null" not in heading

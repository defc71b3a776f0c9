import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageColor

from jax_ssl.report import Column, Pictures, ReportInputs, write_report
from jax_ssl.report.blocks import Curves
from jax_ssl.report.pictures import Examples, neighbors_grid, views_grid
from jax_ssl.report.sections import _by_number, _families, _maps, along
from jax_ssl.report.theme import DARK, LIGHT
from tests.report.inputs import RESULTS, images, look, metrics
from tests.report.reading import Page

HOSTILE = "<script>alert('x')</script>\"&"


def full_inputs(rng):
    labels = np.arange(60) % 3
    nearest = np.array([[0, 0, 1], [1, 2, 0]])
    return ReportInputs(
        title=f"A run {HOSTILE}",
        config={
            "method": {"name": "simclr", "temperature": 0.5, "note": HOSTILE},
            "optimizer": {"learning_rate": {"peak_value": 0.3, "steps": (1, 2)}},
            "seed": 7,
        },
        metrics=[*metrics(), look(0), look(300)],
        results=RESULTS,
        pictures=[
            (
                "Views",
                views_grid([images(rng, 3, 2, 8, 8, 3)], images(rng, 3, 8, 8, 3)),
            ),
            ("Views", "The recipe has no steps."),
            (
                "Neighbours",
                neighbors_grid(
                    Examples(images(rng, 2, 8, 8, 3), labels[:2]),
                    Examples(images(rng, 2, 3, 8, 8, 3), nearest),
                    np.linspace(0.9, 0.4, 6).reshape(2, 3),
                    label_names=["cat", "$dog_", HOSTILE],
                ),
            ),
        ],
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


def written(folder, **inputs):
    path = write_report(folder, ReportInputs(**{"title": "t", **inputs}))
    return Page(path.read_text("utf-8"))


def test_page_needs_no_other_file_and_no_network(report):
    path, page = report
    source = path.read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:" in source
    assert "http://" not in source
    assert "url(" not in source
    assert "@import" not in source
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "base")
        # Papers are linked to, and nothing is loaded from there.
        assert attrs.get("href", "https://arxiv.org/abs/").startswith(
            "https://arxiv.org/abs/"
        )
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "srcset"):
            assert attrs.get(name, "data:").startswith("data:")
    assert not page.open, "elements are left open"


def test_the_files_are_the_figures_in_the_page(report):
    path, page = report
    files = {file.name: file.read_bytes() for file in path.parent.glob("*.png")}
    themed = ["loss", "learning_rate", "examples_per_second", "data_wait", "eval_0"]
    themed += ["metric_teacher_entropy", "tsne"]
    signs = ("std", "rank", "directions", "alignment", "uniformity")
    themed += [f"health_{sign}" for sign in signs]
    sheets = {"views.png", "neighbors.png"}
    names = {f"{name}{suffix}.png" for name in themed for suffix in ("", "-dark")}
    assert set(files) == names | sheets
    shown = page.images()
    assert {files[name] for name in names} <= set(shown)
    assert len(shown) == len(names) + 3 * 3 + 2 * 4  # figures, and tiles of two grids
    for name, data in files.items():
        with Image.open(io.BytesIO(data)) as image:
            assert 150 <= image.height <= 2400, name
            assert 150 <= image.width <= 2400, name
            levels = np.asarray(image.convert("RGB"), np.float32)
            assert levels.std() > 1, f"{name} is blank"


def test_light_and_dark_figures_have_their_own_surface(report):
    path, _ = report
    for name, theme in (("loss.png", LIGHT), ("loss-dark.png", DARK)):
        with Image.open(path.parent / name) as image:
            corner = image.convert("RGB").getpixel((0, 0))
        assert ImageColor.getrgb(theme["surface"]) == corner


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_words_stand_out_from_what_they_stand_on(theme):
    def luminance(color):  # WCAG 2.1, relative luminance
        levels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    for ink in ("ink", "muted", "accent", "better", "worse"):
        for paper in ("surface", "page"):
            pair = sorted(luminance(theme[name]) for name in (ink, paper))
            assert pair[1] / pair[0] >= 4.5, (ink, paper)


def test_everything_from_outside_is_escaped(report):
    path, page = report
    assert "<script" not in path.read_text(encoding="utf-8").lower()
    assert f"A run {HOSTILE}" in page.text  # The reader still sees it as it was.
    assert page.text.count(HOSTILE) >= 3  # Twice the title, once the setting.


def test_values_and_gains_are_those_of_the_results(report):
    _, page = report
    trained, pixels = page.column("trained"), page.column("raw pixels")
    knn, linear, depth, rmse = sorted(trained)
    assert trained[knn][:2] == (0.9271, "92.71 %")
    assert trained[linear][:2] == (2 / 3, "66.67 %± 0.12")
    assert trained[depth][:2] == (0.125, "0.125± 0.01")
    assert trained[rmse][:2] == (4.5, "4.5 m")  # The spread is the headline's.
    assert pixels[rmse][:2] == (4.25, "4.25 m")
    assert page.column("untrained encoder") == {knn: (0.4183, "41.83 %± 0.42", "")}
    gains = page.column("trained minus raw pixels")
    assert gains[knn] == (pytest.approx(0.9271 - 0.3521), "+57.50", "better")
    assert gains[linear] == (pytest.approx(2 / 3 - 0.75), "−8.33", "worse")
    assert gains[depth] == (-0.375, "−0.375", "better")  # Lower is better.
    assert gains[rmse] == (0.25, "+0.25", "worse")
    assert set(page.column("trained minus untrained encoder")) == {knn}


def test_evaluations_along_an_axis_are_a_curve(tmp_path):
    def point(layer, trained, untrained):
        rows = [("trained", trained), ("untrained", untrained)]
        return {
            "protocol": "layers",
            "title": f"layer {layer}",
            "metrics": [{"name": "accuracy", "unit": "%", "better": "higher"}],
            "along": ["layer", layer],
            "rows": [{"features": kind, "accuracy": value} for kind, value in rows],
        }

    points = [point(1, 0.2, 0.15), point(2, 0.35, 0.12), point(3, 0.3, 0.1)]
    charts = [b for b in along(points) if isinstance(b, Curves)]
    (chart,) = charts
    assert chart.title == "accuracy by layer"
    assert chart.over == "layer"
    assert list(chart.curves) == ["trained", "untrained encoder"]
    np.testing.assert_array_equal(chart.curves["trained"].x, [1, 2, 3])
    np.testing.assert_array_equal(chart.curves["trained"].y, [0.2, 0.35, 0.3])
    written(tmp_path, results={"evaluations": points, "skipped": []})
    assert (tmp_path / "along_layers.png").is_file()
    assert along(points[:1]) == []


def test_metrics_that_differ_in_their_number_are_one_chart(tmp_path):
    def record(step, *values):
        numbered = {f"horizon_accuracy_{k}": v for k, v in enumerate(values, start=1)}
        return {"kind": "train", "step": step, "loss": 1.0, **numbered, "top_5": 0.5}

    records = [record(1, 0.1, 0.1, 0.1), record(2, 0.6, 0.4, 0.3)]
    page = written(tmp_path, metrics=records)
    assert (tmp_path / "family_horizon_accuracy.png").is_file()
    assert not list(tmp_path.glob("metric_horizon*"))
    assert (tmp_path / "metric_top_5.png").is_file()  # Alone it is no family.
    said = [attributes.get("alt") for _, attributes in page.elements]
    assert "accuracy by horizon, in the last record" in said
    (family,) = _families(records[0]).items()
    chart = _by_number(records[1], *family)
    np.testing.assert_array_equal(chart.curves[""].x, [1, 2, 3])
    np.testing.assert_array_equal(chart.curves[""].y, [0.6, 0.4, 0.3])


def test_every_field_of_labels_has_a_map_of_the_same_points(tmp_path, rng):
    digits, speakers = np.arange(20) % 4, np.arange(20) // 10
    inputs = ReportInputs(
        title="t",
        features=rng.normal(size=(20, 5)),
        labels=digits,
        more_labels={"speaker": (speakers, ["eve", "adam"])},
    )
    first, second = _maps(inputs, 0)
    assert [first.name, second.name] == ["tsne", "tsne_speaker"]
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(second.labels, speakers)
    assert second.title == "Map of the features, coloured by speaker"
    write_report(tmp_path, inputs)
    assert (tmp_path / "tsne_speaker.png").is_file()


def test_on_a_phone_labels_and_numbers_are_two_elements_with_room_between(report):
    path, page = report
    narrow = path.read_text().partition("@media (max-width")[2]
    rule = narrow[narrow.index(".numbers td {") :].partition("}")[0]
    assert "justify-content: space-between; gap: 1.5rem" in rule
    # A spread is a line of its own, so that its absence moves no number.
    assert "small { display: block;" in path.read_text()
    assert ("small", {}) in page.elements


def test_key_figures(report):
    _, page = report
    for figure in (
        "20-NN, accuracy 92.71 % test, untrained 41.83 %",
        "depth, abs rel 0.125 test",
        "Health no collapse 2 looks",
        "Steps 600 12 epochs",
        "Examples per second 1,000 median of 120 records",
        "Time 1 h 2 min",
    ):
        assert figure.replace(" ", "") in page.text.replace(" ", "")


def test_settings_are_all_there_by_their_flags(report):
    said = report[1].text.replace(" ", "")
    assert "learning_rate.peak_value0.3optimizer.learning_rate.steps[1,2]" in said
    assert "method.temperature0.5" in said
    assert "seed7" in said
    assert "versions.jax0.10" in said
    assert "linear.trained.seeds3" in said  # An evaluation's detail.


def test_warnings_and_skipped_evaluations_are_said(report):
    _, page = report
    assert "1 warning" in page.text
    assert "Only half of the data was there." in page.text
    assert "Skipped few label, stereo: a class has < 10 labels." in page.text


def test_papers_are_linked(report):
    _, page = report
    for paper in ("2011.10566", "2210.02885", "2005.10242"):
        assert ("a", f"https://arxiv.org/abs/{paper}") in [
            (tag, attrs.get("href")) for tag, attrs in page.elements
        ]


def test_pictures_of_one_title_share_a_section(report):
    _, page = report
    assert page.text.count("Views") == 2  # The heading, and "Views are of the size".
    assert "The recipe has no steps." in page.text


def test_the_same_inputs_give_the_same_bytes(tmp_path, report):
    again = write_report(tmp_path, full_inputs(np.random.default_rng(0)))
    assert again.read_bytes() == report[0].read_bytes()


def test_nothing_yet_is_a_page_of_sentences(tmp_path):
    page = written(tmp_path, title="new")
    assert not page.images()
    for sentence in (
        "No evaluation has been made yet.",
        "No metrics have been recorded yet.",
        "Nobody has looked for collapse (doctor).",
        "No features have been computed: the run has no checkpoint yet.",
        "No interval of training was timed.",
        "0 settings",
    ):
        assert sentence in page.text


def test_a_run_without_labels_opens_with_what_is_known(tmp_path):
    skipped = [{"protocol": "online knn", "reason": "x has no labels"}]
    reason = "there is no test part (config.evals.test is None)"
    for protocol in ("few_label", "knn", "linear"):
        skipped.append({"protocol": protocol, "reason": reason})
    records = [r for r in metrics() if r["kind"] == "train"]
    page = written(tmp_path, metrics=[*records, look(0)], results={"skipped": skipped})
    at = page.text.index
    assert at("Loss") < at("Health") < at("Steps") < at("Skipped") < at("Curves")
    assert f"Skipped few label, knn, linear: {reason}. To judge" in page.text
    assert "labelled images, run jax-ssl evaluate with config.evals.train" in page.text
    assert sum("absent" in attrs.get("class", "") for _, attrs in page.elements) == 2
    assert "accuracy" not in page.text


def test_while_a_run_trains_the_last_record_of_each_protocol_is_a_key_figure(tmp_path):
    extra = {
        "kind": "eval",
        "step": 60,
        "protocol": "flow",
        "metric": "epe",
        "unit": "px",
        "epe": 3.5,
        "untrained": 9.0,
    }
    page = written(tmp_path, metrics=[*metrics(), extra])
    said = page.text.replace(" ", "")
    assert "knn,accuracy90.00%test,atepoch12" in said  # The last, not the best.
    assert "flow,epe3.5pxtest,untrained9px" in said
    assert {"eval_0.png", "eval_1.png"} <= {file.name for file in tmp_path.iterdir()}


def test_one_image_without_labels(tmp_path, rng):
    one = images(rng, 1, 5, 7, 2)
    page = written(
        tmp_path,
        metrics=metrics(1)[:1],
        pictures=[
            ("Views", views_grid([images(rng, 1, 1, 300, 200, 2)], one)),
            (
                "Neighbours",
                neighbors_grid(Examples(one), Examples(one[None]), np.array([[0.5]])),
            ),
        ],
        features=np.ones((1, 4)),
    )
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
    page = written(tmp_path, metrics=broken, features=np.full((5, 2), np.nan))
    assert "not finite in 2 of 3 records, first at step 20" in page.text
    assert "5 of 5 feature rows are not finite: there is no map" in page.text


def test_a_loss_that_was_never_finite(tmp_path):
    records = [{"kind": "train", "step": 1, "loss": float("nan"), "data_wait": 0.0}]
    written(tmp_path, metrics=records)
    assert not (tmp_path / "loss.png").exists()


def test_names_of_metrics_become_names_of_files(tmp_path):
    records = [{"kind": "train", "step": 1, "../loss/aux <1>": 2.0}]
    page = written(tmp_path / "report", metrics=records)
    assert "../loss/aux <1>" in [a.get("alt") for _, a in page.elements]
    assert [file.name for file in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report" / "metric_.._loss_aux_1_.png").is_file()


def test_two_figures_of_one_name_are_refused(tmp_path, rng):
    grid = Pictures("views", [Column("a", images(rng, 1, 4, 4, 3))])
    with pytest.raises(ValueError, match=r"two figures are called views\.png"):
        written(tmp_path, pictures=[("One", grid), ("Two", grid)])


def test_labels_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"labels has shape \(4,\).*\(5,\)"):
        ReportInputs(title="", features=np.ones((5, 2)), labels=np.arange(4))


def test_importing_the_package_does_not_load_the_plotting_library():
    code = (
        "import sys, jax_ssl.report; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'sklearn', 'jinja2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_commit_that_is_not_known_is_not_shown(tmp_path):
    page = written(tmp_path, environment={"commit": None, "command": "y"})
    heading = page.text[page.text.index("Environment") :].partition("command")[0]
    assert "null" not in heading.partition("commit")[0]

"""The report and the documentation's site in Chromium, on a phone and on a desk."""

import contextlib
import functools
import http.server
import importlib.util
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from jax_ssl.report import Column, Pictures, ReportInputs, write_report
from jax_ssl.report.blocks import Cell, Curve, Curves, Section, Table
from jax_ssl.report.html import page
from tests.chromium import Chromium, program
from tests.report.inputs import RESULTS, images, look, metrics

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHONE, WIDE = 390, 1280
CONTRAST = 4.5  # WCAG 2.1, 1.4.3, at level AA
SMALLEST = 11.5  # CSS pixels of a letter
LONG = "a_name_that_has_no_space_in_it_and_is_wider_than_any_phone_" * 2


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    path = program()
    if path is None:
        pytest.skip("no Chromium here; install chromium, or name one in CHROMIUM")
    with contextlib.closing(Chromium(path, tmp_path_factory.mktemp("profile"))) as tab:
        yield tab


def faults(browser, address, root="body"):
    """Everything that is wrong with a page, at both widths and in both schemes."""
    said = {}
    for scheme in ("light", "dark"):
        for width in (PHONE, WIDE):
            browser.show(width, scheme)
            browser.open(address)
            words = browser.words(root)
            found = [] if words else ["there are no words"]
            if (over := browser.sideways()) > 0:
                found.append(f"{over} pixels wider than the window")
            for word in words:
                if word["contrast"] < CONTRAST or word["size"] < SMALLEST:
                    found.append(str(word))
            if found := [*found, *browser.complaints()]:
                said[f"{width} {scheme}"] = found
    return said


def test_a_page_with_every_fault_is_found_out(browser, tmp_path):
    """Of black and white, #767676 is the palest grey that can be read on white."""
    source = """<!doctype html><meta name="viewport" content="width=device-width">
    <style>:root { color-scheme: light dark }
    @media (prefers-color-scheme: dark) { i { background: #fff } }</style>
    <p style="background: #fff; color: #767676">passes</p>
    <p style="background: #fff; color: #777777">pale</p>
    <p style="background: #fff"><b style="color: #000; opacity: 0.5">faint</b></p>
    <p style="color: #fff0; background: #000">clear</p>
    <p style="visibility: hidden; color: #fff">hidden</p>
    <i>glaring</i><p style="font-size: 8px">tiny</p>
    <div style="width: 500px">wide</div><img src="absent.png">
    <script>console.error("wrong"); nothing.at.all</script>"""
    (tmp_path / "page.html").write_text(source)
    found = faults(browser, f"file://{tmp_path}/page.html")
    assert {*found} == {"390 light", "390 dark", "1280 light", "1280 dark"}

    def said(where):
        words = ("passes", "pale", "faint", "clear", "hidden", "glaring", "tiny")
        return [w for w in words if any(f"'{w}'" in each for each in found[where])]

    always = ["pale", "faint", "clear", "tiny"]
    assert said("390 light") == said("1280 light") == always
    assert said("390 dark") == said("1280 dark") == [*always[:3], "glaring", "tiny"]
    assert [s for s in found["390 light"] if "wider" in s]
    assert not [s for s in found["1280 light"] if "wider" in s]
    for heard in map(" ".join, found.values()):
        assert "console: wrong" in heard
        assert "nothing is not defined" in heard
        assert "ERR_FILE_NOT_FOUND" in heard


def everything(rng):
    """A run with many evaluations and with pictures of every kind."""
    evaluations = [
        {
            "protocol": f"protocol_{i}",
            "title": f"{LONG if i == 3 else 'protocol'} {i}",
            "remark": f"a remark of {i} that goes on for longer than a line has room",
            "settings": {"k": i, "scores": rng.uniform(size=40).tolist()},
            "split": "test",
            "step": 123_456_789,
            "metrics": [
                {"name": "accuracy", "unit": "%", "better": "higher"},
                {"name": "mean_absolute_relative_error", "unit": "m"},
            ],
            "rows": [
                {
                    "features": kind,
                    "accuracy": rng.uniform(),
                    "mean_absolute_relative_error": 12_345.678,
                    "std": 0.0123,
                    "detail": {"path": LONG},
                }
                for kind in ("trained", "untrained", "pixels", "mfcc")
            ],
        }
        for i in range(12)
    ]
    along = [
        {**evaluations[0], "protocol": "layers", "along": ["layer", i]}
        for i in range(4)
    ]
    way = np.cumsum(rng.normal(size=(30, 2)), axis=0).tolist()
    tracks = {"rows": [{"features": "trained", "tracks": {"09": None}}]}
    tracks["rows"][0]["tracks"]["09"] = {"true": way, "found": way[::-1]}
    columns = [
        Column("image", images(rng, 3, 8, 8, 3), words=[LONG, "b\nc", "d"]),
        Column("frames", images(rng, 3, 6, 8, 8, 3), "frames", group="a group"),
        Column(
            "mask", rng.integers(0, 9, (3, 8, 8)), "mask", agrees=[True, False, None]
        ),
        Column("depth", images(rng, 3, 8, 8), "depth"),
        Column("flow", rng.normal(size=(3, 8, 8, 2)), "flow"),
        Column(LONG, rng.uniform(-1, 1, (3, 9000)), "wave"),
    ]
    own = {f"a_metric_of_the_method_{i}_x": 0.5 for i in range(5)}
    labels = np.arange(40) % 12
    return ReportInputs(
        title=LONG,
        config={"method": {"name": "simclr", LONG: LONG}, "empty": {}},
        metrics=[{**r, **own} for r in metrics(300)] + [look(0), look(300, "rank")],
        results={
            "evaluations": [*RESULTS["evaluations"], *evaluations, *along, tracks],
            "skipped": RESULTS["skipped"],
        },
        pictures=[("Shown", Pictures("shown", columns, f"A caption. {LONG}"))],
        features=rng.normal(size=(40, 8)) + 5 * np.eye(12, 8)[labels],
        labels=labels,
        label_names=[LONG, *map(str, range(11))],
        environment={"command": f"jax-ssl train --workdir={LONG}", "commit": "abc"},
        warnings=["Only half of the data was there.", LONG],
    )


def test_a_report_of_everything(browser, tmp_path, rng):
    path = write_report(tmp_path, everything(rng))
    assert faults(browser, path.as_uri()) == {}


def test_a_report_of_nothing_yet(browser, tmp_path):
    path = write_report(tmp_path, ReportInputs(title="new"))
    assert faults(browser, path.as_uri()) == {}


def test_the_page_of_a_comparison(browser, tmp_path, rng):
    """Many runs, side by side: a table for each part of the page."""
    names = [f"{LONG[:40]}{i}" for i in range(9)]
    cells = [Cell("0.5", "± 0.1", value=0.5) for _ in names]
    rows = [[Cell("20-NN", "test split", "strong"), Cell("accuracy"), *cells]] * 3
    curves = {name: Curve(np.arange(9.0), rng.normal(size=9)) for name in names[:3]}
    blocks = [
        Table(rows, ["evaluation", "metric", *names]),
        Curves("a", "Loss", curves),
    ]
    folder = tmp_path / "index.html"
    folder.write_text(page("Comparison", "9 runs", [Section("Results", blocks)], {}))
    assert faults(browser, folder.as_uri()) == {}


def test_the_report_of_a_run(browser, tmp_path):
    command = [sys.executable, "-m", "jax_ssl", "train", "--config=simclr_digits"]
    short = ["--config.run.num_epochs=8", f"--workdir={tmp_path}/run"]
    subprocess.run([*command, *short], check=True, cwd=ROOT)
    path = tmp_path / "run" / "report" / "index.html"
    assert faults(browser, path.as_uri()) == {}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's folder and its address, while it is served."""
    folder = os.environ.get("SSL_TEST_SITE")
    if folder is None:
        if not importlib.util.find_spec("mkdocs"):
            pytest.skip(
                "no mkdocs here; install the extra [docs], or set SSL_TEST_SITE"
            )
        folder = tmp_path_factory.mktemp("site")
        build = ["mkdocs", "build", "-q", "-f", ".mkdocs.yml", f"--site-dir={folder}"]
        subprocess.run([sys.executable, "-m", *build], check=True, cwd=ROOT)
    serve = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield pathlib.Path(folder), f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_site(browser, site):
    """The first page of every folder, and all pages that were written by hand."""
    folder, address = site
    found = sorted(
        page.parent.relative_to(folder) for page in folder.rglob("index.html")
    )
    firsts = {page.parts[:1]: page for page in reversed(found)}
    paths = {
        *firsts.values(),
        *(page for page in found if page.parts[:1] == ("howto",)),
    }
    wrong = {}
    for path in sorted(paths):
        # The search's words lie unseen in the header until somebody searches.
        if said := faults(browser, f"{address}/{path.as_posix()}/", ".md-container"):
            wrong[str(path)] = said
    assert wrong == {}


def test_the_site_is_dark_where_the_system_is(browser, site):
    """And not only legible: its paper has less light than its ink."""
    papers = {}
    for scheme in ("light", "dark"):
        browser.show(WIDE, scheme)
        browser.open(f"{site[1]}/")
        papers[scheme] = browser.run(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
    assert max(papers["dark"]) < 80 < 200 < min(papers["light"]), papers

"""Exported encoders on images: `jax_ssl.load`, `jax-ssl embed`, `jax-ssl predict`."""

import csv
import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

import jax_ssl
from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.config import Experiment, load_page, override, resolved
from jax_ssl.data.given import Frame
from jax_ssl.evaluate.kinds import POOLED
from jax_ssl.evaluate.part import gathered
from jax_ssl.run.embed import neighbors, writer
from jax_ssl.run.export import write_export
from jax_ssl.run.run import Run

PAGE = str(pathlib.Path(__file__).parents[2] / "configs" / "simclr_digits.py")
CLASSES = ("cat", "dog")
SETTINGS = {
    "encoder.widths": "(4,)",
    "method": "{'name': 'classifier', 'num_classes': 2, 'mixup': 0.0, 'cutmix': 0.0, "
    "'first_std': 1.0, 'batch_norm': True}",
    "views": "{'name': 'supervised', 'size': 8, 'mean': None, 'std': None}",
    "optimizer": "{'name': 'sgd', 'learning_rate': 0.1}",
    "feed": "{'batch_size': 8}",
    "evals": "{'view': {'name': 'center_crop', 'size': 8, 'resize': 12, "
    "'mean': (0.4, 0.5, 0.6), 'std': (0.2, 0.3, 0.4)}}",
    "run": "{'num_steps': 1}",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve pictures of several sizes in two folders; some exceed the canvas."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(12):
        folder = root / CLASSES[i % 2]
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (12 + i, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return root


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """An untrained classifier, and what it exports in its folder."""
    data = (
        f"{{'name': 'folder', 'path': '{images}', 'canvas': 20, 'labels': 'folders'}}"
    )
    changes = [f"{key}={value}" for key, value in {**SETTINGS, "data": data}.items()]
    config = resolved(override(load_page(PAGE), changes))
    found = Run(Experiment(config), tmp_path_factory.mktemp("run"))
    (found.workdir / "config.json").write_text(json.dumps(config))
    found.train_state = found.program.fresh(jax.random.key(0))
    for what in ("encoder", "classifier"):
        write_export(found, found.train_state, what)
    return found


@pytest.fixture(scope="module")
def encoder(run):
    return jax_ssl.load(run.workdir)


def paths(images):
    return sorted(images.rglob("*.png"))


def test_vectors_are_those_that_the_run_is_judged_by(run, encoder, images):
    with jax.set_mesh(run.experiment.mesh):
        whole = run.train_state.params, run.train_state.state
        part = run.judge.parts([POOLED], whole, run.train)[POOLED]
        judged = np.asarray(gathered(part.values.take(np.arange(12))))[:12]
    vectors = encoder(paths(images))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, judged, atol=1e-5)
    # Neither the size of the batch nor what else is in it changes a vector.
    np.testing.assert_allclose(encoder(paths(images), batch_size=5), judged, atol=1e-5)


def test_paths_pictures_and_arrays_are_the_same(encoder, images):
    files = paths(images)[:3]
    opened = [Image.open(file) for file in files]
    arrays = [np.asarray(picture) for picture in opened]
    vectors = encoder([str(file) for file in files])
    np.testing.assert_array_equal(encoder(opened), vectors)
    np.testing.assert_array_equal(encoder(arrays), vectors)
    np.testing.assert_array_equal(encoder(arrays[0]), vectors[:1])
    features = encoder.features(arrays)
    # The convnet pools its grid by the mean.
    np.testing.assert_allclose(features.grid.mean((1, 2)), vectors, rtol=1e-5)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((8, 8, 3), np.float32), r"image 0: .* of uint8.* not \[8, 8, 3\] of"),
        (np.zeros((8, 8, 5), np.uint8), "image 0: it has 5 bands"),
        (7, "image 0: an image must be a path, a picture of Pillow or an array, not"),
        ("nowhere.png", "nowhere.png: No such file"),
    ],
)
def test_what_is_no_image_is_named(encoder, image, said):
    with pytest.raises(ValueError, match=said):
        encoder([image])


def test_no_images_and_no_head_are_said(encoder, images):
    with pytest.raises(ValueError, match="the list is empty"):
        encoder([])
    with pytest.raises(ValueError, match="an encoder without a head"):
        encoder.probabilities(paths(images))


def test_the_cut_without_a_canvas_is_that_of_torchvision(rng):
    # Resize(16), CenterCrop(12) of 30 x 45: 16 x int(16 * 45 / 30) = 24, then the box
    # from round((24 - 12) / 2) = 6 and round((16 - 12) / 2) = 2.
    picture = Image.fromarray(rng.integers(0, 256, (30, 45, 3), np.uint8))
    known = picture.resize((24, 16), Image.Resampling.BICUBIC).crop((6, 2, 18, 14))
    found, size = Frame(sides=(12, 12), resize=16).read(picture)
    np.testing.assert_array_equal(found, np.asarray(known))
    assert size == (30, 45)


def test_neighbours_are_those_of_all_cosines(rng):
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    vectors[7] = vectors[3]  # Twice the same, whose neighbours are each other.
    cosines, rows = neighbors(vectors, 3)
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    every = exact @ exact.T
    np.fill_diagonal(every, -2)
    np.testing.assert_array_equal(rows, np.argsort(-every, axis=1)[:, :3])
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :3], atol=1e-6)


def test_embed_names_what_it_leaves_out(run, encoder, images, tmp_path, caplog):
    folder, output = tmp_path / "mixed", tmp_path / "features.npz"
    (folder / "b").mkdir(parents=True)
    for file in paths(images)[:3]:
        (folder / "b" / file.name).write_bytes(file.read_bytes())
    (folder / "a.png").write_bytes(b"no picture")
    (folder / "c.jpg").write_bytes(b"")
    sheet = tmp_path / "sheet.png"
    words = [f"--encoder={run.workdir}", f"--images={folder}", f"--output={output}"]
    assert main(["embed", *words, "--neighbors=1", f"--sheet={sheet}"]) == 0
    assert "2 of 5 images cannot be read and are left out: a.png (not an" in caplog.text
    height, width, channels = encoder.reads
    said = (
        f"reads {height} x {width} pixels of {channels} channels of every image; what"
    )
    assert said in caplog.text
    found = np.load(output)
    assert found["files"].tolist() == [f"b/{file.name}" for file in paths(images)[:3]]
    np.testing.assert_allclose(found["vectors"], encoder(paths(images)[:3]), atol=1e-6)
    assert found["neighbors"].shape == (3, 1)
    assert json.loads(str(found["about"]))["sha256"] == encoder.card["sha256"]
    assert Image.open(sheet).size[0] > 300


def test_parquet_holds_the_same(tmp_path, rng):
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "files": np.array(["a.png", "ü.png"]),
        "vectors": rng.normal(size=(2, 3)).astype(np.float32),
        "neighbors": np.array([[1], [0]], np.int32),
    }
    path = tmp_path / "f.parquet"
    writer(path)(path, columns, {"step": 4})
    table = parquet.read_table(path)
    assert table["file"].to_pylist() == ["a.png", "ü.png"]
    for name, key in (("vector", "vectors"), ("neighbors", "neighbors")):
        np.testing.assert_array_equal(np.array(table[name].to_pylist()), columns[key])
    assert json.loads(table.schema.metadata[b"about"]) == {"step": 4}


def test_predict_writes_what_the_head_says(run, images, tmp_path):
    output = tmp_path / "predictions.csv"
    words = [f"--classifier={run.workdir}", f"--images={images}", f"--output={output}"]
    assert main(["predict", *words, "--top=2"]) == 0
    loaded = jax_ssl.load(run.workdir / "export" / "classifier.npz")
    assert loaded.classes == CLASSES
    method, train = run.experiment.method, run.train_state
    batch = run.experiment.everything[np.arange(12)]
    with jax.set_mesh(run.experiment.mesh):
        view = jax.vmap(lambda row: run.experiment.view(jax.random.key(0), row))
        scores = method.health.project(train.params, train.state, view(batch))
    scores = np.asarray(scores, np.float64)
    known = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    rows = list(csv.DictReader(output.open()))
    said = {(row["file"], row["class"]): float(row["probability"]) for row in rows}
    for file, both in zip(paths(images), known, strict=True):
        for name, value in zip(CLASSES, both, strict=True):
            assert abs(said[file.relative_to(images).as_posix(), name] - value) < 1e-5
    firsts = [float(row["probability"]) for row in rows[::2]]
    assert min(firsts) >= 0.5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encoder=nowhere.npz", "--images=."], "no exported encoder nowhere.npz"),
        (["--encoder={images}", "--images=."], "a folder and holds no run"),
        (["--encoder={run}", "--images=nowhere"], "--images=nowhere: there is no such"),
        (["--encoder={run}", "--images=.", "--output=f.csv"], "must end in .npz or"),
        (["--encoder={run}", "--images=.", "--neighbors=0"], "must be at least 1"),
        (["--encoder={run}", "--images=.", "--sheet=a.gif"], "must end in .png"),
        (
            ["--encoder=no", "--images=.", "--output={folder}"],
            "out.npz: Is a directory",
        ),
        (["--encoder={run}", "--images={file}"], "is a file; name the folder"),
    ],
)
def test_what_cannot_be_embedded_is_said(run, images, tmp_path, words, said, capsys):
    (folder := tmp_path / "out.npz").mkdir()
    at = {"run": run.workdir, "images": images, "folder": folder, "file": __file__}
    words = [word.format(**at) for word in words]
    assert main(["embed", *words]) == 2
    assert said in capsys.readouterr().err


def test_it_is_said_what_the_encoder_reads(encoder):
    assert encoder.reads == (8, 8, 3)


def test_a_loaded_encoder_is_shown_without_its_weights(run):
    assert "array(" not in repr(jax_ssl.load(run.workdir))


def test_an_export_is_written_in_another_form(run, tmp_path, capsys):
    file, output = run.workdir / "export" / "classifier.npz", tmp_path / "a.safetensors"
    words = ["export", f"--encoder={file}"]
    assert main([*words, "--to=safetensors", f"--output={output}"]) == 0
    data = output.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    kernel = np.load(file)["params/encoder/conv0/kernel"]
    first, last = header["params/encoder/conv0/kernel"]["data_offsets"]
    assert data[8 + length + first : 8 + length + last] == kernel.tobytes()
    assert json.loads(header["__metadata__"]["card"])["what"] == "classifier"
    for more, said in (
        (["--to=hf"], "a ConvNet has no counterpart there; --to=npz and"),
        ([], "would take the place of the file that is read; choose another --to"),
        ([f"--workdir={run.workdir}"], "give one of the two"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err


def test_our_safetensors_come_back_bit_for_bit(run, tmp_path, capsys):
    file = run.workdir / "export" / "classifier.npz"
    there, back = tmp_path / "a.safetensors", tmp_path / "b.npz"
    assert (
        main(["export", f"--encoder={file}", "--to=safetensors", f"--output={there}"])
        == 0
    )
    known, card = load_encoder(file)
    assert main(["import", str(there), f"--output={back}"]) == 0
    for path in (there, back):
        found, said = load_encoder(path)
        assert said == card
        jax.tree.map(np.testing.assert_array_equal, found, known)
    image = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    outputs = [jax_ssl.load(path).probabilities(image) for path in (file, there)]
    np.testing.assert_array_equal(*outputs)
    capsys.readouterr()
    for more, said in (
        (["--heads=3"], "--heads: "),
        ([f"--output={there.with_suffix('.npz')}", "--from=timm"], "--from: "),
    ):
        assert main(["import", str(there), *more]) == 2
        assert f"{said}{there} has a card" in capsys.readouterr().err

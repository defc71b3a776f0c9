import hashlib
import json
import os
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ssl.checkpoint.export import check_structure, export_encoder, load_encoder
from tests.checkpoint.states import assert_same_bits, put

CARD = {
    "encoder": {"name": "resnet18", "stem": "small"},
    "input": {"size": 32, "channels": 3, "range": [0, 1], "mean": (0.5,), "std": None},
    "method": "simclr",
    "step": np.int64(7),
}


@pytest.fixture(scope="module")
def variables():
    key = jax.random.key(0)
    return {
        "params": {
            "stem": {"kernel": jax.random.normal(key, (3, 4))},
            "half": jax.random.normal(key, (5,), jnp.bfloat16),
            "scalar": jnp.float32(2.5),
        },
        "batch_stats": {"stem": {"mean": jnp.arange(4.0), "count": jnp.int32(3)}},
    }


@pytest.fixture(scope="module")
def exported(variables, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "deep" / "encoder.npz"
    return path, export_encoder(path, variables, CARD)


def test_comes_back_bit_for_bit_with_its_card(exported, variables):
    path, card = exported
    loaded, found = load_encoder(path)
    assert_same_bits(loaded, variables)
    assert found == card
    assert found["format"] == 1
    assert found["parameters"] == 3 * 4 + 5 + 1
    assert found["step"] == 7
    assert found["input"]["mean"] == [0.5]
    assert os.listdir(path.parent) == ["encoder.npz"]


def test_the_digest_is_of_names_types_shapes_and_bytes_in_order(exported, variables):
    _, card = exported
    rows = [
        ("batch_stats/stem/count", "int32", "", variables["batch_stats"]),
        ("batch_stats/stem/mean", "float32", "4", variables["batch_stats"]),
        ("params/half", "bfloat16", "5", variables["params"]),
        ("params/scalar", "float32", "", variables["params"]),
        ("params/stem/kernel", "float32", "3,4", variables["params"]),
    ]
    expected = hashlib.sha256()
    for name, dtype, shape, tree in rows:
        for part in name.split("/")[1:]:
            tree = tree[part]
        expected.update(f"{name}\n{dtype}\n{shape}\n".encode())
        expected.update(np.asarray(tree).tobytes())
    assert card["sha256"] == expected.hexdigest()


def test_numpy_alone_reads_it(exported, variables):
    path, _ = exported
    program = """
import json, sys
import numpy as np
archive = np.load(sys.argv[1])
card = json.loads(str(archive["card"]))
wide = archive["params/half"].astype(np.uint32) << 16
print(json.dumps([card["dtypes"], archive["params/stem/kernel"].tolist(),
                  wide.view(np.float32).tolist()]))
assert "jax" not in sys.modules and "ml_dtypes" not in sys.modules
"""
    printed = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        check=True,
        cwd=path.parent,
    ).stdout
    dtypes, kernel, half = json.loads(printed)
    assert dtypes == {"params/half": "bfloat16"}
    params = variables["params"]
    np.testing.assert_array_equal(np.float32(kernel), params["stem"]["kernel"])
    np.testing.assert_array_equal(half, np.asarray(params["half"], np.float32))


def test_sharded_variables_give_the_same_file(exported, variables, tmp_path):
    wide = {"params": {"kernel": jnp.arange(32.0).reshape(8, 4)}}
    one = export_encoder(tmp_path / "one.npz", wide, {})
    eight = export_encoder(tmp_path / "eight.npz", put(wide, 8), {})
    assert one["sha256"] == eight["sha256"]


def test_a_changed_array_is_noticed(exported, tmp_path):
    path, _ = exported
    with np.load(path) as archive:
        entries = dict(archive)
    entries["params/scalar"] = np.float32(2.6)
    changed = tmp_path / "changed.npz"
    np.savez(changed, **entries)
    with pytest.raises(ValueError, match=r"SHA-256 .* damaged or was changed"):
        load_encoder(changed)


def test_what_is_no_export_is_refused(exported, tmp_path):
    path, _ = exported
    with pytest.raises(FileNotFoundError, match=r"no exported encoder .*absent"):
        load_encoder(tmp_path / "absent.npz")
    with pytest.raises(FileNotFoundError, match=r"is a folder .*export/encoder\.npz"):
        load_encoder(tmp_path)
    (tmp_path / "short.npz").write_bytes(path.read_bytes()[:300])
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for name in ("short", "text", "other"):
        with pytest.raises(ValueError, match=f"{name}.npz is no exported encoder") as e:
            load_encoder(tmp_path / f"{name}.npz")
        assert "pickle" not in str(e.value)  # NumPy would say how to run one.
    np.savez(tmp_path / "new.npz", card=json.dumps({"format": 2, "library": "9.9"}))
    with pytest.raises(ValueError, match=r"has format 2.*jax_ssl 9.9"):
        load_encoder(tmp_path / "new.npz")


def test_a_damaged_byte_is_noticed(exported, tmp_path):
    path, _ = exported
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("params/stem/kernel.npy").header_offset
    content[offset + 180] ^= 1
    (tmp_path / "bit.npz").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_encoder(tmp_path / "bit.npz")


def test_an_export_that_fails_leaves_the_old_file(exported, variables, tmp_path):
    path = tmp_path / "encoder.npz"
    export_encoder(path, variables, CARD)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="has no form in JSON"):
        export_encoder(path, variables, {"what": object()})
    with pytest.raises(ValueError, match=r"may not give \['sha256'\]"):
        export_encoder(path, variables, {"sha256": "x"})
    with pytest.raises(ValueError, match="cannot export"):
        export_encoder(path, {}, {})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["encoder.npz"]


def test_structure_is_compared_whole_and_dtypes_are_not(variables):
    check_structure(jax.eval_shape(lambda: variables), variables)
    float32 = jax.tree.map(lambda x: np.asarray(x, np.float32), variables)
    check_structure(jax.eval_shape(lambda: variables), float32)
    wrong = {
        "params": {
            "stem": {"kernel": np.zeros((3, 5))},
            "scalar": np.float32(1),
            "extra": np.zeros(1),
        },
        "batch_stats": variables["batch_stats"],
    }
    with pytest.raises(ValueError, match="not this encoder's") as caught:
        check_structure(variables, wrong)
    text = str(caught.value)
    assert "missing: params/half\n" in text
    assert "unexpected: params/extra\n" in text
    assert "different: params/stem/kernel ([3, 5] there, [3, 4] here)" in text

"""`jax-ssl import`: what is told, what is left over, and what is refused."""

import json

import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.interop.families import FAMILIES
from jax_ssl.interop.importing import import_weights
from jax_ssl.interop.names import (
    TABLES,
    axes_to_ours,
    axes_to_theirs,
    to_ours,
    to_theirs,
)
from jax_ssl.interop.settings import card_input, count
from tests.interop import by_hand
from tests.interop.families import filled, recorded
from tests.interop.test_families import write


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return write(tmp_path_factory.mktemp("vit"), "timm")


def changed(path, case, **more):
    """The file of a case with further arrays, or without those that are None."""
    arrays = filled(recorded()[case]["shapes"]) | more
    return by_hand.save_zip(path, {n: a for n, a in arrays.items() if a is not None})


def test_command_writes_an_encoder_of_ours_and_a_certificate(vit, tmp_path, capsys):
    out = tmp_path / "encoder.npz"
    assert main(["import", str(vit), "--heads=2", f"--output={out}"]) == 0
    said = capsys.readouterr().out
    assert "read as timm" in said
    assert "less (0.5, 0.5, 0.5), over (0.5, 0.5, 0.5)" in said
    variables, card = load_encoder(out)
    torch = filled(recorded()["timm"]["shapes"])
    kernel = variables["params"]["block1"]["attention"]["qkv"]["kernel"]
    np.testing.assert_array_equal(kernel, torch["blocks.1.attn.qkv.weight"].T)
    assert card["encoder"]["pool"] == "mean"
    assert card["input"]["view"]["mean"] == [0.5, 0.5, 0.5]
    said = json.loads((tmp_path / "encoder.certificate.json").read_text())
    line = said["mapped"]["blocks.1.attn.qkv.weight"]
    assert line["ours"] == "params/block1/attention/qkv/kernel"
    assert (line["shape"], line["here"]) == ("[96, 32]", "[32, 96]")
    assert said["left_over"]["heads"] == ["head.bias", "head.weight"]
    assert len(said["files"][0]["sha256"]) == 64


def test_what_is_no_known_head_is_listed_unless_let_pass(tmp_path):
    path = changed(tmp_path / "a", "timm", **{"blocks.0.extra": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"(?s)holds 1 arrays.*\n  blocks\.0\.extra\n"):
        import_weights(path, heads=2)
    found = import_weights(path, heads=2, allow_unused=True)
    assert found.certificate["left_over"]["unknown"] == ["blocks.0.extra"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"norm1": None}, r"block1/norm0/scale is missing.*another network"),
        (
            {"norm1": np.ones(31, np.float32)},
            r"block1/norm0/scale has the shape \[31\], not \[32\]",
        ),
        ({"norm1": np.ones((1, 32), np.float32)}, r"shape \[1, 32\], of no vector"),
    ],
)
def test_weights_of_another_network_say_what_differs(tmp_path, more, said):
    arrays = {f"blocks.1.{name}.weight": array for name, array in more.items()}
    with pytest.raises(ValueError, match=said):
        import_weights(changed(tmp_path / "a", "timm", **arrays), heads=2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, r"width of 32 does not tell.*--heads=N"),
        ({"heads": 5}, r"num_heads = 5 does not divide"),
        ({"source": "dio"}, r"--from=dio is no source known here; choose auto, "),
        ({"source": "moco"}, r"no network that is known here as moco\."),
        ({"prefix": "module."}, r"behind the prefix 'module\.'"),
        ({"heads": 2, "chosen": {"poo": 1}}, r"ViT has no setting 'poo'; it has dim"),
        ({"heads": 2, "chosen": {"activation": "x"}}, "activation = 'x'"),
    ],
)
def test_questions_without_an_answer_are_refused(vit, asked, said):
    with pytest.raises(ValueError, match=said):
        import_weights(vit, **asked)


def test_one_of_several_networks_is_chosen_by_its_prefix(tmp_path):
    arrays = filled(recorded()["timm"]["shapes"])
    both = {f"{copy}.{n}": a for copy in "ab" for n, a in arrays.items()}
    path = by_hand.save_zip(tmp_path / "a", both)
    with pytest.raises(ValueError, match=r"the prefixes 'a\.', 'b\.'; .* by --prefix"):
        import_weights(path, heads=2)
    found = import_weights(path, heads=2, prefix="b.")
    assert found.certificate["prefix"] == "b."
    assert set(found.certificate["left_over"]["beside"]) == {f"a.{n}" for n in arrays}


@pytest.mark.parametrize(
    ("case", "lost"),
    [
        ("timm", "blocks.1.attn.qkv.bias"),
        ("hf_vit", "vit.encoder.layer.1.attention.attention.query.bias"),
    ],
)
def test_a_bias_that_other_blocks_have_is_missing_and_not_zero(tmp_path, case, lost):
    assert lost in recorded()[case]["shapes"]
    path = changed(tmp_path / "a", case, **{lost: None})
    with pytest.raises(ValueError, match=r"block1/attention/qkv/bias is missing"):
        import_weights(path, heads=2)


def test_a_network_that_rotates_unseen_is_refused(tmp_path):
    # EVA-02 small: a ViT's names and learned positions, and rotations without an array.
    qkv = {
        "blocks.0.attn.qkv.bias": None,
        "blocks.0.attn.q_bias": np.ones(32, np.float32),
        "blocks.0.attn.v_bias": np.ones(32, np.float32),
    }
    gated = {
        "blocks.0.mlp.fc1.weight": np.ones((128, 32), np.float32),
        "blocks.0.mlp.fc2.weight": np.ones((32, 64), np.float32),
    }
    with pytest.raises(ValueError, match="EVA-02, whose attention rotates"):
        import_weights(changed(tmp_path / "a", "timm", **qkv, **gated), heads=2)


def test_positions_of_no_square_are_refused(tmp_path):
    more = {"pos_embed": np.ones((1, 13, 32), np.float32)}
    with pytest.raises(ValueError, match="13 positions are those of no square grid"):
        import_weights(changed(tmp_path / "a", "timm", **more), heads=2)


def test_class_token_without_a_position_has_zeros(tmp_path):
    found = import_weights(write(tmp_path, "timm_resampled"), heads=2)
    table = found.variables["params"]["position_embed"]
    assert table.shape == (17, 32)
    np.testing.assert_array_equal(table[0], 0)


def test_preprocessing_beside_the_weights_is_that_of_the_card(tmp_path):
    path = write(tmp_path, "hf_vit")
    told = {"size": {"shortest_edge": 40}, "crop_size": {"height": 16, "width": 16}}
    told |= {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3], "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    view = import_weights(path).card["input"]["view"]
    assert view == {
        **{"name": "center_crop", "size": 16, "resize": 40},
        **{"interpolation": "bicubic", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]},
    }


def test_the_share_of_the_cut_is_that_of_convnexts_processor():
    # The shorter side is resized to 224 / 0.875; from 384 on nothing is cut.
    told = {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}
    view = card_input(FAMILIES["hf_resnet"], 224, 3, told)["view"]
    assert (view["size"], view["resize"]) == (224, 256)
    told = {"size": {"shortest_edge": 384}, "crop_pct": 0.875}
    view = card_input(FAMILIES["hf_resnet"], 224, 3, told)["view"]
    assert (view["size"], view["resize"]) == (384, 384)


def test_simclr_of_tensorflow_is_numbered_in_the_order_of_its_making(tmp_path):
    """Shortcut first; a network of one stage, whose kernels are told apart by sizes."""
    from jax_ssl.interop import layouts

    sizes = [(7, 3, 64)]
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width, before = 64 * 2**stage, 64 if stage == 0 else 128 * 2**stage
        for block in range(blocks):
            into = before if block == 0 else 4 * width
            if block == 0:
                sizes.append((1, into, 4 * width))
            sizes += [(1, into, width), (3, width, width), (1, width, 4 * width)]
    arrays = {}
    for i, (side, into, out) in enumerate(sizes):
        number = f"_{i}" if i else ""
        kernel = np.broadcast_to(np.float32(i), (side, side, into, out))
        arrays[f"conv2d{number}.kernel"] = kernel
        for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
            name = f"batch_normalization{number}.{leaf}"
            arrays[name] = np.full(out, i, np.float32)
    found, _ = layouts.SIMCLR.read(arrays)
    assert found["layer1.0.downsample.0.weight"][0, 0, 0, 0] == 1
    assert found["layer1.0.conv1.weight"][0, 0, 0, 0] == 2
    assert found["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert found["layer4.2.bn3.running_var"][0] == 52
    with pytest.raises(ValueError, match=r"52 convolutions.*selective kernels \(sk1\)"):
        layouts.SIMCLR.read({n: a for n, a in arrays.items() if "_52." not in n})


@pytest.mark.parametrize("network", TABLES)
def test_names_and_axes_go_there_and_back(network):
    numbers = {"resnet": "layer3.4", "vit": "blocks.7"}[network]
    shapes = {
        "vector": (3,),
        "dense": (2, 3),
        "conv": (4, 3, 2, 2),
        "patch": (4, 3, 2, 2),
    }
    shapes["tokens"] = (1, 5, 3)
    for row in TABLES[network]:
        theirs = row.theirs.replace("layer{}.{}", numbers).replace("blocks.{}", numbers)
        ours, kind = to_ours(theirs, TABLES[network])
        assert to_theirs(ours, TABLES[network]) == (theirs, kind)
        array = np.arange(np.prod(shapes[kind])).reshape(shapes[kind])
        back = axes_to_theirs(axes_to_ours(array, kind), kind, patch=2)
        np.testing.assert_array_equal(back, array)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    kernel = np.full((96, 32), np.nan, np.float32)
    path = changed(tmp_path / "a", "timm", **{"blocks.1.attn.qkv.weight": kernel})
    with pytest.raises(ValueError, match=r"block1/attention/qkv/kernel.*not finite"):
        import_weights(path, heads=2)


def test_a_number_in_a_name_asks_for_no_network_of_its_size(tmp_path):
    more = {"blocks.99999999999.a": np.ones(1, np.float32)}
    with pytest.raises(ValueError, match=r"blocks\.2 is missing"):
        import_weights(changed(tmp_path / "a", "timm", **more), heads=2)


def test_blocks_of_a_resnet_are_counted_by_all_of_their_arrays():
    names = ["layer1.0.bn1.bias", "layer1.1.conv1.weight", "layer2.0.conv1.weight"]
    arrays = dict.fromkeys(names)
    assert count(arrays, "layer", first=1) == 2
    assert count(arrays, "layer1.") == 2
    with pytest.raises(ValueError, match=r"layer1\.0 is missing"):
        count(dict.fromkeys(names[1:]), "layer1.")


def test_damage_suggests_no_other_family(tmp_path):
    path = changed(tmp_path / "a", "timm")
    data = bytearray(path.read_bytes())
    value = filled(recorded()["timm"]["shapes"])["blocks.1.attn.qkv.weight"].tobytes()
    data[data.index(value)] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="is damaged") as caught:
        import_weights(path, heads=2)
    assert "--from" not in str(caught.value)

"""`jax-ssl import`: what is told, what is left over, and what is refused."""

import functools
import json
import re

import jax
import numpy as np
import pytest

from jax_ssl.checkpoint.export import load_encoder
from jax_ssl.cli import main
from jax_ssl.interop import claims, layouts
from jax_ssl.interop.families import FAMILIES
from jax_ssl.interop.importing import _check, _translated, import_weights
from jax_ssl.interop.names import (
    TABLES,
    axes_to_ours,
    axes_to_theirs,
    to_ours,
    to_theirs,
)
from jax_ssl.interop.settings import (
    card_input,
    channels_of,
    count,
    module_of,
    resnet_of,
)
from tests.interop import by_hand
from tests.interop.families import filled, recorded
from tests.interop.test_families import save_safetensors, write
from tests.references.conv import conv


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
    with pytest.raises(ValueError, match=r"52 convolutions.*those have 53, 87, 104"):
        layouts.SIMCLR.read({n: a for n, a in arrays.items() if "_52." not in n})


def test_simclr_v2_with_selective_kernels_is_read(monkeypatch):
    """One block a stage; convolutions are numbered as SimCLR's resnet.py makes them."""
    stages = (1, 1, 1, 1)
    monkeypatch.setattr(layouts, "_STAGES", (stages,))
    sizes = [(3, 3, 32, 1), (3, 32, 32, 1), (3, 32, 64, 1)]
    for stage in range(4):
        width, into = 64 * 2**stage, 64 if stage == 0 else 128 * 2**stage
        sizes += [(1, into, 4 * width, 1), (1, into, width, 1)]
        sizes += [(3, width, 2 * width, 1), (1, width, 32, 1), (1, 32, 2 * width, 0)]
        sizes.append((1, width, 4 * width, 1))
    arrays, norms = {}, 0
    for i, (side, into, out, normed) in enumerate(sizes):
        number = f"_{i}" if i else ""
        kernel = np.broadcast_to(np.float32(i), (side, side, into, out))
        arrays[f"conv2d{number}.kernel"] = kernel
        if normed:
            number, norms = f"_{norms}" if norms else "", norms + 1
            for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
                name = f"batch_normalization{number}.{leaf}"
                arrays[name] = np.full(out, i, np.float32)
    found, _ = layouts.SIMCLR.read(arrays)
    _, settings = resnet_of(found, chosen={"stage_sizes": stages})
    told = {"sk_ratio": 0.0625, "stem": "imagenet", "width": 1, "inner_width": 1}
    assert told.items() <= settings.items()
    assert channels_of(found) == 3
    ours, unused = _translated(found, "resnet")
    assert not unused
    _check(module_of("resnet", settings), ours, (64, 64, 3))
    block = "params/stage0_block0"  # Shortcut 3, then 4, 5, 6, 7 and 8.
    assert ours["params/stem1_conv/kernel"][0, 0, 0, 0] == 1
    assert ours[f"{block}/conv_mix/kernel"][0, 0, 0, 0] == 7
    assert ours[f"{block}/norm2/scale"][0] == 8
    assert ours["batch_stats/stage3_block0/norm2/var"][0] == 26
    counts = [len(layouts._made_simclr((3, 4, 6, 3), deep)) for deep in (False, True)]
    assert counts == [53, 87]


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
        theirs = theirs.replace("stem.{}", "stem.2")
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


def test_byol_of_haiku_is_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}

    def layer(at, conv, norm, shape):
        arrays[f"{at}{conv}/w"] = rng.normal(size=shape).astype(np.float32)
        for leaf in ("scale", "offset"):
            arrays[f"{at}{norm}/{leaf}"] = np.ones((1, 1, 1, shape[-1]), np.float32)
        for word, value in (("mean", 3.0), ("var", 4.0)):
            ema = f"{at}{norm}/~/{word}_ema"
            arrays[f"{ema}/average"] = np.full((1, 1, 1, shape[-1]), value, np.float32)
            arrays[f"{ema}/hidden"] = np.zeros((1, 1, 1, shape[-1]), np.float32)
            arrays[f"{ema}/counter"] = np.array(7, np.int32)

    layer("res_net50/~/", "initial_conv", "initial_batchnorm", (7, 7, 3, 64))
    at = "res_net50/~/block_group_0/~/block_0/~/"
    layer(at, "shortcut_conv", "shortcut_batchnorm", (1, 1, 64, 256))
    for i, shape in enumerate([(1, 1, 64, 64), (3, 3, 64, 64), (1, 1, 64, 256)]):
        layer(at, f"conv_{i}", f"batchnorm_{i}", shape)
    arrays["projector/linear/w"] = np.zeros((256, 8), np.float32)
    arrays["classifier/b"] = np.zeros(8, np.float32)
    np.savez(tmp_path / "byol.npz", **arrays)
    found = import_weights(tmp_path / "byol.npz", chosen={"stage_sizes": (1,)})
    assert found.certificate["family"] == "byol"
    told = found.card["encoder"]
    assert (told["conv_padding"], told["pool_padding"]) == ("same", "same")
    block = found.variables["params"]["stage0_block0"]
    np.testing.assert_array_equal(block["conv1"]["kernel"], arrays[f"{at}conv_1/w"])
    stats = found.variables["batch_stats"]["stage0_block0"]["norm_shortcut"]
    assert (stats["mean"] == 3).all()
    assert (stats["var"] == 4).all()
    # As Haiku pads, a step of 2 begins at the first pixel, and zeros follow the last.
    apply = functools.partial(found.encoder.apply, train=False)
    x = rng.normal(size=(1, 8, 8, 3)).astype(np.float32)
    stem = jax.jit(apply)(found.variables, x).pyramid[0]
    kernel = arrays["res_net50/~/initial_conv/w"]
    known = conv(x, kernel, (2, 2), ((2, 3), (2, 3)))
    known = np.maximum((known - 3) / np.sqrt(4 + 1e-5) + 1, 0)
    np.testing.assert_allclose(stem, known, rtol=0, atol=1e-4)


# --- What is missing -----------------------------------------------------------------

CASES = {
    "timm": {"heads": 2},
    "dinov2": {"heads": 2},
    "dinov3": {"heads": 2},
    "hf_vit": {},
    "big_vision": {},
}


def saved(folder, case, arrays):
    """A folder or file of a case, whose config.json tells of two blocks."""
    if case == "big_vision":
        np.savez(folder / "a.npz", **arrays)
        return folder / "a.npz"
    if case.startswith("hf_"):
        told = recorded()[case]["config"] | {"num_hidden_layers": 2}
        (folder / "config.json").write_text(json.dumps(told))
        save_safetensors(folder / "model.safetensors", arrays)
        return folder
    return by_hand.save_zip(folder / "a.pth", arrays)


@pytest.mark.parametrize("case", CASES)
def test_a_vit_without_its_end_or_with_more_is_no_shallower_one(
    case, tmp_path, monkeypatch
):
    monkeypatch.setitem(claims.DEPTHS, 32, (2,))  # As if it were a published width.
    arrays = filled(recorded()[case]["shapes"])
    block = r"((?:blocks\.|layer\.|encoderblock_)(?:\d\.)?)1(?=[./])"
    last = [name for name in arrays if re.search(block, name)]
    assert last
    whole = {name: arrays[name] for name in arrays if name not in last}
    more = {re.sub(block, r"\g<1>2", name): arrays[name] for name in last}
    asked = CASES[case]
    with pytest.raises(ValueError, match=r"1 blocks, and not .*block 1 is missing"):
        import_weights(saved(tmp_path, case, whole), **asked)
    with pytest.raises(ValueError, match=r"3 blocks, and not .*block 2 is too much"):
        import_weights(saved(tmp_path, case, arrays | more), **asked)
    end = r"(^|[./])(norm|layernorm|encoder_norm)[./](weight|scale)$"
    normless = {name: a for name, a in arrays.items() if not re.search(end, name)}
    if len(normless) < len(arrays) and case != "timm":
        with pytest.raises(ValueError, match="norm/scale is missing"):
            import_weights(saved(tmp_path, case, normless), **asked)


def test_a_depth_that_is_told_stands_above_what_is_known(tmp_path, monkeypatch):
    monkeypatch.setitem(claims.DEPTHS, 32, (12,))
    path = write(tmp_path, "timm")
    with pytest.raises(ValueError, match=r"blocks 2 to 11 are missing.*--set depth=2"):
        import_weights(path, heads=2)
    assert import_weights(path, heads=2, chosen={"depth": 2}).encoder.depth == 2
    with pytest.raises(ValueError, match="block2/"):
        import_weights(path, heads=2, chosen={"depth": 3})
    monkeypatch.delitem(claims.DEPTHS, 32)
    notes = import_weights(path, heads=2).certificate["notes"]
    assert any("2 blocks were counted" in note for note in notes)


@pytest.mark.parametrize(
    ("case", "lost", "said"),
    [
        ("dinov2", r"^cls_token$", "a class token of the family"),
        ("dinov2", r"\.ls\d\.gamma$", "layer scale .* --set layer_scale=0.0"),
        ("dinov3", r"^storage_tokens$", "register .storage. tokens .* registers=0"),
        ("dinov3", r"0\.attn\.qkv\.bias_mask$", "bias_mask' is missing"),
        ("mae", r"\.cls_token$", "a class token of the family is missing"),
        ("hf_vit", r"cls_token$", "and no vit.embeddings.cls_token"),
    ],
)
def test_what_every_network_of_a_family_has_is_missed(tmp_path, case, lost, said):
    arrays = filled(recorded()[case]["shapes"])
    kept = {name: a for name, a in arrays.items() if not re.search(lost, name)}
    assert len(kept) < len(arrays)
    asked = {} if case.startswith("hf_") else {"heads": 2}
    with pytest.raises(ValueError, match=said):
        import_weights(saved(tmp_path, case, kept), **asked)


def test_what_a_config_says_to_be_absent_is_not_missed():
    none = {"registers": 0}
    with pytest.raises(ValueError, match=r"tokens of the family .* registers=0"):
        claims.check_has(["registers"], none, {}, {})
    claims.check_has(["registers"], none, {}, {"num_register_tokens": 0})
    sizes = {"dim": 768, "depth": 12, "patch": 14, "registers": 0}
    kind = {"model_type": "dinov2_with_registers"}
    with pytest.raises(ValueError, match="of a dinov2_with_registers are missing"):
        claims.check_depth(sizes, kind)
    claims.check_depth(sizes, {**kind, "num_register_tokens": 0})


@pytest.mark.parametrize(
    ("sizes", "bottleneck", "config", "said"),
    [
        ((3, 4, 6), True, {}, "resnet50 .* without layer4.0, layer4.1, layer4.2, nor"),
        ((2, 2, 2), False, {}, "resnet18 .* layer4.1, nor .*stage_sizes=2,2,2"),
        ((3, 4, 22, 3), True, {}, "resnet101 .*without layer3.22, nor"),
        ((3, 4, 6, 3, 1), True, {}, "resnet50 .*with layer5.0 too much"),
        ((2,), False, {}, "stage_sizes=2,$"),
        ((3, 4, 6, 3), True, {"depths": [3, 4, 23, 3]}, "config.json .* and 13 more"),
        ((2, 2, 2, 2), False, {"architecture": "resnet34.a1_in1k"}, "layer1.2"),
    ],
)
def test_a_resnet_of_no_known_stages_is_refused(sizes, bottleneck, config, said):
    with pytest.raises(ValueError, match=said):
        claims.check_stages(sizes, bottleneck, config)


def test_a_resnet_of_known_or_told_stages_is_read(tmp_path):
    for (stages, bottleneck), _ in claims.RESNETS.items():
        claims.check_stages(stages, bottleneck, {})
    claims.check_stages((1, 1), False, {"depths": [1, 1]})
    path = write(tmp_path, "swav")
    with pytest.raises(ValueError, match=r"--set stage_sizes=1,1\."):
        import_weights(path)
    assert import_weights(path, chosen={"stage_sizes": (1, 1)})


@pytest.mark.parametrize(("word", "value"), [("hidden_size", 64), ("patch_size", 8)])
def test_a_config_of_another_network_is_told(tmp_path, word, value):
    path = write(tmp_path, "hf_vit")
    told = recorded()["hf_vit"]["config"] | {word: value}
    (path / "config.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=f"config.json says {word} = {value}"):
        import_weights(path)


@pytest.mark.parametrize(
    "told",
    [
        {"size": {"shortest_edge": 0}},
        {"input_size": [3, 0, 0], "crop_pct": 0},
        {"size": 16, "image_mean": "abc"},
        {"size": 16, "image_std": [1, 0, 1]},
    ],
)
def test_damaged_preprocessing_is_told(told):
    with pytest.raises(ValueError, match=r"preprocessing .* is damaged"):
        card_input(FAMILIES["timm"], 224, 3, told)


# --- Names as training programs leave them -------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        "module.{}",
        "_orig_mod.{}",
        "model.{}",
        "state_dict_ema.module.{}",
        "_orig_mod.module.model.{}",
    ],
)
def test_prefixes_and_wrappers_are_taken_off(tmp_path, wrap):
    arrays = filled(recorded()["timm_resampled"]["shapes"])
    known = import_weights(by_hand.save_zip(tmp_path / "a", arrays), heads=2)
    deep = {  # Blocks that are compiled, or checkpointed, one by one.
        re.sub(r"^(blocks\.\d)\.", r"\1._checkpoint_wrapped_module.", name): array
        for name, array in arrays.items()
    }
    path = by_hand.save_zip(
        tmp_path / "b", {wrap.format(n): a for n, a in deep.items()}
    )
    found = import_weights(path, heads=2)
    jax.tree.map(np.testing.assert_array_equal, found.variables, known.variables)


def test_whole_numbers_are_no_weights(tmp_path):
    quantized = {"blocks.1.attn.qkv.weight": np.ones((96, 32), np.int64)}
    with pytest.raises(ValueError, match=r"qkv.weight is of int64.*quantized it"):
        import_weights(changed(tmp_path / "a", "timm", **quantized), heads=2)

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from jax_ssl.parallel.mesh import check_batch_size, make_mesh
from jax_ssl.parallel.rules import shape_rule, shardings


@pytest.mark.parametrize(
    ("shape", "fsdp", "spec"),
    [
        ((1024, 512), 4, P("fsdp")),
        ((512, 1024), 4, P(None, "fsdp")),
        ((3, 3, 512, 512), 8, P(None, None, "fsdp")),  # The first of two equals.
        ((1023, 1024), 4, P(None, "fsdp")),  # The largest that divides.
        ((1023, 1025), 4, P()),  # None divides.
        ((64, 64), 4, P()),  # 16 KiB is not worth splitting.
        ((1024, 1024), 1, P()),  # Nobody to share with.
    ],
)
def test_shape_rule(shape, fsdp, spec):
    assert shape_rule(shape, 4, fsdp) == spec


def test_path_rules_stand_above_the_shape_rule():
    mesh = make_mesh(fsdp=2)
    tree = {
        "queue": jax.ShapeDtypeStruct((65536, 128), jnp.float32),
        "encoder": {"kernel": jax.ShapeDtypeStruct((65536, 128), jnp.float32)},
        "key": jax.eval_shape(lambda: jax.random.key(0)),
    }
    placed = shardings(tree, mesh, [("^queue$", P())])
    assert placed["queue"].spec == P()
    assert placed["encoder"]["kernel"].spec == P("fsdp")
    assert placed["key"].spec == P()


def test_mesh_refuses_a_size_that_does_not_divide():
    with pytest.raises(
        ValueError, match=r"fsdp = 3 .* 8 devices; choose one of \[1, 2"
    ):
        make_mesh(fsdp=3)


@pytest.mark.parametrize(
    ("size", "nearest"), [(30, "24 and 32"), (4, "8"), (0, "8"), (100, "96 and 104")]
)
def test_batch_that_cannot_be_shared_names_the_nearest(size, nearest):
    with pytest.raises(ValueError, match=f"{size} cannot be shared by 8.* {nearest}"):
        check_batch_size(size, 8)


def test_batch_that_can_be_shared_passes():
    check_batch_size(4096, 8)

"""Records small files as torch, safetensors and TensorFlow write them.

Run where they are installed, as `python -m tests.interop.record_files`; the checkpoint
of TensorFlow where that is, as `python -m tests.interop.record_files tensorflow`.
"""

import argparse
import collections
import pathlib
import sys

import numpy as np

RECORDS = pathlib.Path(__file__).parent / "records"


def write_torch() -> None:
    """One state dict in the formats of torch, and as safetensors."""
    import torch
    from safetensors.torch import save_file

    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    shared = torch.arange(10, dtype=torch.float32)
    state = collections.OrderedDict(
        plain=whole,
        turned=whole.T,
        column=whole[:, 2],
        tail=shared[4:],
        head=shared[:4],
        half=whole.half(),
        bfloat=whole.bfloat16(),
        double=whole.double(),
        long=torch.arange(3),
        bool=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        repeated=torch.ones(1).expand(2, 3),
        parameter=torch.nn.Parameter(torch.arange(2.0)),
    )
    checkpoint = {
        "state_dict": state,
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), sizes=[1, 2]),
        "optimizer": {"state": {0: {"step": 7, "exp_avg": torch.ones(2)}}},
    }
    torch.save(checkpoint, RECORDS / "zip.pth")
    torch.save(checkpoint, RECORDS / "legacy.pth", _use_new_zipfile_serialization=False)
    alone = {name: value.contiguous().clone() for name, value in state.items()}
    save_file(alone, RECORDS / "torch.safetensors", metadata={"format": "pt"})
    torch.jit.script(torch.nn.Linear(2, 2)).save(RECORDS / "script.pt")
    torch.save(torch.nn.Linear(2, 2), RECORDS / "module.pth")


def write_tensorflow() -> None:
    """Variables as SimCLR's checkpoints name them."""
    import tensorflow as tf

    with tf.Graph().as_default():
        kernel = np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2)
        values = {
            "base_model/conv2d/kernel": kernel,
            "base_model/batch_normalization/moving_variance": kernel[0, 0, 0],
            "global_step": np.int64(5),
        }
        variables = [
            tf.compat.v1.get_variable(name, initializer=value)
            for name, value in values.items()
        ]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            saver = tf.compat.v1.train.Saver(variables)
            saver.save(session, str(RECORDS / "model.ckpt-5"), write_meta_graph=False)
    (RECORDS / "checkpoint").unlink()


if __name__ == "__main__":
    RECORDS.mkdir(exist_ok=True)
    write_tensorflow() if sys.argv[1:] == ["tensorflow"] else write_torch()

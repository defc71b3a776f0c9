"""Monodepth2, ResNet-18, KITTI's raw drives at 192 x 640, 20 epochs.

Paper: arXiv:1806.01260, on Eigen's split in the form of Zhou et al.: abs rel of ":mono"
       0.115, ":stereo" 0.109, ":both" 0.106, from weights of ImageNet's labels. Without
       them, as here, 0.132, 0.130 and 0.127.
Data:  the raw drives unpacked in data.path, and in it two lists of frames, a drive and
       a number a line: eigen_train.txt (of Zhou et al., 39,810 frames) and
       eigen_test.txt.
Run:   jax-ssl train --config=monodepth2_kitti --workdir=DIR \
           --config.data.path=DIR, the folder of the raw drives
Ours:  not yet run.
"""

from common import kitti, kitti_evals
from ml_collections import ConfigDict


def get_config(sources="mono"):
    if sources not in ("mono", "stereo", "both"):
        raise ValueError(f"monodepth2_kitti:{sources}: say mono, stereo or both.")
    config = ConfigDict()
    config.encoder = dict(name="resnet18")
    config.method = dict(name="monodepth2", sources=sources)
    config.views = dict(name="monodepth2", num_frames=1 if sources == "stereo" else 3)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="step_decay", value=1e-4, drops=(15,), factor=0.1),
    )
    paired = sources != "mono"
    config.data, config.feed = kitti(
        12, stereo=paired, num_frames=1 if sources == "stereo" else 3
    )
    scaling = "none" if paired else "median"
    config.evals = kitti_evals((192, 640), scaling=scaling, mean=(0.45,), std=(0.225,))
    config.run = dict(num_epochs=20, seed=0, checkpoint_every_epochs=1)
    return config

"""Monodepth, VGG-like encoder, KITTI's raw pairs at 256 x 512, 50 epochs.

Paper: arXiv:1609.03677, on Eigen's split of KITTI alone: abs rel 0.148. The numbers are
       those of the released code (mrharicot/monodepth), whose smoothness is along rows
       alone, as here; ":both" has the paper's formula.
Data:  the raw drives unpacked in data.path, and in it two lists of frames, a drive and
       a number a line: eigen_train.txt and eigen_test.txt.
Run:   jax-ssl train --config=monodepth_kitti --workdir=DIR \
           --config.data.path=DIR, the folder of the raw drives
Ours:  not yet run.
"""

from common import kitti, kitti_evals
from ml_collections import ConfigDict


def get_config(smoothness="rows"):
    if smoothness not in ("rows", "both"):
        raise ValueError(f"monodepth_kitti:{smoothness}: say rows or both.")
    config = ConfigDict()
    config.encoder = dict(name="monodepth_vgg")
    config.method = dict(name="monodepth", smoothness_along=smoothness)
    config.views = dict(name="monodepth")
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="step_decay", value=1e-4, drops=(30, 40), factor=0.5),
    )
    config.data, config.feed = kitti(8, stereo=True, num_frames=1)
    config.evals = kitti_evals((256, 512), scaling="none", post_process=True)
    config.run = dict(num_epochs=50, seed=0, checkpoint_every_epochs=1)
    return config

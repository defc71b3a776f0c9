"""SfMLearner, DispNet, KITTI's raw drives at 128 x 416, three frames.

Paper: arXiv:1704.07813, on Eigen's split of KITTI alone: abs rel 0.208. Released code
       (tinghuiz/SfMLearner, README), without masks: 0.183. It trains 200,000 steps of 4
       films on 128 x 416 pixels, Adam at 2e-4, without frames at rest. Here the batch
       is the same; the mask's weight is 0, ":explain" has the paper's 0.2.
Data:  the raw drives unpacked in data.path, and in it two lists of frames, a drive and
       a number a line: eigen_train.txt without those at rest, and eigen_test.txt.
Run:   jax-ssl train --config=sfmlearner_kitti --workdir=DIR \
           --config.data.path=DIR, the folder of the raw drives
Ours:  not yet run.
"""

from common import kitti, kitti_evals
from ml_collections import ConfigDict


def get_config(masks="none"):
    if masks not in ("none", "explain"):
        raise ValueError(f"sfmlearner_kitti:{masks}: say explain, or nothing.")
    config = ConfigDict()
    config.encoder = dict(name="dispnet")
    config.method = dict(
        name="sfmlearner",
        explainability_weight=0.2 if masks == "explain" else 0.0,
    )
    config.views = dict(name="sfmlearner")
    config.optimizer = dict(name="adam", learning_rate=2e-4)
    config.data, config.feed = kitti(4)
    config.evals = kitti_evals((128, 416), mean=(0.5,), std=(0.5,))
    config.run = dict(num_steps=200_000, seed=0, checkpoint_every_steps=5_000)
    return config

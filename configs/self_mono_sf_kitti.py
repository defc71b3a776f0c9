"""Self-Mono-SF, KITTI's raw drives at 256 x 832, 62 epochs.

Paper: arXiv:2004.04143; outliers on the training part of KITTI 2015: D1 31.25, D2
       34.86, Fl 23.49, SF 47.05 %. The pixels' standardization is none, as there.
Data:  the raw drives unpacked in data.path, and in it a list of frames, a drive and
       a number a line: kitti_split_train.txt (of the released code), named by
       data.only; for the evaluation KITTI 2015's training/ in the same folder.
Run:   jax-ssl train --config=self_mono_sf_kitti --workdir=DIR \
           --config.data.path=DIR, the folder of the raw drives
Ours:  not yet run.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="pwcnet")
    config.method = dict(name="self_mono_sf")
    config.views = dict(name="self_mono_sf")
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(
            name="step_decay", value=2e-4, drops=(23, 39, 47, 54), factor=0.5
        ),
    )
    config.data = dict(
        name="kitti",
        path="~/kitti",
        layout="raw",
        stereo=True,
        num_frames=2,
        only="~/kitti/kitti_split_train.txt",
    )
    config.feed = dict(batch_size=4)
    config.evals = dict(
        view=dict(name="whole_film", size=(256, 832)),
        test=dict(layout="scene_flow_2015", split="training", only="", stereo=False),
        scene_flow=dict(),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=8,
    )
    config.run = dict(num_epochs=62, seed=0, checkpoint_every_epochs=1)
    return config

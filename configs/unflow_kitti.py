"""UnFlow, FlowNetC, KITTI's raw drives at 320 x 1152.

Paper: arXiv:1711.07837; EPE and outliers on the training part of KITTI 2015, all
       pixels: C 8.80 and 28.94 %, CSS 8.10 and 23.27 %. It begins on SYNTHIA, and
       its number of frames and steps is not this page's: 20 passes over all drives are
       this library's choice, and so are the pixels' standardization and the size of
       test frames.
Data:  the raw drives unpacked in data.path; for the evaluation KITTI 2015's training/
       in the same folder. The drives of 2015's scenes are to be left out by a list of
       frames, --config.data.without=FILE, as the paper does.
Run:   jax-ssl train --config=unflow_kitti --workdir=DIR \
           --config.data.path=DIR, the folder of the raw drives \
           --config.run.init_from="{'flow': 'flow.npz'}", the file of jax-ssl export
           --what=flow of a run of unflow_chairs
Ours:  not yet run.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.45,), std=(0.5,))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="flownet")
    config.method = dict(name="unflow", network="C")
    config.views = dict(name="unflow", **MOMENTS)
    config.optimizer = dict(
        name="adam",
        weight_decay=4e-4,
        learning_rate=dict(name="step_decay", value=1e-5, drops=(10, 15), factor=0.5),
    )
    config.data = dict(name="kitti", path="~/kitti", layout="raw", num_frames=2)
    config.feed = dict(batch_size=4)
    config.evals = dict(
        view=dict(name="whole_film", size=(384, 1280), **MOMENTS),
        test=dict(layout="flow_2015", split="training", without=""),
        optical_flow=dict(),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=8,
    )
    config.run = dict(num_epochs=20, seed=0, checkpoint_every_epochs=1)
    return config

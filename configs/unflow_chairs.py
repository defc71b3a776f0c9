"""UnFlow, FlowNetC, FlyingChairs, 300,000 steps: where the paper begins.

Paper: arXiv:1711.07837, which begins on SYNTHIA with these rates and without
       consistency and occlusion, and gives no number for it. FlyingChairs in its place
       is this library's choice, as are the pixels' standardization and the crop. A
       stack begins from the shorter one:
       --config.method.network=CS --config.run.init_from="{'earlier': 'flow.npz'}", the
       file of jax-ssl export --what=flow.
Data:  FlyingChairs as it unpacks, with FlyingChairs_train_val.txt beside data/.
Run:   jax-ssl train --config=unflow_chairs --workdir=DIR \
           --config.data.path=DIR, the folder that holds data/
Ours:  not yet run.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.45,), std=(0.5,))


def get_config():
    config = ConfigDict()
    config.encoder = dict(name="flownet")
    config.method = dict(
        name="unflow", network="C", consistency_weight=0.0, occlusion=False
    )
    size = (320, 448)
    config.views = dict(name="unflow", size=size, window=size, **MOMENTS)
    # Half of the rate after each 100,000 steps of 4 pairs.
    config.optimizer = dict(
        name="adam",
        weight_decay=4e-4,
        learning_rate=dict(
            name="step_decay", value=1e-4, drops=(18.0, 36.0), factor=0.5
        ),
    )
    config.data = dict(name="flying_chairs", path="~/FlyingChairs", split="train")
    config.feed = dict(batch_size=4)
    config.evals = dict(
        view=dict(name="whole_film", size=(384, 512), **MOMENTS),
        test=dict(split="validation"),
        optical_flow=dict(),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=16,
    )
    config.run = dict(num_epochs=54, seed=0, checkpoint_every_epochs=1)
    return config

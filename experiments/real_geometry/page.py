"""Real pictures: one pair of cameras, ten frames of a drive, one pair of frames.

Run:   run.py beside this page; or
       jax-ssl train --config=experiments/real_geometry/page.py:STUDY --workdir=DIR \
           --config.data.path=DIR, STUDY being aloe, motorcycle, kitti or rubberwhale
Ours:  README.md beside this page.
"""

from ml_collections import ConfigDict

# Files of the pairs, and sides of what the network sees: multiples of 32.
PAIRS = {
    "aloe": (dict(left="aloeL.jpg", right="aloeR.jpg"), (128, 160)),
    "motorcycle": (
        dict(left="motorcycle_left.png", right="motorcycle_right.png"),
        (128, 192),
    ),
}
MOMENTS = dict(mean=(0.45,), std=(0.225,))
NOTHING = dict(knn=None, linear=None, few_label=None)
STUDIES = (*PAIRS, "kitti", "rubberwhale")


def get_config(study):
    if study not in STUDIES:
        raise ValueError(f"page.py:{study}: say one of {', '.join(STUDIES)}.")
    config = ConfigDict()
    config.doctor = None
    if study in PAIRS:
        pair(config, *PAIRS[study])
    elif study == "kitti":
        drive(config)
    else:
        moving(config)
    config.data.path = ""
    config.run.update(seed=0, report=False)
    return config


def pair(config, files, size):
    """Monodepth's loss on one pair, which is neither mirrored nor recoloured."""
    config.encoder = dict(name="monodepth_vgg", widths=(16, 32, 64, 96, 128))
    config.method = dict(name="monodepth", decoder_widths=(96, 64, 48, 32, 16))
    plain = dict(size=size, num_frames=1)
    config.views = dict(name="film", flip=0.0, strength=0.0, **plain)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=20),
    )
    config.data = dict(name="stereo_folders", **files)
    config.feed = dict(batch_size=1)
    config.evals = dict(view=dict(name="whole_film", **plain), **NOTHING)
    config.run = dict(num_steps=400, log_every_steps=50)


def drive(config):
    """Monodepth2 of one camera on the eight films of three frames of a drive."""
    config.encoder = dict(name="convnet", widths=(16, 32, 48, 64, 96))
    config.method = dict(
        name="monodepth2", decoder_widths=(64, 48, 32, 16), pose_width=64
    )
    plain = dict(size=(96, 320), **MOMENTS)
    config.views = dict(name="film", **plain)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=20),
    )
    config.data = dict(name="video_folders", num_frames=3)
    config.feed = dict(batch_size=4)
    config.evals = dict(
        view=dict(name="whole_film", **plain),
        test=dict(split=""),
        ego_motion=dict(snippet=5),
        batch_size=4,
        **NOTHING,
    )
    config.run = dict(num_steps=400, log_every_steps=20)


def moving(config):
    """UnFlow's loss on one pair of frames, with a FlowNetC of few channels."""
    config.encoder = dict(name="flownet", widths=(16, 32), kernels=(5, 3))
    config.method = dict(
        name="unflow",
        network="C",
        widths=(32, 48, 64),
        decoder_widths=(48, 32, 24),
        max_displacement=4,
        displacement_stride=1,
        radii=(2, 2, 1, 1),
        level_weights=(12.7, 4.35, 3.9, 3.4),
        smoothness_weight=0.1,
        border=None,
    )
    plain = dict(size=(192, 288), num_frames=2)
    config.views = dict(name="film", flip=0.0, strength=0.0, **plain, **MOMENTS)
    config.optimizer = dict(
        name="adam",
        learning_rate=dict(name="warmup_cosine", peak_value=1e-3, warmup_steps=20),
    )
    config.data = dict(name="video_folders", num_frames=2)
    config.feed = dict(batch_size=1)
    config.evals = dict(view=dict(name="whole_film", **plain, **MOMENTS), **NOTHING)
    config.run = dict(num_steps=500, log_every_steps=25)

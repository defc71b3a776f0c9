"""Detection on COCO by a small head without anchors, from an exported encoder.

Paper: arXiv:1904.01355, FCOS: on ImageNet's ResNet-50 with P3 to P7 and an image's
       shorter side of 800, 90,000 steps of 16 and an AP of 38.6 with the improvements
       of its table 3. This page has an encoder's own levels, of strides 4 to 32, and
       images of 512 pixels, which says what an encoder is worth and not what FCOS is.
       ":frozen" lets the head learn alone; "scratch" starts from nothing.
Run:   jax-ssl train --config=detector_coco --workdir=DIR \
           --config.data.path=COCO/annotations/instances_train2017.json \
           --config.data.images=COCO/train2017 \
           --config.evals.test.path=COCO/annotations/instances_val2017.json \
           --config.evals.test.images=COCO/val2017 \
           --config.run.init_from=RUN/export/encoder.npz
Ours:  not yet run.
"""

from ml_collections import ConfigDict

MOMENTS = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def get_config(part="fine_tuned"):
    if part not in ("fine_tuned", "frozen", "scratch"):
        raise ValueError(f"detector_coco:{part}: say fine_tuned, frozen or scratch.")
    config = ConfigDict()
    config.encoder = dict(name="resnet50")
    config.method = dict(name="detector", freeze_encoder=part == "frozen")
    config.views = dict(
        name="detection_crops", size=512, min_scale=0.5, max_scale=1.5, **MOMENTS
    )
    config.optimizer = dict(
        name="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        clip_norm=10.0,
        learning_rate=dict(
            name="step_decay", value=0.01, drops=(8, 11), warmup_steps=500
        ),
    )
    config.data = dict(
        name="coco",
        path="annotations/instances_train2017.json",
        images="train2017",
        empty=False,
    )
    config.feed = dict(batch_size=16)
    config.evals = dict(
        view=dict(name="detection_whole", size=512, **MOMENTS),
        test=dict(
            path="annotations/instances_val2017.json", images="val2017", empty=True
        ),
        detection=dict(),
        batch_size=16,
    )
    config.doctor = None
    config.run = dict(num_epochs=12, seed=0, log_every_steps=50)
    return config

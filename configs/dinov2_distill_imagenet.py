"""DINOv2's distillation: ViT-S/16 from the ViT-L/16 of dinov2_imagenet, ImageNet.

Paper: arXiv:2304.07193, section 5, "model distillation". Its students learn from a
       ViT-g/14 on 142 million images (ViT-S/14: 79.0 % k-NN, 81.1 % linear); there is
       no published number for this pair. The schedule is that of the teacher's page.
Run:   jax-ssl export --workdir=RUN --what=teacher, RUN of dinov2_imagenet; then
       jax-ssl train --config=dinov2_distill_imagenet --workdir=DIR \
           --config.run.init_from="{'teacher': 'RUN/export/teacher.npz'}" \
           --config.data.data_dir=DIR, a folder of prepared TFDS data sets
Ours:  not yet run.
"""

import dinov2_imagenet


def get_config():
    config = dinov2_imagenet.get_config()
    teacher = config.encoder.to_dict()
    config.encoder = dict(name="vit_s", layer_scale=1e-5, dtype="bfloat16")
    gone = ("mask_probability", "mask_ratios")  # Every patch is compared.
    method = {k: v for k, v in config.method.items() if k not in gone}
    config.method = dict(method, name="dinov2_distillation", teacher=teacher)
    config.optimizer.factors = (
        ("^prototypes/", dict(name="after", epochs=2)),
        ("^encoder/patch_embed/", 0.2),
    )
    return config

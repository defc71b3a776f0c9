"""What pages would otherwise repeat: data sets, their evaluation, optimizers.

Not a page itself. A page that is copied elsewhere takes this file along.
"""

CIFAR10 = dict(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
# The mean of the deviations within images, which some codes take for the deviation.
CIFAR10_WITHIN = dict(mean=CIFAR10["mean"], std=(0.2023, 0.1994, 0.2010))
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def cifar10(batch_size):
    """CIFAR-10's training images, kept in device memory."""
    data = dict(
        name="tfds",
        dataset="cifar10",
        data_dir="~/tensorflow_datasets",
        split="train",
    )
    return data, dict(batch_size=batch_size, resident=True)


def cifar10_evals(reads="pooled", **standardized):
    """All protocols on CIFAR-10's test part; `CIFAR10` where views are standardized.

    `reads="head"` has the final k-NN classifier on what the method's head says.
    """
    return dict(
        view=dict(name="identity", **standardized),
        test=dict(split="test"),
        online=dict(every_epochs=10, k=200, temperature=0.1),
        knn=dict(k=200, temperature=0.1, reads=reads),
        linear=dict(),
        few_label=dict(),
    )


def mirrored(size, **standardized):
    """The whole of a square image, or its mirror image, and nothing else."""
    return dict(
        name="random_crops",
        num_views=None,
        size=size,
        min_scale=1.0,
        min_ratio=1.0,
        max_ratio=1.0,
        strength=0.0,
        gray_probability=0.0,
        blur_probability=0.0,
        **standardized,
    )


def imagenet(batch_size):
    """ImageNet's training images on canvases of 512 pixels, 786,432 bytes each.

    The usual file of 500 x 375 pixels fits, so that crops are cut from it as it is, as
    the papers' codes do. `canvas=384` takes 442,368 bytes an image, in the host's
    memory and on the way to the device, and shrinks that file to 384 x 288: the
    smallest crops, 8 % of the area, then have 94 pixels a side for 122. On an
    accelerator a view of 224 pixels is cut by matrix products with the whole canvas,
    0.5 GFLOP at 512 and 0.3 at 384, where a step of ResNet-50 has 25.
    """
    data = dict(
        name="tfds",
        dataset="imagenet2012",
        data_dir="~/tensorflow_datasets",
        split="train",
        canvas=512,
    )
    return data, dict(batch_size=batch_size)


def imagenet_evals(k=20, reads="pooled", **standardized):
    """k-NN and the linear probe on ImageNet's validation part.

    The temperature is that of NPID and DINO, whose k are 200 and 20, the latter unless
    a page says otherwise. The probe learns from one centre crop of each image; nearly
    all papers train theirs on random crops and mirror images, and report a little more,
    as the page linear_imagenet does.
    """
    return dict(
        view=dict(name="center_crop", size=224, resize=256, **standardized),
        test=dict(split="validation"),
        online=dict(every_epochs=10, k=k, temperature=0.07),
        knn=dict(k=k, temperature=0.07, reads=reads),
        linear=dict(),
        few_label=None,
    )


def solo_learn_resnet18():
    """ResNet-18 of solo-learn's runs on CIFAR-10, whose stem pads by 2 pixels."""
    return dict(name="resnet18", stem="small", stem_padding=2, zero_init_residual=False)


def solo_learn_lars(base_rate, weight_decay, **schedule):
    """LARS whose layers never go faster than the rate itself, which is solo-learn's.

    The numbers are those of its code of July 2021 (commit fca55e3), in which the rate
    moves once an epoch, here every step.
    """
    return dict(
        name="lars",
        rate="outside",
        denominator="sum",
        cap=True,
        trust_coefficient=0.02,
        weight_decay=weight_decay,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=base_rate,
            scaling="linear",
            warmup_form="closed",
            **{"warmup_epochs": 10, "init_value": 0.003, **schedule},
        ),
    )


def imagenette(batch_size):
    """Imagenette's training images of 160 pixels, on canvases of 256, in device memory.

    The shorter side of a file has 160 pixels: up to 1.6 times as long it stays as it
    is. All of them take 1.9 GB on every device, 196,608 bytes an image.
    """
    data = dict(
        name="tfds",
        dataset="imagenette/160px-v2",
        data_dir="~/tensorflow_datasets",
        split="train",
        canvas=256,
    )
    return data, dict(batch_size=batch_size, resident=True)


def imagenette_evals(**standardized):
    """All protocols on Imagenette's validation part at 128 pixels."""
    return dict(
        view=dict(name="center_crop", size=128, resize=146, **standardized),
        test=dict(split="validation"),
        online=dict(every_epochs=20, k=20, temperature=0.1),
        knn=dict(k=20, temperature=0.1),
        linear=dict(),
        few_label=dict(),
    )


def mae_adamw(base_rate):
    """AdamW of MAE's appendix A.1, table 8."""
    return dict(
        name="adamw",
        b1=0.9,
        b2=0.95,
        weight_decay=0.05,
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=base_rate,
            scaling="linear",
            warmup_epochs=40,
        ),
    )


def dino_adamw():
    """AdamW of DINO's section 3.2 and its released code, prototypes still at first."""
    return dict(
        name="adamw",
        weight_decay=dict(name="cosine", init_value=0.04, end_value=0.4),
        learning_rate=dict(
            name="warmup_cosine",
            peak_value=5e-4,
            end_value=1e-6,
            scaling="linear",
            warmup_epochs=10,
            warmup_form="closed",
        ),
        factors=(("^prototypes/", dict(name="after", epochs=1)),),
        clip_each=3.0,
    )


def plain_crops(**settings):
    """One random crop and mirror image in [0, 1], its colours as they are."""
    return dict(
        name="random_crops",
        num_views=None,
        interpolation="bilinear",
        strength=0.0,
        gray_probability=0.0,
        blur_probability=0.0,
        **settings,
    )


def two_players(rate, discriminator_rate):
    """Adam of DCGAN, with a rate of its own for the discriminator; None: there is none.

    pathak22/context-encoder, train.lua: the generator is ten times as fast.
    """
    players = ()
    if discriminator_rate is not None:
        own = dict(name="adam", b1=0.5, learning_rate=discriminator_rate)
        players = (("^discriminator/", own),)
    return dict(name="adam", b1=0.5, learning_rate=rate, groups=players)


def bigan_adam(encoder_speed=1):
    """Adam of jeffdonahue/bigan's scripts, the encoder so many times as fast."""
    adam = dict(name="adam", b1=0.5, weight_decay=2.5e-5, learning_rate=2e-4)
    faster = {**adam, "learning_rate": encoder_speed * 2e-4}
    groups = (("^(encoder|latent)/", faster),) if encoder_speed != 1 else ()
    return {**adam, "groups": groups}


def amdim_adam(drops):
    """Adam of AMDIM's released code, a fifth of its rate after each of some epochs."""
    return dict(
        name="adam",
        b1=0.8,
        weight_decay=1e-5,
        learning_rate=dict(
            name="step_decay", value=2e-4, drops=drops, factor=0.2, warmup_steps=500
        ),
    )


def scenes(**settings):
    """Small films of rendered rooms, kept in device memory, and batches of 8.

    The camera moves so far that a depth of a few metres shows in frames this small.
    """
    data = dict(
        name="synthetic_scenes",
        num_examples=512,
        size=(32, 48),
        min_translation=(-0.2, -0.1, 0.2),
        max_translation=(0.2, 0.1, 0.6),
        split="train",
        **settings,
    )
    return data, dict(batch_size=8, resident=True)


def scenes_evals(scaling="median", ego_motion=None, stereo=None, **standardized):
    """What is predicted of rooms that were not trained on."""
    return dict(
        view=dict(name="whole_film", **standardized),
        test=dict(split="test", num_examples=128),
        depth=dict(scaling=scaling),
        stereo=stereo,
        ego_motion=ego_motion,
        knn=None,
        linear=None,
        few_label=None,
        batch_size=32,
    )


def kitti(batch_size, **settings):
    """The training frames of Eigen's split of KITTI's raw drives."""
    data = dict(
        name="kitti",
        path="~/kitti",
        layout="raw",
        only="~/kitti/eigen_train.txt",
        **settings,
    )
    return data, dict(batch_size=batch_size)


def kitti_evals(size, scaling="median", post_process=False, **standardized):
    """Depth on Eigen's test frames, by the velodyne's scans, in Garg's crop."""
    return dict(
        view=dict(name="whole_film", size=size, **standardized),
        test=dict(only="~/kitti/eigen_test.txt", depth_from="velodyne"),
        depth=dict(crop="garg", scaling=scaling, post_process=post_process),
        knn=None,
        linear=None,
        few_label=None,
        batch_size=16,
    )

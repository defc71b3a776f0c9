"""Faults of one line that have happened to people, and the tests that see them.

Each is applied alone to a copy of the package. Its tests, all of the default run, must
then fail: see `tests/convict.py`. `tests/test_mutants.py` does so for every mutant and
is slow.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        file: of the package, from `jax_ssl/` on.
        old: text that occurs there once.
        new: what stands in its place.
        tests: files and folders of the default run, from `tests/` on, that must see it.
    """

    file: str
    old: str
    new: str
    tests: str


# By a phrase that says what went wrong.
MUTANTS = {
    # Gradients that flow where they must not, and the other way round.
    "BYOL's target is not stopped": Mutant(
        "methods/byol.py",
        "jax.lax.stop_gradient(net.each(*state.teacher, views))",
        "net.each(*state.teacher, views)",
        "test_contract.py -k byol",
    ),
    "SimSiam's target is not stopped": Mutant(
        "methods/simsiam.py",
        'jax.lax.stop_gradient(out["projector"])',
        'out["projector"]',
        "methods/test_simsiam.py",
    ),
    "the codes of SwAV are not stopped": Mutant(
        "losses/assignments.py",
        "targets = lax.stop_gradient(targets).astype(jnp.float32)",
        "targets = targets.astype(jnp.float32)",
        "losses/test_assignments.py methods/test_swav.py",
    ),
    "Sinkhorn's assignments have a gradient": Mutant(
        "ops/sinkhorn.py",
        "jax.lax.stop_gradient(scores)",
        "(scores)",
        "ops/test_sinkhorn.py",
    ),
    "a teacher's average differentiates the student": Mutant(
        "core/trees.py",
        "jax.tree.map(leaf, old, jax.lax.stop_gradient(new))",
        "jax.tree.map(leaf, old, new)",
        "core/test_trees.py",
    ),
    "only one of KoLeo's two rows moves": Mutant(
        "losses/koleo.py",
        "nearest = jnp.take_along_axis(unit,",
        "nearest = jnp.take_along_axis(fixed,",
        "losses/test_distillation.py",
    ),
    # Pairs and masks.
    "BYOL compares a view with itself": Mutant(
        "methods/byol.py",
        'target["projector"][:, ::-1]',
        'target["projector"]',
        "methods/test_byol.py",
    ),
    "MoCo v3 compares a view with itself": Mutant(
        "methods/moco_v3.py",
        "k[:, 1 - v]",
        "k[:, v]",
        "methods/test_moco_v3.py",
    ),
    "SwAV predicts a crop's own code": Mutant(
        "losses/assignments.py",
        "pairs.mean(where=~jnp.eye(T, V, dtype=bool))",
        "pairs.mean()",
        "losses/test_assignments.py",
    ),
    "DINO compares a crop with itself": Mutant(
        "losses/distillation.py",
        "others = 1.0 - jnp.eye(T, V)",
        "others = jnp.ones((T, V))",
        "losses/test_distillation.py",
    ),
    "NT-Xent's anchor is among its candidates": Mutant(
        "losses/contrastive.py",
        "return similarity - positive, row // 2 != anchor // 2",
        "return similarity - positive, row != anchor ^ 1",
        "losses/test_contrastive.py",
    ),
    "NT-Xent by the ring leaves out the wrong rows": Mutant(
        "losses/contrastive.py",
        "images = jnp.arange(2 * B) // 2",
        "images = jnp.arange(2 * B) % B",
        "losses/test_contrastive.py",
    ),
    "the decoupled loss by the ring keeps its positive": Mutant(
        "losses/contrastive.py",
        "loss = lse if decoupled else jax.nn.softplus(lse)",
        "loss = jax.nn.softplus(lse)",
        "losses/test_contrastive.py",
    ),
    "a convolution by cells meets the taps in reversed order": Mutant(
        "ops/conv_products.py",
        "tap = pixels[:, None] + pads[i][0] - seen",
        "tap = seen - pixels[:, None] + pads[i][0]",
        "ops/test_conv.py",
    ),
    "a residual network keeps what it should recompute": Mutant(
        "encoders/resnet.py",
        "recomputed(Block, self.remat, static=())(",
        "Block(",
        "nn/test_depth.py",
    ),
    "the masked autoencoder learns from visible patches": Mutant(
        "methods/mae.py",
        "value = masked_mse(prediction, target, mask)",
        "value = masked_mse(prediction, target, ~mask)",
        "methods/test_mae.py",
    ),
    "masked error is averaged over all patches": Mutant(
        "losses/masked.py",
        "/ jnp.sum(mask)",
        "/ mask.size",
        "losses/test_masked.py",
    ),
    "iBOT divides by all patches": Mutant(
        "losses/distillation.py",
        "number = jnp.maximum(mask.sum(1), 1)",
        "number = mask.shape[1]",
        "losses/test_distillation.py",
    ),
    "a triplet's positive is among its negatives": Mutant(
        "losses/contrastive.py",
        "return similarity - positive, row // 2 != anchor // 2",
        "return similarity - positive, row != anchor",
        "losses/test_triplet.py",
    ),
    "a row is its own nearest neighbour": Mutant(
        "losses/koleo.py",
        "jnp.where(jnp.eye(B // groups, dtype=bool), -jnp.inf, cosines)",
        "cosines",
        "losses/test_distillation.py",
    ),
    # Factors and signs.
    "the temperature multiplies": Mutant(
        "losses/contrastive.py",
        "jnp.where(negative, difference / temperature, -jnp.inf)",
        "jnp.where(negative, difference * temperature, -jnp.inf)",
        "losses/test_contrastive.py",
    ),
    "MoCo v3 forgets 2 τ": Mutant(
        "methods/moco_v3.py",
        "value = 2 * temperature * losses.sum()",
        "value = losses.sum()",
        "methods/test_moco_v3.py",
    ),
    "Barlow Twins divides by B - 1": Mutant(
        "losses/redundancy.py",
        "standard[:, 1]) / z.shape[0]",
        "standard[:, 1]) / (z.shape[0] - 1)",
        "losses/test_redundancy.py",
    ),
    "VICReg's covariance is not divided by D": Mutant(
        "losses/redundancy.py",
        "jnp.square(_off_diagonal(C)).sum() / D",
        "jnp.square(_off_diagonal(C)).sum()",
        "losses/test_redundancy.py",
    ),
    "VICReg's variance is biased": Mutant(
        "losses/redundancy.py",
        "jnp.square(centred).sum(0) / (B - 1) + epsilon",
        "jnp.square(centred).sum(0) / B + epsilon",
        "losses/test_redundancy.py",
    ),
    "patches are standardized by the biased variance": Mutant(
        "ops/normalize.py",
        "keepdims=True) / (entries - ddof)",
        "keepdims=True) / entries",
        "ops/test_normalize.py",
    ),
    "DINO adds its centre": Mutant(
        "losses/distillation.py",
        "(scores - center) / temperature",
        "(scores + center) / temperature",
        "losses/test_distillation.py methods/test_dino.py",
    ),
    "NPID's noise is counted once": Mutant(
        "losses/instance.py",
        "- jnp.log(slots.shape[1] / num_examples)",
        "- jnp.log(1 / num_examples)",
        "losses/test_instance.py",
    ),
    # State that moves at the wrong time, or by the wrong amount.
    "the teacher's momentum weighs the new value": Mutant(
        "core/trees.py",
        "a32 + (1 - momentum) * (b32 - a32)",
        "a32 + momentum * (b32 - a32)",
        "core/test_trees.py",
    ),
    "the teacher's clock is one step late": Mutant(
        "nn/network.py",
        'step - 1 if self.clock == "last" else step',
        'step if self.clock == "last" else step - 1',
        "nn/test_network.py",
    ),
    "MoCo's queue is pushed before the loss": Mutant(
        "methods/moco.py",
        "past = jax.lax.stop_gradient(state.queue)",
        "past = push(jax.lax.stop_gradient(state.queue), k, step)",
        "methods/test_moco.py",
    ),
    "the queue's place is off by one push": Mutant(
        "ops/queue.py",
        "start = (step % turns) * rows.shape[0]",
        "start = ((step + 1) % turns) * rows.shape[0]",
        "ops/test_queue.py methods/test_moco.py",
    ),
    "DINO's centre follows what is already centred": Mutant(
        "methods/dino.py",
        "ema(state.center, scores.mean((0, 1)), center_momentum)",
        "ema(state.center, (scores - state.center).mean((0, 1)), center_momentum)",
        "methods/test_dino.py",
    ),
    "the running variance forgets the means of groups": Mutant(
        "nn/norm.py",
        "var = variances.mean(0) + jnp.square(means - mean).mean(0)",
        "var = variances.mean(0)",
        "nn/test_norm.py",
    ),
    "the step hands on the old optimizer state": Mutant(
        "train/step.py",
        "params=params, opt_state=opt_state, state=state)",
        "params=params, opt_state=train.opt_state, state=state)",
        "test_contract.py -k remembers",
    ),
    # Schedules and optimizers.
    "the warm-up ends a step late": Mutant(
        "optim/schedules.py",
        "optax.linear_schedule(init_value, peak, steps)",
        "optax.linear_schedule(init_value, peak, steps + 1)",
        "optim/test_schedules.py",
    ),
    "the cosine ignores the warm-up": Mutant(
        "optim/schedules.py",
        "_half_cosine(peak, end_value, total_steps - warmup_steps)",
        "_half_cosine(peak, end_value, total_steps)",
        "optim/test_schedules.py",
    ),
    "LARS decays and trusts biases and norms": Mutant(
        "optim/rules.py",
        "return leaf.ndim > 1 and not any(re.search(p, name) for p in exclude)",
        "return True",
        "optim/test_rules.py",
    ),
    "layer decay is off by one block": Mutant(
        "optim/layer_decay.py",
        "return int(block[1]) + 1 if block else math.inf",
        "return int(block[1]) + 2 if block else math.inf",
        "optim/test_layer_decay.py",
    ),
    # Devices.
    "rows draw the same numbers on every device": Mutant(
        "parallel/rows.py",
        "keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)",
        "keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows - rows[0])",
        "test_contract.py -k simclr",
    ),
    "rows of a batch share one key": Mutant(
        "parallel/rows.py",
        "keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)",
        "keys = jax.vmap(jax.random.fold_in, (None, 0))(key, 0 * rows)",
        "parallel/test_rows.py",
    ),
    "every device believes that its rows are the first": Mutant(
        "parallel/rows.py",
        "return jax.lax.axis_index(tuple(axes)) * n",
        "return jax.lax.axis_index(tuple(axes)) * 0",
        "parallel/test_neighbors.py losses/test_triplet.py",
    ),
    "the ring stops one hop early": Mutant(
        "parallel/ring.py",
        "(_, sums), _ = lax.scan(hop, start, length=plan.hops)",
        "(_, sums), _ = lax.scan(hop, start, length=plan.hops - 1)",
        "parallel/test_ring.py",
    ),
    "the ring's gradient does not come home": Mutant(
        "parallel/ring.py",
        "            return pass_on(dy)\n",
        "            return dy\n",
        "parallel/test_ring.py",
    ),
    "a gathered gradient is that of one shard": Mutant(
        "parallel/ring.py",
        "return lax.psum(dy, BATCH_AXES)",
        "return lax.pmean(dy, BATCH_AXES)",
        "parallel/test_ring.py",
    ),
    "chunks draw by their own row numbers": Mutant(
        "parallel/chunks.py",
        "    return rows\n\n\ndef along_rows(",
        "    return jnp.arange(n, dtype=jnp.int32)\n\n\ndef along_rows(",
        "nn/test_network.py parallel/test_chunks.py",
    ),
    "a bank drops rows of other pieces at its end": Mutant(
        "parallel/bank.py",
        "place = jnp.where(here, index - start, len(piece))",
        "place = jnp.where(here, index - start, len(piece) - 1)",
        "losses/test_instance.py",
    ),
    # Views.
    "the hue turns the other way": Mutant(
        "ops/color.py",
        "places = 6.0 * shift + jnp.array([5.0, 3.0, 1.0])",
        "places = -6.0 * shift + jnp.array([5.0, 3.0, 1.0])",
        "ops/test_color.py",
    ),
    "contrast scales about grey": Mutant(
        "ops/color.py",
        "return blend(image, factor, 0.0, 1.0 - factor, 0.0)",
        "return blend(image, factor, 0.0, 0.0, 0.5 * (1.0 - factor))",
        "ops/test_color.py",
    ),
    "a centre crop is off by one pixel": Mutant(
        "augment/crop.py",
        "start = jnp.round((resized - size) / 2) * step",
        "start = (jnp.round((resized - size) / 2) + 1) * step",
        "augment/test_crop.py",
    ),
    "a random crop never reaches the last place": Mutant(
        "augment/crop.py",
        "jnp.minimum(jnp.floor(uniform * (free + 1)), free)",
        "jnp.floor(uniform * free)",
        "augment/test_crop.py augment/test_laws.py",
    ),
    "CutMix forgets its area": Mutant(
        "augment/mix.py",
        "share = weight - tall * wide / (height * width)",
        "share = weight",
        "augment/test_mix.py",
    ),
    "a mirror keeps the flow's sign": Mutant(
        "augment/geometry.py",
        "return value * jnp.array([-1.0, 1.0, 1.0])",
        "return value * jnp.array([1.0, 1.0, 1.0])",
        "augment/test_geometry.py",
    ),
    "a mirror moves the principal point by a pixel": Mutant(
        "augment/geometry.py",
        "first = (width - 1) * value[2] - value[0]",
        "first = width * value[2] - value[0]",
        "augment/test_geometry.py",
    ),
    # Geometry.
    "a warp counts its last column as outside": Mutant(
        "ops/warp.py",
        "(x >= 0) & (x <= width - 1)",
        "(x >= 0) & (x < width - 1)",
        "ops/test_warp.py",
    ),
    "the right picture is sought on the wrong side": Mutant(
        "ops/warp.py",
        'along = -disparity if side == "left" else disparity',
        'along = disparity if side == "left" else -disparity',
        "ops/test_warp.py",
    ),
    "a smaller picture's principal point is off by half a pixel": Mutant(
        "ops/cameras.py",
        "first = first * scale_x + (scale_x - 1) / 2 * third",
        "first = first * scale_x",
        "ops/test_cameras.py",
    ),
    "the inverse of a motion keeps its translation's direction": Mutant(
        "ops/cameras.py",
        'motion_of(back, -einsum("...ij,...j->...i", back, motion[..., 3]))',
        "motion_of(back, -motion[..., 3])",
        "ops/test_cameras.py",
    ),
    "displacements of a cost volume are transposed": Mutant(
        "ops/correlation.py",
        "jnp.moveaxis(rows, 0, -2)",
        "jnp.moveaxis(rows, 0, -1)",
        "ops/test_correlation.py",
    ),
    "the census compares values in 0 to 1": Mutant(
        "losses/photometric.py",
        "255 * (luma(x)",
        "(luma(x)",
        "losses/test_photometric.py",
    ),
    "what does not move counts as moving": Mutant(
        "losses/photometric.py",
        "moving = error < still",
        "moving = error <= still",
        "losses/test_photometric.py",
    ),
    "the flow back is not read where the flow leads to": Mutant(
        "losses/photometric.py",
        'warp(back, flow_pixels(flow), "edge").values',
        "back",
        "losses/test_photometric.py",
    ),
    "poses in a mirror keep their sense of rotation": Mutant(
        "augment/geometry.py",
        "value * signs[:, None] * jnp.append(signs, 1.0)",
        "value * signs[:, None]",
        "augment/test_geometry.py",
    ),
    # Films.
    "the matrix of a camera does not follow the window": Mutant(
        "augment/windows.py",
        "out[name] = resampled(value, self.kind_of(name, value), windows[0], jnp)",
        "out[name] = value",
        "augment/test_film_views.py",
    ),
    "losses see the jittered frames": Mutant(
        "augment/films.py",
        "shown | colours if in_losses else shown",
        "shown | colours",
        "augment/test_film_views.py",
    ),
    "every frame of a film is jittered by itself": Mutant(
        "augment/films.py",
        "if shared:",
        "if not shared:",
        "augment/test_film_views.py",
    ),
    "shorter films always begin at the first frame": Mutant(
        "augment/films.py",
        "random_place(uniform[5], places - 1)",
        "random_place(uniform[5], 0)",
        "augment/test_film_views.py",
    ),
    "a point that something hides counts as seen": Mutant(
        "data/scenes.py",
        "(~inside | hidden)",
        "(~inside)",
        "data/test_synthetic_scenes.py",
    ),
    "what moves has the flow of what rests": Mutant(
        "data/scenes.py",
        "(after @ np.linalg.inv(now))[objects, :3]",
        "(after @ np.linalg.inv(now))[0 * objects, :3]",
        "data/test_synthetic_scenes.py",
    ),
    "labels belong to the first frame of a film": Mutant(
        "data/synthetic_scenes.py",
        "target = first + (settings.num_frames - 1) // 2",
        "target = first",
        "data/test_synthetic_scenes.py",
    ),
    "poses of a colour camera are those of the grey one": Mutant(
        "data/kitti_drives.py",
        "dict(enumerate(first @ back))",
        "dict(enumerate(first))",
        "data/test_kitti.py",
    ),
    "two cameras are in the coordinates of a third": Mutant(
        "data/calibration.py",
        "right[:, 3] - right[:, :3] @ shift",
        "right[:, 3]",
        "data/test_kitti.py",
    ),
    "of two points of a scan the farther one stays": Mutant(
        "data/calibration.py",
        "depth = np.full(full, np.inf)\n    np.minimum.at(",
        "depth = np.zeros(full)\n    np.maximum.at(",
        "data/test_kitti.py",
    ),
    "the upper row of a .pfm file is taken to be the first": Mutant(
        "data/geometry_files.py",
        "upright = values[::-1]",
        "upright = values",
        "data/test_geometry_files.py",
    ),
    "the tenth frame comes before the second": Mutant(
        "data/films.py",
        'parts = re.split(r"(\\d+)", name)',
        "parts = [name]",
        "data/test_film_folders.py",
    ),
    # Data and judgement.
    "a tar shard that changes under a run is read on": Mutant(
        "data/tar_shards.py",
        "mark_of(path) != self.marks[shard]",
        "mark_of(path)[0] < 0",
        "data/test_tar_shards.py",
    ),
    "a changed tar shard is read by its old index": Mutant(
        "data/tars.py",
        '["tar", place, *mark, label, label_key]',
        '["tar", place, label, label_key]',
        "data/test_tar_shards.py",
    ),
    "a tar file is thought to end at a damaged header": Mutant(
        "data/tars.py",
        'if file.read(_BLOCK).strip(b"\\0"):',
        "if False:",
        "data/test_tar_shards.py",
    ),
    "other labels of the same tar files are the same data": Mutant(
        "data/tar_shards.py",
        'yield self.labels.astype("<i4").tobytes()',
        "yield bytes(len(self.labels))",
        "data/test_tar_shards.py",
    ),
    "a bucket is asked for more than the member that is read": Mutant(
        "data/places.py",
        "data = bucket.cat_file(name, start=offset, end=offset + size)",
        "data = bucket.cat_file(name)[offset : offset + size]",
        "data/test_places.py",
    ),
    "hidden files of a bucket are images": Mutant(
        "data/places.py",
        'yield f"{inner}/{name}" if inner else name',
        'yield (f"{inner}/{name}" if inner else name).replace("/.", "/")',
        "data/test_places.py",
    ),
    "every epoch has the same order": Mutant(
        "data/order.py",
        "key = np.array([seed % 2**64, epoch], np.uint64)",
        "key = np.array([seed % 2**64, 0], np.uint64)",
        "data/test_order.py",
    ),
    "processes read each other's rows": Mutant(
        "data/order.py",
        "(p * batch_size // count for p in (process, process + 1))",
        "(p * batch_size // count for p in (0, 1))",
        "data/test_order.py",
    ),
    "neighbours vote by similarity and not by its exponential": Mutant(
        "evaluate/knn.py",
        "weights = jnp.exp((scores - scores[0]) / temperature)",
        "weights = scores / temperature",
        "evaluate/test_knn.py",
    ),
    "the linear probe is chosen by its worst head": Mutant(
        "evaluate/linear.py",
        'np.lexsort((scores["loss"], -scores["accuracy"]))[0]',
        'np.lexsort((scores["loss"], scores["accuracy"]))[0]',
        "evaluate/test_linear.py",
    ),
    "what is held out is also fitted": Mutant(
        "evaluate/linear.py",
        "return np.setdiff1d(there, validation), validation",
        "return there, validation",
        "evaluate/test_linear.py",
    ),
    # Pretext tasks, generative learners, and prediction in time and between views.
    "the KL takes the log-variance for the deviation's": Mutant(
        "losses/reconstruction.py",
        "jnp.square(mean) + jnp.expm1(log_variance) - log_variance",
        "jnp.square(mean) + jnp.expm1(2 * log_variance) - log_variance",
        "losses/test_reconstruction.py",
    ),
    "a turned image has the next turn's label": Mutant(
        "methods/rotation.py",
        "[jnp.rot90(images, k, axes=(1, 2)) for k in range(TURNS)]",
        "[jnp.rot90(images, k + 1, axes=(1, 2)) for k in range(TURNS)]",
        "methods/test_rotation.py",
    ),
    "colours are weighed by the prior alone": Mutant(
        "ops/color_bins.py",
        "(1 - uniform_share) * prior + uniform_share / len(prior)",
        "prior",
        "ops methods/test_colorization.py",
    ),
    "the made images of BiGAN are not stopped for the critic": Mutant(
        "methods/bigan.py",
        "jax.lax.stop_gradient((code, fakes))",
        "(code, fakes)",
        "methods/test_bigan.py",
    ),
    "the overlap of a hole is weighed like the hole": Mutant(
        "methods/context_encoder.py",
        "jnp.where(cut(hidden), 1.0, overlap_weight)",
        "jnp.where(cut(hidden), 1.0, 1.0)",
        "methods/test_context_encoder.py",
    ),
    "CPC's scores are sums and not means": Mutant(
        "losses/time_nce.py",
        "jnp.sum(p * own[_steps_ahead(W, K)], axis=-1) / D",
        "jnp.sum(p * own[_steps_ahead(W, K)], axis=-1)",
        "methods/test_cpc_audio.py",
    ),
    "a drawn negative may be the anchor's own step": Mutant(
        "losses/time_nce.py",
        "(rows, *shape), 1, steps)",
        "(rows, *shape), 0, steps)",
        "methods/test_cpc_audio.py",
    ),
    "the context of a row sees the row below": Mutant(
        "nn/context.py",
        "jnp.pad(y, ((0, 0), (1, 0), (0, 0), (0, 0)))",
        "jnp.pad(y, ((0, 0), (0, 1), (0, 0), (0, 0)))",
        "methods/test_cpc_vision.py",
    ),
    "AMDIM counts the other places of an image as negatives": Mutant(
        "losses/infomax.py",
        "negative = jnp.where(own, -jnp.inf, scores)",
        "negative = scores",
        "methods/test_amdim.py",
    ),
    "a half looks for its image in its own memories": Mutant(
        "methods/cmc.py",
        "state.banks[other],",
        "state.banks[half],",
        "methods/test_cmc.py",
    ),
    "PIRL's memory follows the transformed image": Mutant(
        "methods/pirl.py",
        "bank = remember(state.bank, index, v,",
        "bank = remember(state.bank, index, terms[0][2],",
        "methods/test_pirl.py",
    ),
    "LooC compares other keys in the space of all": Mutant(
        "methods/looc.py",
        "k[:, jnp.array(others), i]",
        "k[:, jnp.array(others), 0]",
        "methods/test_looc.py",
    ),
    "SupCon counts an image's other view twice": Mutant(
        "losses/supcon.py",
        "return (own.label == others.label) & (own.image != others.image)",
        "return own.label == others.label",
        "losses/test_supcon.py",
    ),
    "rows without a label count in a mean over those with one": Mutant(
        "losses/consistency.py",
        "total / jnp.maximum(known.sum(), 1)",
        "total / len(values)",
        "losses/test_consistency.py",
    ),
    "distillation forgets T squared": Mutant(
        "losses/consistency.py",
        "return temperature**2 * divergence.mean()",
        "return divergence.mean()",
        "losses/test_consistency.py",
    ),
    "labelled rows begin anew each step": Mutant(
        "data/order.py",
        "divmod(step * L, n)",
        "divmod(step, n)",
        "data/test_shares.py",
    ),
    # What predictions are worth.
    "depth is resized in the place of its inverse": Mutant(
        "evaluate/maps.py",
        "inverse = at_label(1 / jnp.maximum(depth, TINY), fields, label)",
        "inverse = 1 / at_label(jnp.maximum(depth, TINY), fields, label)",
        "evaluate/test_predictions.py",
    ),
    "medians are taken of all pixels": Mutant(
        "evaluate/depth.py",
        "maps.masked_median(found, mask)",
        "maps.masked_median(found, mask | True)",
        "evaluate/test_predictions.py",
    ),
    "the crop's edges are those of float32": Mutant(
        "evaluate/maps.py",
        "np.floor(share * np.arange(side + 1))",
        "np.floor(np.float32(share) * np.arange(side + 1, dtype=np.float32))",
        "evaluate/test_predictions.py",
    ),
    "v is scaled by the widths": Mutant(
        "evaluate/maps.py",
        "jnp.stack([width / flow.shape[1], height / flow.shape[0]])",
        "jnp.stack([width / flow.shape[1], width / flow.shape[1]])",
        "evaluate/test_predictions.py",
    ),
    "an outlier is off by three pixels or by a twentieth": Mutant(
        "evaluate/stereo.py",
        "(error > PIXELS) & (error > SHARE * true)",
        "(error > PIXELS) | (error > SHARE * true)",
        "evaluate/test_predictions.py",
    ),
    "what a canvas has beyond the picture counts": Mutant(
        "evaluate/maps.py",
        "return (rows < height)[:, None] & (columns < width)",
        "return (rows >= 0)[:, None] & (columns >= 0)",
        "evaluate/test_predictions.py",
    ),
    "the scale of a snippet is its inverse": Mutant(
        "evaluate/ego_motion.py",
        "size = (found**2).sum((1, 2))",
        "size = (true**2).sum((1, 2))",
        "evaluate/test_ego_motion.py",
    ),
    "the untrained network is asked with the trained params": Mutant(
        "evaluate/judge.py",
        "whole = self.fresh() if kind == UNTRAINED else whole",
        "whole = trained if kind == UNTRAINED else whole",
        "evaluate/test_judge_predictions.py",
    ),
    "the next picture of the last one is flown to": Mutant(
        "run/infer.py",
        "elif row < last or name not in AFTER:",
        "elif row <= last:",
        "run/test_predicted.py",
    ),
    "pixels without a class count in the mean over pixels": Mutant(
        "losses/segmentation.py",
        "/ jnp.maximum(counted.sum(), 1)\n\n\ndef border_weights",
        "/ counted.size\n\n\ndef border_weights",
        "losses/test_segmentation.py methods/test_segmenter.py",
    ),
    "the distances in U-Net's weights are not squared": Mutant(
        "losses/segmentation.py",
        "jnp.square(borders.astype(jnp.float32))",
        "borders.astype(jnp.float32)",
        "losses/test_segmentation.py",
    ),
    "classes that do not occur count as overlaps of 0": Mutant(
        "losses/segmentation.py",
        "there = either > 0",
        "there = either >= 0",
        "losses/test_segmentation.py",
    ),
    "U-Net cuts its skips at the corner": Mutant(
        "encoders/unet.py",
        "top, left = ((n - m) // 2 for",
        "top, left = (0 * (n - m) for",
        "encoders/test_unet.py",
    ),
    "U-Net hands on what its pool has made": Mutant(
        "encoders/unet.py",
        "levels.append(x)\n",
        "levels.append(halved(x) if i + 1 < len(self.widths) else x)\n",
        "encoders/test_unet.py",
    ),
    "dropout is drawn for a place in the chunk": Mutant(
        "nn/dropout.py",
        "row_numbers(len(x))",
        "0 * row_numbers(len(x))",
        "encoders/test_unet.py",
    ),
    "a mask is read half a pixel away from its image": Mutant(
        "augment/segmentation.py",
        "jnp.floor(z[*inner] + 0.5)",
        "jnp.floor(z[*inner] + 1.0)",
        "augment/test_segmentation.py",
    ),
    "an elastic deformation moves the image alone": Mutant(
        "augment/segmentation.py",
        "return _read(chosen, known, points, extent, margin, scale)",
        "still = points - bend @ matrix[:, :2].T\n"
        "        image = _read(chosen, known, points, extent, margin, scale)\n"
        "        others = _read(chosen, known, still, extent, margin, scale)\n"
        '        return {**others, "image": image["image"]}',
        "augment/test_segmentation.py",
    ),
    "an image is mirrored with its last pixel twice": Mutant(
        "augment/segmentation.py",
        "within = jnp.mod(place, jnp.maximum(2 * last, 1.0))",
        "within = jnp.mod(place, jnp.maximum(2 * last + 1, 1.0))",
        "augment/test_segmentation.py",
    ),
    "the mirrored margin is a pixel too narrow": Mutant(
        "methods/segmenter.py",
        "before = margin - around",
        "before = max(margin - around - 1, 0)",
        "methods/test_segmenter.py",
    ),
    # Detection, films of objects, transfer, corruptions, weights, seeds.
    "a cell learns the largest of the boxes around it": Mutant(
        "losses/detection.py",
        "chosen = size.argmin(-1)",
        "chosen = jnp.where(mine, areas(corners), -1.0).argmax(-1)",
        "losses/test_detection.py",
    ),
    "boxes are not weighted by their centreness": Mutant(
        "losses/detection.py",
        "(weight * apart).sum() / jnp.maximum(weight.sum(), 1e-6)",
        "apart.sum() / number",
        "losses/test_detection.py",
    ),
    "suppression forgets that a rival is gone": Mutant(
        "ops/boxes.py",
        "(rivals[i] & stays).any()",
        "rivals[i].any()",
        "ops/test_boxes.py",
    ),
    "a frozen encoder is exported as it first was": Mutant(
        "nn/frozen.py",
        "return params, state._replace(frozen=given)",
        "return params, state",
        "methods/test_detector.py methods/test_segmenter.py methods/test_classifier.py "
        "test_fine_tuning.py",
    ),
    "a frozen encoder runs in training mode": Mutant(
        "nn/frozen.py",
        "learns = key is not None and not frozen",
        "learns = key is not None",
        "methods/test_segmenter.py methods/test_detector.py",
    ),
    "the memory of a film loses its first frame": Mutant(
        "evaluate/label_propagation.py",
        "place = 1 + (at - 1) % last_frames",
        "place = at % (1 + last_frames)",
        "evaluate/test_label_propagation.py",
    ),
    "the weakest of equal strengths is chosen": Mutant(
        "evaluate/transfer.py",
        "return np.geomspace(self.strongest, self.weakest, self.strengths)",
        "return np.geomspace(self.weakest, self.strongest, self.strengths)",
        "evaluate/test_transfer.py evaluate/test_transfer_labels.py",
    ),
    "mCE divides by the sum of all errors": Mutant(
        "evaluate/robustness.py",
        "np.mean([errors[kind] / base[kind] for kind in KINDS])",
        "np.sum([*errors.values()]) / np.sum([*base.values()])",
        "evaluate/test_robustness.py",
    ),
    "query, key and value are joined in another order": Mutant(
        "interop/layouts.py",
        'SLOTS = ("q", "k", "v")',
        'SLOTS = ("k", "q", "v")',
        "interop",
    ),
    "registers keep the class token's position out": Mutant(
        "interop/out_state.py",
        'arrays["params/class_token"] = arrays["params/class_token"] + first',
        'arrays["params/class_token"] = arrays["params/class_token"]',
        "interop/test_out.py",
    ),
    "all seeds see the batches of the first": Mutant(
        "train/seeds.py",
        "found = tuple([next(feed) for feed in self.feeds])",
        "found = (next(self.feeds[0]),) * len(self.feeds)",
        "train/test_seeds.py",
    ),
    "features are standardized apart from their partner's": Mutant(
        "nn/pwc.py",
        "axes = tuple(range(1, both.ndim))",
        "axes = tuple(range(2, both.ndim))",
        "nn/test_pwc.py",
    ),
    "a view that is not finite is not told": Mutant(
        "train/step.py",
        "finite = finite._replace(views=checked.views)",
        "finite = finite",
        "train test_contract.py -k finite",
    ),
    # Depth, motion, flow and scene flow.
    "smoothness weighs the same at all scales of SfMLearner": Mutant(
        "methods/sfmlearner.py",
        "smooth = smooth + smoothness_weight / 2**s * sum(bends)",
        "smooth = smooth + smoothness_weight * sum(bends)",
        "methods/test_sfmlearner.py",
    ),
    "explainability explains nothing away": Mutant(
        "methods/sfmlearner.py",
        "error = error * explainability(logits)",
        "error = error * 1.0",
        "methods/test_sfmlearner.py",
    ),
    "poses are told from the target and not from the first camera": Mutant(
        "methods/sfmlearner.py",
        "first = inverse(back[0])",
        "first = still",
        "methods/test_sfmlearner.py",
    ),
    "smoothness weighs the same at all scales of Monodepth": Mutant(
        "methods/monodepth.py",
        "rough / 2**scale,",
        "rough,",
        "methods/test_monodepth.py",
    ),
    "disparities of both cameras are compared as those of the left one": Mutant(
        "methods/monodepth.py",
        "left_right_error(width * own, width * shares[other], side)",
        'left_right_error(width * own, width * shares[other], "left")',
        "methods/test_monodepth.py",
    ),
    "disparities are told as shares of the width": Mutant(
        "methods/monodepth.py",
        "return found.shape[-1] * found",
        "return found",
        "methods/test_monodepth.py",
    ),
    "what stands still is not masked": Mutant(
        "methods/monodepth2.py",
        "minimum_reprojection(found, still if auto_mask else None, own_key)",
        "minimum_reprojection(found, None, own_key)",
        "methods/test_monodepth2.py",
    ),
    "disparities are smoothed without being divided by their mean": Mutant(
        "methods/monodepth2.py",
        "smoothness(mean_normalized(disparity), small)",
        "smoothness(disparity, small)",
        "methods/test_monodepth2.py",
    ),
    "poses are in baselines and not in metres": Mutant(
        "methods/monodepth2.py",
        "return chain if two is None else scaled(chain, unit(two))",
        "return chain",
        "methods/test_monodepth2.py",
    ),
    "coarse flows are in pixels of the picture": Mutant(
        "methods/unflow.py",
        "flow, other = flow * (FLOW_UNIT / pixels), exchanged(own)",
        "flow, other = flow * FLOW_UNIT, exchanged(own)",
        "methods/test_unflow.py",
    ),
    "all levels of a flow weigh the same": Mutant(
        "methods/unflow.py",
        "value = value + weight * weighted(terms)",
        "value = value + weighted(terms)",
        "methods/test_unflow.py",
    ),
    "the flow back is the flow there": Mutant(
        "methods/unflow.py",
        "*(own, other, flow, exchanged(flow)),",
        "*(own, other, flow, flow),",
        "methods/test_unflow.py",
    ),
    "scene flow is the mean of both directions": Mutant(
        "methods/self_mono_sf.py",
        "of_flow += 2 * weight * moved.mean()",
        "of_flow += weight * moved.mean()",
        "methods/test_self_mono_sf.py",
    ),
    "smoothness weighs the same at all levels of scene flow": Mutant(
        "methods/self_mono_sf.py",
        "smooth = disparity_smoothness * own_terms.smoothness / 2**i",
        "smooth = disparity_smoothness * own_terms.smoothness",
        "methods/test_self_mono_sf.py",
    ),
    "the next disparity is that of points at rest": Mutant(
        "methods/self_mono_sf.py",
        "there = project(points + flow, seen.left_camera)",
        "there = project(points, seen.left_camera)",
        "methods/test_self_mono_sf.py",
    ),
    # Memory.
    "a step writes over its state before it has looked": Mutant(
        "train/step.py",
        "never = nonfinite < -1",
        "never = jnp.bool_(False)",
        "train/test_in_place.py",
    ),
    "holes below 64 KiB stay": Mutant(
        "core/heap.py",
        "LARGEST, LARGE, SMALLEST = 2**28, 2**22, 2**10",
        "LARGEST, LARGE, SMALLEST = 2**28, 2**22, 2**16",
        "core/test_heap.py",
    ),
    "pages are forgotten that a hole shares": Mutant(
        "core/heap.py",
        "first, last = -(-piece // _PAGE), (piece + size) // _PAGE",
        "first, last = piece // _PAGE, -(-(piece + size) // _PAGE)",
        "core/test_heap.py",
    ),
    "holes are filled where threads have heaps of their own": Mutant(
        "core/heap.py",
        'if {*tunables(KEPT).split(":")} <= {*told}:',
        "if told:",
        "core/test_heap.py",
    ),
}

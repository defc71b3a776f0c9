"""`jax-ssl evaluate --suite=NAME`: many data sets, of which those that are there."""

import logging
import pathlib
from collections.abc import Callable, Sequence

from jax_ssl.augment import VIEWS
from jax_ssl.config.bind import nearest
from jax_ssl.core.state import TrainState
from jax_ssl.core.telling import telling
from jax_ssl.data.classes import renumbered
from jax_ssl.data.corrupt import TooManyCorrupt
from jax_ssl.data.identity import identity
from jax_ssl.data.source import Source
from jax_ssl.evaluate import PROTOCOLS
from jax_ssl.evaluate.data import Data
from jax_ssl.evaluate.judge import Judge, Record
from jax_ssl.evaluate.kinds import takes
from jax_ssl.evaluate.suite import Asked, Lacking, Task
from jax_ssl.evaluate.suites import SUITES
from jax_ssl.run.run import Run
from jax_ssl.train.feeds import Feed

log = logging.getLogger(__name__)


def suited(
    run: Run,
    train: TrainState,
    name: str,
    data_dir: str | None,
    sets: str | None,
    features: str | None,
    baseline: str | None = None,
    save: Callable[[Record], None] = lambda found: None,
) -> Record:
    """All protocols of a suite on a state: content for results.json.

    Must be called with the run's mesh installed.

    Args:
        run: whose encoder is judged.
        train: its state.
        name: of the suite.
        data_dir: the folder of its data sets; that of the run's own unless given.
        sets: some of them, with commas between; all unless given.
        features: kinds of features, with commas between; all unless given.
        baseline: results.json of another run, for suites that compare with one.
        save: told what each data set says as soon as it is known, for hours may pass;
            but not where a summary takes its place.

    Raises:
        ValueError: for an unknown name or a run that cannot be judged so, or if none of
            the data sets is there.
        FileNotFoundError: if there is no such folder.
    """
    if name not in SUITES:
        raise ValueError(
            f"--suite={name} is not one of {', '.join(SUITES)}"
            f"{nearest(name, SUITES) or '.'}"
        )
    suite = SUITES[name]
    asked = _asked(run, data_dir, sets, baseline)
    if suite.classifies and asked.classes is None:
        raise ValueError(
            f"--suite={name} judges a method's own classifier, and "
            f"{run.experiment.config['method']['name']} is none; take a run of the "
            "method classifier, such as one of --config=linear_imagenet."
        )
    if baseline is not None and not suite.classifies:
        raise ValueError(
            "--baseline is for suites that judge a classifier, and "
            f"--suite={name} judges features."
        )
    moments = {key: asked.view.get(key) for key in ("mean", "std")}
    view = VIEWS["center_crop"](size=asked.side, **moments)
    kinds = None if features is None else tuple(filter(None, features.split(",")))
    found: Record = {"evaluations": [], "skipped": []}
    for task in suite.tasks(asked):
        if isinstance(task, Lacking):
            found["skipped"].append(
                {"protocol": f"{name}: {task.title}", "reason": task.reason}
            )
            continue
        if task.note:
            log.warning(task.note)
        judge = Judge(
            run.experiment.method,
            task.view or view,
            run.fresh,
            run.experiment.mesh,
            at_once=run.experiment.evals.batch_size,
            most_bytes=run.experiment.evals.device_gib * 2**30,
        )
        each = _judged(run, judge, train, task, kinds)
        if each["evaluations"]:
            told = {
                "digest": [identity(x)["digest"] for x in (task.train, task.test)],
                "where": str(asked.data_dir),
            }
            each["evaluations"] = [{**e, "data": told} for e in each["evaluations"]]
        for key, entries in each.items():
            found[key] += entries
        if not suite.classifies:
            save(each)
    if not found["evaluations"]:
        raise ValueError(
            f"--suite={name}: nothing could be judged in --data_dir={asked.data_dir}.\n"
            + "\n".join(f"  {e['protocol']}: {e['reason']}" for e in found["skipped"])
        )
    found["evaluations"] = suite.summary(asked, found["evaluations"])
    return found


def _asked(
    run: Run, data_dir: str | None, sets: str | None, baseline: str | None
) -> Asked:
    """What the suite is given.

    Raises:
        ValueError: if the encoder reads no square RGB images, or no folder is known.
        FileNotFoundError: if there is no such folder.
    """
    config, method = run.experiment.config, run.experiment.method
    seen = run.judge.seen(run.train).shape
    if len(seen) != 3 or seen[0] != seen[1] or seen[2] != 3:
        raise ValueError(
            f"suites are of square RGB images, and this run's encoder reads "
            f"{tuple(seen)} by config.evals.view = {config['evals']['view']['name']!r};"
            " where it reads RGB images, choose a square view, such as "
            "--config.evals.view.name=center_crop with --config.evals.view.size=N."
        )
    folder = data_dir or config["data"].get("data_dir")
    if folder is None:
        raise ValueError("--suite needs --data_dir=DIR, the folder of its data sets.")
    path = pathlib.Path(folder).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"--data_dir={folder} is not a folder.")
    classes = None
    if method.health.classes is not None:
        names = run.train.feed.fields["label"].names
        classes = names or tuple(map(str, range(method.health.classes)))
    given = {name: config["evals"].get(name) for name in PROTOCOLS}
    return Asked(
        data_dir=path,
        sets=tuple(filter(None, (sets or "").split(","))),
        side=seen[0],
        view=run.experiment.evals.view,
        settings={name: own for name, own in given.items() if own is not None},
        test=None if run.test is None else run.test.feed.source,
        classes=classes,
        baseline=None if baseline is None else pathlib.Path(baseline).expanduser(),
        unknown=run.experiment.evals.unknown_classes,
    )


def _judged(
    run: Run, judge: Judge, train: TrainState, task: Task, kinds: Sequence[str] | None
) -> Record:
    """What one data set says."""
    fields = {name for p in task.protocols for name in p.fields}
    read = {"image", "size", *fields}

    def data(source: Source, split: str) -> Data:
        feed = Feed(
            source.keep(read & set(source.fields)),
            mesh=run.experiment.mesh,
            seed=0,
            batch_size=run.experiment.mesh.size,
            workers=run.experiment.feeding.workers,
            max_corrupt=1.0,
        )
        return Data(feed=feed, split=split)

    unknown = run.experiment.evals.unknown_classes
    try:
        test, said = renumbered(
            task.test, task.train.fields, unknown=unknown, part=task.train
        )
    except ValueError as error:
        skipped = [{"protocol": p.name, "reason": str(error)} for p in task.protocols]
        return {"evaluations": [], "skipped": skipped}
    for sentence in said:
        log.warning(sentence)
    known, asked = data(task.train, "train"), data(test, task.split)
    if kinds is not None:
        there = judge.kinds(known, task.protocols)
        if strange := [kind for kind in kinds if kind not in there]:
            raise ValueError(
                f"--features={','.join(kinds)}: there is no {strange[0]!r}, only "
                f"{', '.join(there)}."
            )
        mine = [k for k in there if any(takes(p, k) for p in task.protocols)]
        if not set(kinds) & set(mine):
            raise ValueError(
                f"--features={','.join(kinds)}: {task.title} is judged by the features "
                f"{', '.join(mine)} alone."
            )
    try:
        return judge.judge(
            task.protocols,
            (train.params, train.state),
            known,
            asked,
            kinds=kinds,
            step=int(train.step),
            tell=lambda text, total: telling(f"{task.title} · {text}", total),
        )
    except TooManyCorrupt as error:  # The other data sets are judged all the same.
        first, *_ = error.reasons.values()
        reason = f"none of {len(error.reasons)} examples can be read, such as {first}"
        skipped = [{"protocol": p.name, "reason": reason} for p in task.protocols]
        return {"evaluations": [], "skipped": skipped}

"""A plan as text, at most 100 columns wide."""

import math
import textwrap

from jax_ssl.plan.planner import Planned
from jax_ssl.plan.source import StandIn
from jax_ssl.report.table import aligned

WIDTH = 100
SENTENCES = textwrap.TextWrapper(
    WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
)
SAID = {
    "parameters": "what is trained",
    "optimizer": "the optimizer's slots",
    "state": "the method's: running statistics, teacher, queue; key and step",
    "resident": "the data set (feed.resident)",
    "batch": "images as the hosts send them",
    "outputs": "metrics",
    "temporaries": "activations, views, gradients at their peak",
    "code": "the program",
}


def format_table(planned: Planned) -> str:
    """Plain text of a plan; lines without a trailing newline."""
    parts = [_headline(planned), _memory(planned)]
    if planned.compiled:
        parts += [_largest(planned), _work(planned), _collectives(planned)]
    parts += [_conclusion(planned), _remarks(planned)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(planned: Planned) -> list[str]:
    experiment = planned.experiment
    config, chunks = experiment.config, experiment.run.chunks
    turns = f" in {chunks} chunks" if chunks > 1 else ""
    verdict = "fits" if planned.fits else "DOES NOT FIT"
    if math.isinf(planned.capacity):
        verdict = "compiles"
    return [
        f"{config['method']['name']}, {config['encoder']['name']}, batch "
        f"{experiment.feeding.batch_size:,}{turns} on {planned.where}: {verdict}"
    ]


def _memory(planned: Planned) -> list[str]:
    name, unit = ("MB", 1e6) if planned.total < 1e9 else ("GB", 1e9)
    rows = [
        [kind, _number(size / unit), SAID[kind]]
        for kind, size in planned.sizes.items()
        if size or kind != "resident"
    ]
    share = ""
    if math.isfinite(planned.capacity):
        share = f"of {_number(planned.capacity / unit)} that a program may use"
        if math.isfinite(planned.total):
            share += f", {planned.total / planned.capacity:.0%}"
    rows.append(["total", _number(planned.total / unit), share])
    return aligned(["memory of each device", name, ""], rows, left=(0, 2))


def _largest(planned: Planned) -> list[str]:
    rows = [
        [one.shape, _mb(one.bytes), _mb(one.padded_bytes), _tail(one.made_by, 40)]
        for one in planned.largest
    ]
    head = ["largest temporaries", "MB", "MB as laid out", "made by"]
    return aligned(head, rows, left=(0, 3)) if rows else []


def _work(planned: Planned) -> list[str]:
    chip, bounds = planned.where.chip, planned.roofline
    sent = sum(c.wire_bytes for c in planned.collectives if not c.conditional)
    each = planned.flops / len(planned.where.devices)
    head = ["work of each device", ""]
    rows = [
        ["compute", f"{each / 1e9:,.1f} GFLOP"],
        ["memory", f"{planned.memory_bytes / 1e6:,.1f} MB moved"],
        ["network", f"{sent / 1e6:,.1f} MB sent"],
    ]
    if chip is None or bounds is None:
        return aligned(head, rows)
    speed = planned.where.links * chip.link
    rows[0].append(f"{chip.flops / 1e12:,.0f} TFLOP/s")
    rows[1].append(f"{chip.bandwidth / 1e9:,.0f} GB/s")
    rows[2].append(f"{speed / 1e9:,.0f} GB/s" if speed else "")
    for row in rows:
        row.append(_ms(bounds[f"{row[0]}_seconds"]))
        row.append("◀ bound" if row[0] == bounds["bound"] else "")
    return aligned([*head, "published peak", "ms alone", ""], rows, left=(0, 4))


def _collectives(planned: Planned) -> list[str]:
    rows = []
    for one in planned.collectives:
        kind = one.kind + (" (in a branch)" if one.conditional else "")
        counts = [str(one.group), f"{one.count:,}", f"{one.looped:,}"]
        rows.append([kind, *counts, _mb(one.bytes), _mb(one.wire_bytes)])
    head = ["collectives", "among", "count", "in loops", "MB", "MB sent by each"]
    return aligned(head, rows) if rows else []


def _conclusion(planned: Planned) -> list[str]:
    bounds, steps = planned.roofline, planned.experiment.plan.num_steps
    if bounds is None:
        return []
    return SENTENCES.wrap(
        f"at best {_ms(bounds['step_seconds'])} ms a step, bound by {bounds['bound']}; "
        f"{bounds['examples_per_second']:,.0f} examples/s; "
        f"{bounds['hours']:,.3g} hours for {steps:,} steps, "
        f"{planned.epochs:,.4g} epochs"
    )


def _remarks(planned: Planned) -> list[str]:
    experiment, source = planned.experiment, planned.experiment.source
    shapes = [
        f"{name} {'×'.join(map(str, field.shape))}"
        for name, field in source.fields.items()
        if field.shape
    ]
    here = " (not here: planned from its shapes)" if isinstance(source, StandIn) else ""
    each = ", ".join(shapes)
    lines = [f"data: {source.name}, {len(source):,} examples of {each}{here}."]
    if not planned.compiled:
        lines.append("XLA refused to compile it: temporaries are what it asked for.")
    else:
        lines += [
            "from the compiler: memory, FLOPs of products and convolutions, "
            "collectives: of the compiled step.",
            "estimated: bytes moved (each kernel reads its inputs once, writes its "
            "results once); times (published peaks, all three overlapping perfectly): "
            "no step is faster.",
            "left out: reading and decoding images, evaluation, checkpoints.",
        ]
    if planned.where.chip and "bfloat16" not in str(experiment.config["encoder"]):
        lines.append("the network is not bfloat16: its compute bound is too low.")
    if experiment.run.steps_per_call > 1:
        lines.append(
            f"run.steps_per_call = {experiment.run.steps_per_call} is planned as 1."
        )
    if planned.loops_unknown:
        lines.append(
            f"{planned.loops_unknown} loops of unknown length count as one turn: "
            "bytes moved and collectives may be more."
        )
    return [part for line in lines for part in SENTENCES.wrap(line)]


def _tail(path: str, width: int) -> str:
    """The last whole parts of a "/"-joined path that fit."""
    while len(path) > width and "/" in path:
        path = path.partition("/")[2]
    return path[-width:]


def _number(size: float) -> str:
    return f"{size:,.3f}" if math.isfinite(size) else "?"


def _mb(size: float) -> str:
    return _number(size / 1e6)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"

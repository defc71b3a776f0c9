"""What races have found: one record of all, a table and a picture of their curves.

Run:   PYTHONPATH=. python experiments/race_laptop/show.py WORKDIR [WORKDIR ...]

Each WORKDIR is one that run.py was given. Writes results.json and curves.png beside
this file, and prints the table of README.md and how far ours is ahead.
"""

import json
import pathlib
import sys

import numpy as np
from judge import hits

HERE = pathlib.Path(__file__).parent
NAMES = ("ours", "lightly_own", "lightly_same")
POINTS = 40  # Of a curve that are kept.


def main():
    folders = [pathlib.Path(folder) for folder in told()]
    found = [json.loads((folder / "results.json").read_text()) for folder in folders]
    right = {}
    for one, folder in zip(found, folders, strict=True):
        right.setdefault(one["entrant"], []).append(found_images(folder, one["part"]))
    found.sort(key=lambda one: (NAMES.index(one["entrant"]), one["seed"]))
    races = {(one["part"], one["minutes"], one["clock"], one["cores"]) for one in found}
    if len(races) > 1:
        raise SystemExit(f"these are not of one race: {sorted(races)}.")
    kept = [shortened(one) for one in found]
    (HERE / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(table(found))
    for name in NAMES[1:]:
        if "ours" in right and name in right:
            print(ahead(right["ours"], right[name], name))
    draw(found, HERE / "curves.png")


def told():
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    return sys.argv[1:]


def found_images(folder, part):
    """[m] bool, of which of the images the features of a work folder find the class."""
    features = np.load(folder / "features.npz")
    data = np.load(folder / f"images_{part}.npz")
    vote = features["train"], data["y_train"], features["judged"], data["y_judged"]
    return hits(*vote)


def ahead(ours, theirs, name):
    """Points between the means of two entrants' seeds, with the error of the images."""
    gap = 100 * (np.mean(ours, axis=0) - np.mean(theirs, axis=0))
    error = gap.std() / np.sqrt(len(gap))
    return f"ours is {gap.mean():.2f} ahead of {name}, standard error {error:.2f}"


def shortened(one):
    """A record whose curve has few points, all looks among them."""
    curve, every = one["curve"], -(-len(one["curve"]) // POINTS)
    rows = [r for i, r in enumerate(curve) if i % every == 0 or "held_out_knn" in r]
    return {**one, "curve": rows}


def looks(one):
    """[seconds, accuracy in %] of the looks at training images on the way."""
    if one["entrant"] == "ours":
        return [[r["seconds"], 100 * r["accuracy"]] for r in one["looks"]]
    seen = [r for r in one["curve"] if "held_out_knn" in r]
    return [[r["seconds"], 100 * r["held_out_knn"]] for r in seen]


def table(found):
    lines = [
        "| entrant | seed | steps | seconds until the last step | looks, % "
        "| test k-NN, % | load before | commit |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for one in found:
        cells = [
            one["entrant"],
            one["seed"],
            f"{one['steps']:,}",
            f"{one['trained_until']:,.0f}",
            ", ".join(f"{accuracy:.1f}" for _, accuracy in looks(one)),
            f"**{100 * one['knn']:.2f}**",
            f"{one['load_before']:.1f}",
            one["commit"][:7],
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def draw(found, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (losses, votes) = plt.subplots(1, 2, figsize=(11, 4))
    colors = dict(zip(NAMES, ("tab:blue", "tab:orange", "tab:green"), strict=True))
    for one in found:
        look = {"color": colors[one["entrant"]], "ls": "-" if not one["seed"] else "--"}
        name = f"{one['entrant']}, seed {one['seed']}"
        points = [[r["seconds"] / 60, r["loss"]] for r in shortened(one)["curve"]]
        losses.plot(*zip(*points, strict=True), label=name, **look)
        times, accuracies = zip(*looks(one), strict=True)
        votes.plot([s / 60 for s in times], accuracies, marker="o", label=name, **look)
        votes.plot(one["trained_until"] / 60, 100 * one["knn"], "*", ms=11, **look)
    losses.set(xlabel="minutes", ylabel="loss", ylim=(None, 4))
    votes.set(xlabel="minutes", ylabel="k-NN, %")
    votes.set_title("1,000 training images on the way, test at the end (stars)")
    losses.set_title("loss of training")
    for place in (losses, votes):
        place.grid(alpha=0.3)
        place.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()

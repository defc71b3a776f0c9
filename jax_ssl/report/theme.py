"""Colours of the page and its figures, and the page's style sheet."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Theme:
    """One set of colours; figures are drawn once for each.

    Attributes:
        suffix: what a figure's file name ends in, before its extension.
        page: behind everything.
        surface: behind a card and behind a figure.
        ink: text.
        muted: second-rank text.
        rule: hairlines and grids.
        accent: the trained encoder, and links.
        faint: unsmoothed curves.
        series: further curves, after `accent` (Okabe and Ito's colours, which differ
            for colour-blind readers too).
        classes: ten class colours (Petroff 2021, arXiv 2107.02270).
        warning: behind warnings.
    """

    suffix: str
    page: str
    surface: str
    ink: str
    muted: str
    rule: str
    accent: str
    faint: str
    series: tuple[str, ...]
    classes: tuple[str, ...]
    warning: str


LIGHT = Theme(
    suffix="",
    page="#f6f7f9",
    surface="#ffffff",
    ink="#1b1f24",
    muted="#5f6b7a",
    rule="#e4e7ec",
    accent="#0072b2",
    faint="#a9cde3",
    series=("#d55e00", "#009e73", "#b0588f"),
    classes=(
        "#3f90da",
        "#ffa90e",
        "#bd1f01",
        "#94a4a2",
        "#832db6",
        "#a96b59",
        "#e76300",
        "#b9ac70",
        "#717581",
        "#92dadd",
    ),
    warning="#fff6e5",
)

DARK = Theme(
    suffix="-dark",
    page="#111418",
    surface="#1a1e24",
    ink="#e7eaee",
    muted="#9ba6b4",
    rule="#2d343d",
    accent="#56b4e9",
    faint="#2f5a76",
    series=("#f0894a", "#2fc29a", "#d98cbb"),
    classes=(  # The same hues, the darker ones raised to stand out from the surface.
        "#4f9ee6",
        "#ffa90e",
        "#e0442a",
        "#a3b2b0",
        "#b06be0",
        "#bf8373",
        "#f0752a",
        "#c9bd85",
        "#858a97",
        "#92dadd",
    ),
    warning="#33290f",
)

# Image grids are transparent and drawn once, so their words read on both surfaces.
NEUTRAL_INK = "#7f8894"
SAME = "#0a9c76"
DIFFERENT = "#dd6a14"


def stylesheet() -> str:
    """The page's CSS, light and dark by the reader's preference."""
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
    return f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}\n{dark}\n{_CSS}"


def _variables(theme: Theme) -> str:
    names = ("page", "surface", "ink", "muted", "rule", "accent", "warning")
    return " ".join(f"--{name}: {getattr(theme, name)};" for name in names)


_CSS = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 .35rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; letter-spacing: -0.005em; margin: 2.75rem 0 .75rem; }
p { margin: .4rem 0; max-width: 46rem; }
.muted, figcaption, .note { color: var(--muted); }
figcaption, .note { font-size: .875rem; }
.note { margin-top: .75rem; }
.absent { color: var(--muted); background: var(--surface);
  border: 1px dashed var(--rule); border-radius: 10px; padding: .9rem 1.1rem;
  max-width: none; }
.warnings { background: var(--warning); border-radius: 10px; padding: .9rem 1.1rem;
  margin: 1.25rem 0 0; }
.warnings ul { margin: .25rem 0 0; padding-left: 1.2rem; }
.healthy { background: var(--surface); border: 1px solid var(--rule);
  border-left: 4px solid #0a9c76; border-radius: 10px; padding: .9rem 1.1rem;
  max-width: none; margin: 0; }
.healthy + .panels, .warnings + .panels { margin-top: .75rem; }
section > .warnings { margin-top: 0; }
.cards { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
.card, .panel { background: var(--surface); border: 1px solid var(--rule);
  border-radius: 10px; }
.card { padding: .8rem 1rem .85rem; flex: 1 1 auto; min-width: 128px; }
.card dt { color: var(--muted); font-size: .8125rem; }
.card dd { margin: 0; }
.card .value { font-size: 1.4rem; font-weight: 600; letter-spacing: -0.02em;
  line-height: 1.35; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card .aside { color: var(--muted); font-size: .8125rem; line-height: 1.4; }
.panel { padding: 1rem 1.1rem; }
.panels { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.panels.small { grid-template-columns:
  repeat(auto-fill, minmax(min(100%, 380px), 1fr)); padding: 0 .75rem .75rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; }
figure.grid { overflow-x: auto; }
figure.grid img { width: min(100%, var(--natural)); margin: 0 auto;
  min-width: min(calc(0.62 * var(--natural)), 250%); }
figure.map img { max-width: 760px; margin: 0 auto; }
figcaption { margin-top: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .55rem .75rem; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
tbody:last-child tr:last-child > * { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: .8125rem;
  vertical-align: bottom; }
table.accuracy td, table.accuracy thead th { text-align: right; white-space: nowrap; }
table.accuracy thead tr:first-child th:first-child { text-align: left; }
table.accuracy thead th[colspan] { text-align: center; padding-bottom: 0;
  border-bottom: 0; }
table.accuracy tbody th { font-weight: 600; }
table.accuracy small { display: block; font-weight: 400; color: var(--muted);
  font-size: .8125rem; line-height: 1.45; }
.std { color: var(--muted); font-weight: 400; white-space: pre; }
.spread .std { display: inline-block; min-width: 3.6em; text-align: left; }
.bar { display: block; height: 4px; border-radius: 2px; margin-top: .3rem;
  background: linear-gradient(to right, var(--muted) var(--share), var(--rule) 0); }
.trained .number { font-weight: 600; }
.trained .bar { background: linear-gradient(to right, var(--accent) var(--share),
  var(--rule) 0); }
details { background: var(--surface); border: 1px solid var(--rule);
  border-radius: 10px; margin: .5rem 0; }
details details { border-radius: 8px; margin: .5rem .75rem .75rem; }
summary { cursor: pointer; padding: .7rem 1.1rem; font-weight: 500; }
summary .aside { color: var(--muted); font-weight: 400; margin-left: .35rem; }
summary:focus-visible { outline: 2px solid var(--accent); border-radius: 8px; }
table.settings { font-size: .9rem; }
table.settings th { font-weight: 400; color: var(--muted); width: 38%; }
table.settings th, table.settings td { padding: .35rem 1.1rem;
  overflow-wrap: anywhere; }
table.settings td { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; font-size: .85rem; }
details > table.settings { border-top: 1px solid var(--rule); }
footer { margin-top: 3rem; color: var(--muted); font-size: .8125rem; }
@media (max-width: 680px) {
  main { padding: 1.5rem .9rem 3rem; }
  h1 { font-size: 1.5rem; }
  .cards { display: grid; grid-template-columns: repeat(2, 1fr); }
  .card .value { font-size: 1.25rem; }
  .panel { padding: .8rem; }
  table.accuracy thead { display: none; }
  table.accuracy, table.accuracy tbody, table.accuracy tr, table.accuracy th,
  table.accuracy td { display: block; }
  table.accuracy tr { padding: .6rem 0; border-bottom: 1px solid var(--rule); }
  table.accuracy tr:last-child { border-bottom: 0; }
  table.accuracy th, table.accuracy td { border: 0; padding: .2rem .25rem; }
  table.accuracy td { display: grid; grid-template-columns: 1fr auto;
    white-space: normal; }
  table.accuracy td::before { content: attr(data-label); color: var(--muted);
    text-align: left; }
  table.accuracy .bar { grid-column: 1 / -1; }
}
"""

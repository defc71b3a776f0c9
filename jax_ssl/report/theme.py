"""Colours of the page and its figures, for a light page and for a dark one."""

from collections.abc import Mapping

Theme = Mapping[str, str]

# Words in ink, muted, accent, better and worse have at least 4.5 times the contrast of
# 1 with what they stand on, as WCAG 2.1 asks.
COLORS = {
    "page": ("#f6f7f9", "#111418"),
    "surface": ("#ffffff", "#1a1e24"),  # behind cards and figures
    "ink": ("#1b1f24", "#e7eaee"),
    "muted": ("#5f6b7a", "#9ba6b4"),
    "rule": ("#e4e7ec", "#2d343d"),
    "accent": ("#0072b2", "#56b4e9"),  # trained features, the first curve, links
    "better": ("#007a5a", "#2fc29a"),
    "worse": ("#b84a00", "#f0894a"),
    "warning": ("#fff6e5", "#33290f"),  # behind warnings
}
LIGHT: Theme = {name: light for name, (light, _) in COLORS.items()}
DARK: Theme = {name: dark for name, (_, dark) in COLORS.items()}
CURVES = ("accent", "worse", "better")

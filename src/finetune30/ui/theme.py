"""How the page looks: colours of the theme, light and dark, and those of plots.

Plots' colours are Okabe and Ito's, which people with any colour vision tell apart (Okabe and Ito 2008).
"""

from __future__ import annotations

from typing import Any

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Of lines and bars, in this order; never the only sign: lines differ in dash or marker, bars have names."""

THEME: dict[str, Any] = {
    "theme.metricValueFontSize": "1.5rem",
    "theme.base": "light",
    "theme.font": "sans-serif",
    "theme.light.primaryColor": "#0B6E99",
    "theme.light.backgroundColor": "#FFFFFF",
    "theme.light.secondaryBackgroundColor": "#F3F6F8",
    "theme.light.textColor": "#16242D",
    "theme.dark.primaryColor": "#4FB3D9",
    "theme.dark.backgroundColor": "#10171C",
    "theme.dark.secondaryBackgroundColor": "#1A242B",
    "theme.dark.textColor": "#E6EDF1",
}

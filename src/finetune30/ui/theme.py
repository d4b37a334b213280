"""How the page looks: colours of the theme, light and dark, and those of plots.

Plots' colours are Okabe and Ito's, which people with any colour vision tell apart (Okabe and Ito 2008).
"""

from __future__ import annotations

from typing import Any

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Of lines and bars, in this order; never the only sign: lines differ in dash or marker, bars have names."""

# Each text on its ground has 4.5:1 or more, links and small print too.
_LIGHT = {
    "primaryColor": "#0B6E99",
    "backgroundColor": "#FFFFFF",
    "secondaryBackgroundColor": "#F1F5F8",
    "textColor": "#0C161C",
    "linkColor": "#0A618A",
    "borderColor": "#C9D4DB",
    "dataframeHeaderBackgroundColor": "#F1F5F8",
    "codeBackgroundColor": "#F1F5F8",
}
_DARK = {
    "primaryColor": "#3FA9D1",
    "backgroundColor": "#10171C",
    "secondaryBackgroundColor": "#1A242B",
    "textColor": "#E6EDF1",
    "linkColor": "#6CC3E6",
    "borderColor": "#3A4954",
    "dataframeHeaderBackgroundColor": "#1A242B",
    "codeBackgroundColor": "#1A242B",
}
_BOTH = {
    "font": "sans-serif",
    "headingFontSizes": ["2rem", "1.4rem", "1.15rem", "1rem", "1rem", "1rem"],
    "headingFontWeights": [700, 650, 650, 600, 600, 600],
    "metricValueFontSize": "1.5rem",
    "baseRadius": "0.5rem",
    "paddingTop": "1rem",
    "showWidgetBorder": True,
    "linkUnderline": True,
    "chartCategoricalColors": list(COLOURS[:-1]),
}
THEME: dict[str, Any] = {
    # First those of neither: a file of settings where the page is started could name them.
    **{f"theme.{name}": value for name, value in (_LIGHT | _BOTH).items()},
    **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in _DARK.items()},
}

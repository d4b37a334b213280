"""What a dataset looks like: labels, lengths, telling words, and whether its splits agree.

figures ──> lengths · vocabulary (segments) · telling · seen ──> Analysis (values)
text ─────> lines for a terminal          page (plots) ──> one HTML file

Texts are looked at as found, as the quality checks do; nothing is changed and nothing judged.
"""

from finetune30.data.analysis.figures import analyze
from finetune30.data.analysis.lengths import Lengths
from finetune30.data.analysis.page import page, write_page
from finetune30.data.analysis.text import lines
from finetune30.data.analysis.values import Analysis

__all__ = ["Analysis", "Lengths", "analyze", "lines", "page", "write_page"]

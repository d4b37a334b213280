"""The analysis as one HTML file that opens without network: figures, plots, quality.

Texts and label names come from users: what would act unseen is replaced, Jinja2 escapes the rest, and
the page's own policy lets no script run but the two that are written here, known by their hashes.
plotly and Jinja2 are imported only when a page is made. Neighbours: plots says what is drawn, text
tells the same to a terminal.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from finetune30 import durable
from finetune30.data.analysis import plots
from finetune30.data.analysis.values import Analysis
from finetune30.data.analysis.visible import visible
from finetune30.data.quality.report import QualityReport, Verdict
from finetune30.errors import DataError

_LABELS_DRAWN = 12
_WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.PASS)


def write_page(path: Path, analysis: Analysis, report: QualityReport | None = None) -> None:
    """Write the page; a file of that name is replaced as a whole.

    Raises: DataError when plotly or Jinja2 is not installed. OSError when it cannot be written.
    """
    staging = path.with_name(f".staging-{path.name}")
    try:
        staging.write_text(page(analysis, report), encoding="utf-8")
        durable.put_in_place(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def page(analysis: Analysis, report: QualityReport | None = None) -> str:
    """The whole page, some 5 MB of HTML: plotly.js is part of it. The same input gives the same bytes.

    Args:
        report: Adds the section on quality.
    Raises: DataError when plotly or Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs
    except ImportError as cause:
        raise DataError(
            f"the HTML page needs {cause.name}, which is not installed",
            hint='pip install "finetune30[data]", or ask for text or JSON',
        ) from cause
    home = resources.files("finetune30.data.analysis")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        # Whatever the template prints comes through here, so none can be forgotten; Markup is ours.
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda plot: json.dumps(plot, ensure_ascii=False, separators=(",", ":"))
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(visible(name).split("_"))
    template = environment.from_string(home.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    scripts = [get_plotlyjs(), home.joinpath("page.js").read_text(encoding="utf-8")]
    return template.render(
        analysis=analysis,
        report=report,
        checks=[] if report is None else sorted(report.checks, key=lambda check: _WORST_FIRST.index(check.status)),
        plots=_plots(analysis),
        telling=[label for label in plots.in_order(analysis)[:_LABELS_DRAWN] if label.words],
        listed=[label for label in plots.in_order(analysis)[_LABELS_DRAWN:] if label.words],
        undrawn=max(0, len(analysis.labels) - plots.LABELS_DRAWN),
        words_of=plots.telling,
        policy=_policy(scripts),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - ours, nothing of users
    )


def _plots(analysis: Analysis) -> Mapping[str, plots.Plot | None]:
    has_tokens = analysis.splits["train"].tokens is not None
    return {
        "shares": plots.label_shares(analysis),
        "words": plots.lengths(analysis, "words"),
        "tokens": plots.lengths(analysis, "tokens") if has_tokens else None,
        "medians": plots.median_words(analysis),
        "differences": plots.share_differences(analysis),
        "labels_per_row": plots.labels_per_row(analysis),
    }


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: nothing from outside, no script but these."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"

"""Is this dataset fit to learn from? Every check with its rows, and the fixes that are safe.

inspect ──> texts · copies · near · labels · shortcuts · language ──> QualityReport
clean ────> the same questions, answered by a repaired copy

rows numbers all splits through; keys finds equal rows in bounded memory.
"""

from finetune30.data.quality.clean import FIXES, Cleaned, clean
from finetune30.data.quality.inspect import CHECKS, Longer, inspect
from finetune30.data.quality.report import Check, QualityReport, Verdict

__all__ = ["CHECKS", "FIXES", "Check", "Cleaned", "Longer", "QualityReport", "Verdict", "clean", "inspect"]

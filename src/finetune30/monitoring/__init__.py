"""What a run does to its machine, and what it says while it runs.

``performance`` samples processor and memory, ``gpu`` asks NVIDIA's driver, ``logs`` writes
``logs.txt``, ``environment`` tells what the result was made with.
"""

from finetune30.monitoring.environment import environment_report
from finetune30.monitoring.gpu import GpuSample, nvidia_probe
from finetune30.monitoring.logs import RunLog
from finetune30.monitoring.performance import PerformanceMonitor

__all__ = ["GpuSample", "PerformanceMonitor", "RunLog", "environment_report", "nvidia_probe"]

"""Which device and number format a run uses, and why.

The choice is printed with its reason, because a silent fallback to the CPU costs users
days. float16 is never used on a CPU or on MPS, where it breaks. Neighbours: ``training`` and
``base`` take the choice as a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from finetune30.errors import ConfigError


@dataclass(frozen=True)
class Compute:
    """A device and a number format.

    Attributes:
        device: torch's name of the device: ``cpu``, ``cuda:0``, ``mps``.
        precision: ``float32``, ``bfloat16`` (autocast) or ``float16`` (autocast, CUDA only).
        reason: One sentence for the log and the screen.
    """

    device: str
    precision: str
    reason: str


def choose(device: str = "auto", bf16: bool | str = "auto", *, fp16: bool = False) -> Compute:
    """Pick what the configuration asks for, or the best this machine has.

    Raises: ConfigError if what is asked for is not here.
    """
    chosen, why = _device(device)
    precision, why_precision = _precision(chosen, bf16, fp16)
    return Compute(chosen, precision, f"{chosen} ({why}), {precision} ({why_precision})")


def _device(asked: str) -> tuple[str, str]:
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda:0", f"found {torch.cuda.get_device_name(0)}"
        if torch.backends.mps.is_available():
            return "mps", "found Apple MPS"
        return "cpu", "no CUDA or MPS device found"
    if asked == "cpu":
        return "cpu", "asked for"
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise _missing("mps", "this machine has no Apple MPS device")
        return "mps", "asked for"
    match = re.fullmatch(r"cuda(?::(\d+))?", asked)
    index = int(match.group(1) or 0) if match else -1
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= index < count:
        raise _missing(asked, f"this machine has {count} usable CUDA device(s)")
    return f"cuda:{index}", f"asked for, {torch.cuda.get_device_name(index)}"


def _precision(device: str, bf16: bool | str, fp16: bool) -> tuple[str, str]:
    if fp16:
        if not device.startswith("cuda"):
            raise ConfigError(
                f"float16 is never used on {device}: it overflows or is not implemented there",
                where="training.fp16",
                hint="leave training.fp16 out; bfloat16 is chosen by itself where the hardware has it",
            )
        return "float16", "asked for"
    if bf16 is False:
        return "float32", "bfloat16 switched off"
    if _has_bfloat16(device):
        return "bfloat16", "the hardware has it" if bf16 == "auto" else "asked for"
    if bf16 is True:
        # Emulated bfloat16 is slower than float32: obey, but say so.
        return "bfloat16", "asked for, though this hardware only emulates it"
    return "float32", "no bfloat16 in this hardware" if device != "mps" else "safest on MPS"


def _has_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def _missing(asked: str, what_is: str) -> ConfigError:
    return ConfigError(
        f"device {asked!r} was asked for, but {what_is}",
        where="training.device",
        hint="leave training.device at auto, or give cpu",
    )

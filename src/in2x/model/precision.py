"""The precision that products of a training step are made in, where a recipe leaves the choice to the machine."""

import functools


def training_dtype(setting: str, device_type: str) -> str:
    """ "float32" or "bfloat16": what `dtype` of a training section means on "cpu" or "cuda".

    "auto" is bfloat16 where the device multiplies it itself, float32 where it would be emulated and slower.
    """
    if setting != "auto":
        return setting
    return "bfloat16" if multiplies_bfloat16(device_type) else "float32"


@functools.cache
def multiplies_bfloat16(device_type: str) -> bool:
    """Whether the device has instructions for products of bfloat16; a GPU that is only planned for counts as one."""
    import torch

    if device_type == "cuda":
        return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))

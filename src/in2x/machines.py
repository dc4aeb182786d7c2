"""What a stage is planned for: this processor, or GPUs of a small table of published figures.

Figures are those of the makers' data sheets, for dense matrices: NVIDIA halves are taken where a sheet gives rates with
sparsity alone. GB is 10^9 bytes; cards hold a few per cent more, which is left to the driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from in2x.artifacts import In2xError
from in2x.model.precision import multiplies_bfloat16
from in2x.problems import nearest


@dataclass(frozen=True)
class Gpu:
    """memory in GB, rates in 10^12 operations a second, bandwidth of the memory in GB a second."""

    name: str
    memory: float
    bfloat16: float
    float32: float
    bandwidth: float


GPUS = {
    "rtx3090": Gpu("NVIDIA GeForce RTX 3090", 24, 71, 35.6, 936),
    "rtx4090": Gpu("NVIDIA GeForce RTX 4090", 24, 165.2, 82.6, 1008),
    "rtx5090": Gpu("NVIDIA GeForce RTX 5090", 32, 209.5, 104.8, 1792),
    "a10": Gpu("NVIDIA A10", 24, 125, 31.2, 600),
    "l4": Gpu("NVIDIA L4", 24, 121, 30.3, 300),
    "l40s": Gpu("NVIDIA L40S", 48, 362, 91.6, 864),
    "a100-40gb": Gpu("NVIDIA A100 SXM 40 GB", 40, 312, 19.5, 1555),
    "a100": Gpu("NVIDIA A100 SXM 80 GB", 80, 312, 19.5, 2039),
    "h100-pcie": Gpu("NVIDIA H100 PCIe", 80, 756, 51, 2000),
    "h100": Gpu("NVIDIA H100 SXM", 80, 989, 67, 3350),
    "h200": Gpu("NVIDIA H200 SXM", 141, 989, 67, 4800),
    "b200": Gpu("NVIDIA B200 SXM", 180, 2250, 75, 8000),
    "mi300x": Gpu("AMD Instinct MI300X", 192, 1307, 163.4, 5300),
}

GPU_UTILISATION = 0.35
"""Share of a GPU's peak that training is assumed to reach. Not measured: no recipe has been run on a GPU."""
GPU_RUNTIME_BYTES = 1.5e9
"""Assumed."""
CPU_UTILISATION = 0.95
"""Of numpy's rate of small matrix products: what stages reach, start-up and measures included. In a run of the tiny
recipe on two cores of an AMD EPYC it was 0.96 in pre-training, 0.97 in SFT, 0.73 in the preference model's stage. It
can be as high because oneDNN, which training uses, multiplies faster there than numpy."""
BFLOAT16_GAIN, BFLOAT16_LOSS = 1.4, 1 / 3
"""Rate of training in bfloat16 against float32 on a processor that multiplies it (whole steps of the tiny base on an
AMD EPYC with AVX512-BF16: 8,900 tokens a second against 6,255), and on one that emulates it (a product of matrices
there without those instructions: 0.37, and without AVX-512: 0.24)."""


@dataclass(frozen=True)
class Machine:
    """flops: of one device a second, by dtype (of a processor: in float32); bandwidth: of its memory, bytes a second,
    where it is a GPU.

    runtime_bytes: what is held beside models and their tensors. On a processor, Python, its libraries and the tables of
    the stage; on a GPU the libraries' context, and what the allocator can't use.
    """

    name: str
    num_devices: int
    flops: Mapping[str, float]
    utilisation: float
    memory_bytes: float
    runtime_bytes: float
    bandwidth: float | None = None

    @property
    def device_type(self) -> str:
        return "cuda" if self.is_gpu else "cpu"

    @property
    def is_gpu(self) -> bool:
        return self.bandwidth is not None

    def rate(self, dtype: str) -> float:
        """Operations a second that training in `dtype` is expected to reach on one device."""
        if self.is_gpu or dtype == "float32":
            return self.utilisation * self.flops[dtype]
        gain = BFLOAT16_GAIN if multiplies_bfloat16(self.device_type) else BFLOAT16_LOSS
        return self.utilisation * self.flops["float32"] * gain


def processor(flops_per_second: float, memory_bytes: float = float("inf")) -> Machine:
    """This machine's processor as one device; the stages say what they hold beside models (in2x.stage_memory)."""
    rates = {"float32": flops_per_second}
    return Machine("this processor", 1, rates, CPU_UTILISATION, memory_bytes, runtime_bytes=0.0)


def gpus(key: str, number: int = 1) -> Machine:
    """`number` GPUs of the table.

    Raises:
        In2xError: the table has none of that name.
    """
    if key not in GPUS:
        close = nearest(key, GPUS)
        hint = f"did you mean {close!r}? " if close else ""
        raise In2xError(f"--gpu: there is no {key!r} in the table; {hint}it has {', '.join(GPUS)}")
    gpu = GPUS[key]
    rates = {"float32": gpu.float32 * 1e12, "bfloat16": gpu.bfloat16 * 1e12}
    return Machine(f"{number} x {gpu.name}", number, rates, GPU_UTILISATION, gpu.memory * 1e9,
                   GPU_RUNTIME_BYTES, gpu.bandwidth * 1e9)  # fmt: skip

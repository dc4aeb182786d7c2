"""What both of TRL's trainers are told in the benchmarks, and which versions they are; imported where TRL is."""

from importlib import metadata

PLAIN = {
    "lr_scheduler_type": "constant",
    "optim": "adamw_torch_fused",
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "seed": 0,
}


def versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("trl", "transformers", "torch")}

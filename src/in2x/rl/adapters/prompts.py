"""The RL prompts as the prompt set of verl and TRL: one parquet file that either reads.

python -m in2x.rl.adapters.prompts runs/tiny/instruct/rl.parquet prompts.parquet --directions en-ja
"""

import argparse
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, write_parquet
from in2x.records import INSTRUCTIONS

DATA_SOURCE = "in2x"
CARRIED = ("id", "source", "reference", "direction", "task")


def prompt_set(instructions: pl.DataFrame) -> pl.DataFrame:
    """Columns of verl's RLHFDataset (data_source, prompt, ability, reward_model, extra_info), and the CARRIED ones.

    `prompt` is a chat of one user turn. TRL hands the carried columns to reward functions; verl hands them extra_info.
    """
    missing = [name for name in INSTRUCTIONS if name not in instructions.columns]
    if missing:
        raise ValueError(f"instructions: expected the columns {INSTRUCTIONS}, these are missing: {missing}")
    turn = pl.struct(role=pl.lit("user"), content="prompt")
    indexed = instructions.with_row_index("index")
    return indexed.select(
        *CARRIED,
        data_source=pl.lit(DATA_SOURCE),
        prompt=pl.concat_list(turn),
        ability="task",
        reward_model=pl.struct(style=pl.lit("rule"), ground_truth="reference"),
        extra_info=pl.struct(pl.col("index").cast(pl.Int64), *CARRIED, instruction="prompt"),
    )


def write_prompts(instructions: Path, out: Path, directions: list[str] | None = None) -> int:
    """Write the prompt set of an rl.parquet; returns the number of prompts."""
    try:
        frame = pl.read_parquet(instructions)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise In2xError(f"{instructions}: no prompts could be read: {error}; run the stage instruct first") from error
    if directions:
        frame = frame.filter(pl.col("direction").is_in(directions))
    if frame.is_empty():
        raise In2xError(f"{instructions}: no prompts in the directions {directions}")
    write_parquet(prompt_set(frame), out)
    return len(frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("instructions", type=Path, help="rl.parquet of the stage instruct")
    parser.add_argument("out", type=Path)
    parser.add_argument("--directions", nargs="+", help="such as en-ja; all by default")
    options = parser.parse_args()
    print(f"{write_prompts(options.instructions, options.out, options.directions):,} prompts in {options.out}")


if __name__ == "__main__":
    main()

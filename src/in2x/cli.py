"""The command line: the only reader of argv. It answers at once: whatever is slow to import waits until it is needed.

    in2x run recipes/tiny.toml --until sft --sft.lr=1e-4

An option with a dot in its name, and --seed, --threads, --name, --folder, override the recipe.
Exit codes: 0 done, 1 a stage refused, 2 the recipe or the command is wrong, 130 interrupted (run again to continue).
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from in2x import artifacts, cli_evaluation, distributed, stages
from in2x.artifacts import In2xError, Interrupted
from in2x.stages import STAGES

OVERRIDE = re.compile(r"--(?:(?:seed|threads|name|folder)|[A-Za-z_][\w-]*(?:\.[\w-]+)+)(?:=|$)")
EPILOG = "Any setting of the recipe can be overridden: --rl.lr=1e-5, --pretrain.phases.0.tokens=100_000, --seed=3."

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, epilog=EPILOG,
    help="Turn an English-strong language model into a translator that writes natural Japanese.",
)  # fmt: skip
RecipeFile = Annotated[Path, typer.Argument(help="A recipe: a TOML file.", show_default=False)]
StageName = Literal[tuple(STAGES)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors that the user can mend are a message, not a traceback. Returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    words, overrides = split_overrides(words) if reads_recipe(words) else (words, [])
    try:
        app(args=words, prog_name="in2x", obj=overrides)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except In2xError as error:
        where = f"process {distributed.rank()}: " if distributed.rank() else ""
        print(f"{where}{error}", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else {"RecipeError": 2}.get(type(error).__name__, 1)
    except Exception as error:
        reason = artifacts.storage_problem(error)
        if reason is None:
            raise
        file = getattr(error, "filename", None)
        print(f"{file or 'writing a file'}: {reason}. What was complete is kept: mend this and run the same command "
              "again to continue", file=sys.stderr)  # fmt: skip
        return 1
    finally:
        distributed.leave()
    return 0


def reads_recipe(arguments: Sequence[str]) -> bool:
    """Whether the command is one of those that read a recipe, so that its settings can be overridden."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    return command in ("run", "check", "ablate", "redteam", *STAGES)


def split_overrides(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Part the overrides, `--rl.lr=1` or `--rl.lr 1`, from what else is in the command line."""
    words, overrides = [], []
    while arguments:
        word, *arguments = arguments
        if not OVERRIDE.match(word):
            words.append(word)
        elif "=" in word or not arguments:
            overrides.append(word)
        else:
            value, *arguments = arguments
            overrides.append(f"{word}={value}")
    return words, overrides


@app.command(epilog=EPILOG)
def run(
    context: typer.Context,
    recipe: RecipeFile,
    from_stage: Annotated[
        StageName | None, typer.Option("--from", help="Clear this stage and those after it, and run them again.")
    ] = None,
    until: Annotated[StageName | None, typer.Option("--until", help="Stop after this stage.")] = None,
) -> None:
    """Run a recipe: all stages that have changed, or have not been completed."""
    loaded = _load(recipe, context.obj)
    names = list(loaded.stages)
    for name in (until, from_stage):
        if name and name not in names:
            raise typer.BadParameter(f"{name} is not among the stages to run: {', '.join(names)}")
        if name == until and until:
            names = names[: names.index(until) + 1]
    with _at_work(loaded, from_stage):
        if from_stage:
            distributed.on_main(lambda: stages.clear(loaded, names[names.index(from_stage) :]))
        for name in names:
            _run_stage(loaded, name)


def _stage_command(name: str):
    def command(context: typer.Context, recipe: RecipeFile) -> None:
        loaded = _load(recipe, context.obj)
        if name not in loaded.stages:
            raise typer.BadParameter(f"{recipe} has no stage {name}, only {', '.join(loaded.stages)}")
        with _at_work(loaded):
            _run_stage(loaded, name)

    return command


for _name in STAGES:
    if _name != "report":
        app.command(_name, help=f"Run the stage {_name} alone.", epilog=EPILOG)(_stage_command(_name))


@app.command(epilog=EPILOG)
def report(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE|STORE", help="A recipe, or a segment store.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Store: folder to write; left out, beside it.")] = None,
    level: cli_evaluation.Level = "segment",
    baseline: cli_evaluation.Baseline = None,
    metrics: cli_evaluation.Metrics = None,
    roles: cli_evaluation.Roles = None,
    sides: Annotated[
        list[str] | None, typer.Option("--side", help="Store: one of the two systems shown against each other.")
    ] = None,
    japanese: Annotated[Path | None, typer.Option(help="Store: result of `in2x japanese --out`, to show too.")] = None,
    challenge: Annotated[
        list[str] | None, typer.Option(help="Store: SYSTEM=FILE, result of `in2x challenge --out`; repeatable.")
    ] = None,
) -> None:
    """Run the stage report of a recipe; or write the report on the systems of a segment store."""
    if source.suffix == ".toml":
        _stage_command("report")(context, source)
    else:
        cli_evaluation.report_store(
            source, out, level, baseline, metrics or [], roles or [], sides or [], japanese, challenge or []
        )


@app.command(epilog=EPILOG)
def check(
    context: typer.Context,
    recipe: RecipeFile,
    gpu: Annotated[
        str | None, typer.Option(help="Plan for this GPU (h100, a100, rtx4090, ...); left out, for this processor.")
    ] = None,
    num_gpus: Annotated[int, typer.Option("--num-gpus", min=1, help="How many GPUs there are.")] = 1,
) -> None:
    """Check a recipe, and show what it will do and what that will take; refuse it where it can't fit the GPUs."""
    from in2x.checks import warnings
    from in2x.describe import describe
    from in2x.machines import gpus

    if num_gpus > 1 and gpu is None:
        raise typer.BadParameter("--num-gpus goes with --gpu, which says what kind they are")
    loaded = _load(recipe, context.obj)
    for line in describe(loaded, gpus(gpu, num_gpus) if gpu else None):
        print(line)
    for line in warnings(loaded):
        print(f"note: {line}")


@app.command(epilog=EPILOG)
def ablate(
    context: typer.Context,
    recipe: RecipeFile,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm beside the full one; may be given again.")
    ] = None,
    num_seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds for each arm.")] = 3,
) -> None:
    """Measure what each ingredient of RL is worth: a grid of runs from the recipe's SFT model, compared."""
    from in2x.ablation.command import ablate as run_ablation

    loaded = _load(recipe, context.obj)
    with _at_work(loaded):
        print(run_ablation(loaded, arms or [], num_seeds))


@app.command(epilog=EPILOG)
def redteam(
    context: typer.Context,
    recipe: RecipeFile,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="Take this run's folder as it is; else the recipe's own.")
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write every cell, with intervals, to a file.")
    ] = None,
    num: Annotated[int, typer.Option("--num", min=2, help="Pairs for each attack.")] = 300,
    group_size: Annotated[int | None, typer.Option(min=2, help="Left out, the recipe's.")] = None,
    honest: Annotated[
        list[str] | None, typer.Option(help="Attacked: reference, human or policy translations; repeatable; else all.")
    ] = None,
    fail_above: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 1 where an attack beats the sum more often, as 0.02.")
    ] = None,
) -> None:
    """Attack the reward of a run: how often it prefers an attack to the honest translation."""
    from in2x.rewards.redteam_command import redteam_cli

    loaded = _load(recipe, context.obj)
    redteam_cli(loaded, run_folder, json_out, num, group_size, honest, fail_above)


@app.command()
def export(
    model_folder: Annotated[Path, typer.Argument(help="The model of a stage.", show_default=False)],
    dest: Annotated[Path, typer.Argument(help="Folder to write.", show_default=False)],
    dtype: Annotated[Literal["float32", "float16", "bfloat16"], typer.Option(help="Type of the weights.")] = "float16",
) -> None:
    """Copy a model to a folder that transformers and vLLM load, with what is known of its origin."""
    if not (model_folder / "config.json").exists():
        raise In2xError(f"{model_folder}: no model is there; a stage's model is in <run>/<stage>/model")
    if dest.exists() and not (dest / "config.json").exists() and any(dest.iterdir()):
        raise In2xError(f"{dest}: holds other files than a model; give another folder")
    from in2x.model import provenance

    stages.silence_transformers()
    provenance.export(model_folder, dest, dtype)
    print(f"{dest}: {sum(file.stat().st_size for file in dest.iterdir()) / 1e6:,.1f} MB")


@app.command()
def rollouts(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)],
    step: Annotated[int | None, typer.Option(min=1, help="An optimizer step of RL; left out, the last.")] = None,
    num_prompts: Annotated[int, typer.Option("--prompts", min=1, help="How many groups to show.")] = 4,
) -> None:
    """Show what RL sampled at a step: prompts, groups, rewards with their components, advantages."""
    from in2x.rl.rollout_log import print_rollouts, read_rollouts
    from in2x.training.metrics import console

    print_rollouts(read_rollouts(run_folder, step), num_prompts, console)


app.command()(cli_evaluation.rank)
app.command("import")(cli_evaluation.import_)
app.command()(cli_evaluation.score)
app.command()(cli_evaluation.compare)
app.command()(cli_evaluation.agree)
app.command()(cli_evaluation.japanese)
app.command()(cli_evaluation.judge)
app.command()(cli_evaluation.challenge)
app.add_typer(cli_evaluation.campaign, name="campaign")


def _load(path: Path, overrides: list[str]):
    from in2x.recipe import load

    return load(path, overrides)


@contextmanager
def _at_work(recipe, from_stage: str | None = None) -> Iterator[None]:
    """Keep the run's folder to this process, and note there what the recipe came to; Ctrl-C is no traceback."""
    again = f"run it again, without --from {from_stage}, to continue" if from_stage else "run it again to continue"
    with artifacts.claim(recipe.folder) if distributed.is_main() else nullcontext():
        artifacts.write_json(recipe.folder / "recipe.resolved.json", recipe.model_dump(mode="json", exclude_none=True))
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {again}") from None
        except In2xError as error:
            if from_stage and type(error).__name__ == "Interrupted":
                raise Interrupted(f"{error}, but without --from {from_stage}, which starts anew") from None
            raise


def _run_stage(recipe, name: str) -> None:
    from in2x.describe import outcome_line

    outcome = stages.run_stage(recipe, name)
    if not distributed.is_main():
        return
    print(outcome_line(outcome), flush=True)
    page = recipe.folder / name / "report.html"
    if page.exists():
        copy = recipe.folder / page.name
        artifacts.link_or_copy(page, copy)
        print(copy, flush=True)

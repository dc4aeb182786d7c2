"""The pipeline: a literal table of stages, and how one is run: skipped when unchanged, continued when interrupted.

A stage is a module with `run(section, folder, inputs) -> dict | None`: `inputs` are the folders of the stages that
it reads, and what it returns are its results, for the manifest. Modules are imported when they are run.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from in2x import artifacts, distributed
from in2x.artifacts import In2xError

if TYPE_CHECKING:
    from in2x.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """It reads the folders of `inputs`, which a recipe must have, and of those `optional` ones that the recipe has.

    They must be complete, unless it reads them as they are. Started by torchrun, a `parallel` stage runs in every
    process, any other in the main one while the rest wait.
    """

    module: str
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    reads_unfinished: bool = False
    parallel: bool = False

    def reads(self, recipe: Recipe) -> tuple[str, ...]:
        return (*self.inputs, *(name for name in self.optional if getattr(recipe, name) is not None))


STAGES = {
    "corpus": Stage("in2x.corpus.build"),
    "pretrain": Stage("in2x.training.pretrain", ("corpus",), parallel=True),
    "instruct": Stage("in2x.instruct.build", ("corpus", "pretrain")),
    "sft": Stage("in2x.training.sft", ("corpus", "pretrain", "instruct"), parallel=True),
    "reward": Stage("in2x.training.preference", ("corpus", "instruct", "sft"), parallel=True),
    "rl": Stage("in2x.rl.train", ("corpus", "instruct", "sft", "reward"), parallel=True),
    "merge": Stage("in2x.model.merge", ("corpus", "instruct", "sft", "rl"), parallel=True),
    "translate": Stage("in2x.decoding.translate", ("corpus", "pretrain"), ("sft", "rl", "merge"), parallel=True),
    "evaluate": Stage("in2x.evaluation.evaluate", ("corpus", "pretrain", "translate")),
    "report": Stage("in2x.report.build", optional=(
        "corpus", "pretrain", "instruct", "sft", "reward", "rl", "merge", "translate", "evaluate",
    ), reads_unfinished=True),
}  # fmt: skip

NO_EFFECT = ("checkpoint_seconds", "keep_last", "peak_tflops", "trackers", "trackers_online")
"""Settings that leave the result as it is: changing them makes no folder stale."""


@dataclass(frozen=True)
class Outcome:
    """What became of a stage. `seconds` is the time of all attempts; of an earlier run, where it was skipped."""

    name: str
    skipped: bool
    seconds: float
    results: Mapping = field(default_factory=dict)


def run_stage(recipe: Recipe, name: str) -> Outcome:
    """Run a stage of the recipe, unless its folder is complete and nothing that it depends on has changed.

    Raises:
        In2xError: an input has not been completed under this recipe, or the stage itself refuses.
    """
    prints = fingerprints(recipe)
    return run_in(recipe.folder / name, recipe, name, inputs_of(recipe, name, prints), prints)


def inputs_of(recipe: Recipe, name: str, prints: Mapping[str, str]) -> dict[str, Path]:
    """The folders that a stage reads; refuses those that are not complete under this recipe."""
    stage = STAGES[name]
    inputs = {need: recipe.folder / need for need in stage.reads(recipe)}
    for need, where in inputs.items():
        if not stage.reads_unfinished and not artifacts.is_complete(where, prints[need]):
            raise In2xError(f"{name} needs {need}, and {where} {_state(where, prints[need])}; run that stage first, "
                            "or the whole recipe with `in2x run`")  # fmt: skip
    return inputs


def run_in(folder: Path, recipe: Recipe, name: str, inputs: Mapping[str, Path], prints: Mapping[str, str]) -> Outcome:
    """Run a stage of the recipe in `folder`, unless what is there is complete and has the stage's fingerprint."""
    if found := distributed.on_main(lambda: _complete(folder, prints[name])):
        return Outcome(name, True, found["seconds"], found["results"])
    stage, section = STAGES[name], getattr(recipe, name)
    module = importlib.import_module(stage.module)
    _use_threads(recipe.threads)
    silence_transformers()
    input_prints = _input_prints(recipe, name, prints)
    prepare = functools.partial(
        artifacts.open_stage, folder, name, prints[name], section.model_dump(mode="json"), input_prints
    )
    distributed.on_main(prepare)
    if stage.parallel:
        _at_work(module, section, folder, inputs)
    else:
        distributed.on_main(lambda: _at_work(module, section, folder, inputs))
    found = distributed.on_main(lambda: artifacts.manifest(folder))
    return Outcome(name, False, found["seconds"], found["results"])


def _complete(folder: Path, print_: str) -> dict | None:
    """The manifest of what is complete and has this fingerprint."""
    return artifacts.manifest(folder) if artifacts.is_complete(folder, print_) else None


def _at_work(module, section, folder: Path, inputs: Mapping[str, Path]) -> None:
    with artifacts.timed(folder):
        try:
            results = module.run(section, folder, inputs) or {}
        except Exception as error:
            damaged = artifacts.damaged_table(error, [folder, *inputs.values()])
            if damaged is None:
                raise
            stage = damaged.parent.name
            raise In2xError(
                f"{damaged}: cut short or damaged ({error}); make it again: in2x run RECIPE --from={stage}"
            ) from error
    artifacts.update_manifest(folder, status="complete", results=results)


def _state(folder: Path, print_: str) -> str:
    found = artifacts.manifest(folder)
    if not found:
        return "has not been run"
    if found["fingerprint"] != print_:
        return "was run under other settings"
    return "was interrupted"


def clear(recipe: Recipe, names: Iterable[str]) -> None:
    """Remove the folders of these stages, so that they are run again."""
    for name in names:
        artifacts.clear(recipe.folder / name)


# --- fingerprints ---------------------------------------------------------------------------------------------


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """The fingerprint that each stage of the recipe has when it is complete, by name."""
    prints: dict[str, str] = {}
    for name in recipe.stages:
        section = getattr(recipe, name)
        settings = {key: value for key, value in section.model_dump(mode="json").items() if key not in NO_EFFECT}
        if name == "rl":
            settings["alarms"] = section.alarms.that_stop()
        inputs, files = _input_prints(recipe, name, prints), _file_hashes(name, section)
        prints[name] = artifacts.fingerprint(name, settings, inputs, files)
    return prints


def _input_prints(recipe: Recipe, name: str, prints: Mapping[str, str]) -> dict[str, str]:
    """What the inputs are when they are complete; for a stage that reads them as they are, what they are now."""
    stage = STAGES[name]
    as_they_are = stage.reads_unfinished
    return {need: _as_it_is(recipe.folder / need) if as_they_are else prints[need] for need in stage.reads(recipe)}


def _as_it_is(folder: Path) -> str:
    file = folder / "manifest.json"
    return artifacts.hash_path(file) if file.exists() else "not run"


def _file_hashes(name: str, section) -> dict[str, str]:
    """Hashes of the files and folders outside the run that a section names."""
    paths: list = []
    if name == "corpus":
        for source in section.sources:
            paths += source.path if isinstance(source.path, tuple) else [source.path]
    elif name == "pretrain":
        paths += [section.base, section.lexicon]
    elif name == "instruct":
        paths += [extra.path for extra in section.extra]
    elif name == "reward":
        paths += [*section.preference_files, section.sampling_model, section.continue_from]
    elif name == "rl":
        paths.append(section.reward_embedding_model)
    return {str(path): _hash(Path(path)) for path in paths if path is not None and Path(path).exists()}


def _hash(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return _hash_once(path, tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@functools.lru_cache
def _hash_once(path: Path, seen_as: tuple) -> str:
    """Large files are read once in a process, unless their size or time changes."""
    return artifacts.hash_path(path)


# --- libraries ------------------------------------------------------------------------------------------------


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def silence_transformers() -> None:
    """No bars for writing a few megabytes, and no advice on settings that this program has chosen."""
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()

"""A recipe: one TOML file that describes a whole run. Loading it finds everything that is wrong with it, at once.

    name     default: the name of the file
    seed     default of every section's seed
    threads  of torch; left out: as many as torch takes
    folder   of the run, default runs/<name>
    [corpus] [pretrain] ... [report]: a table for each stage, in the words of in2x.sections

A stage without a table is not part of the recipe; an empty table is a stage with its defaults. Paths are relative to
the current directory. `pretrain.base` is a folder, or else the id of a model on the Hugging Face hub ("org/name").
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from in2x import checks
from in2x.artifacts import In2xError
from in2x.overrides import Override, apply, parse
from in2x.problems import Problem, dotted, nearest, problems_of
from in2x.sections import (
    CorpusSection,
    Count,
    EvaluateSection,
    InstructSection,
    MergeSection,
    PretrainSection,
    ReportSection,
    RewardSection,
    RlSection,
    Section,
    SftSection,
    TranslateSection,
)
from in2x.stages import STAGES


class RecipeError(In2xError):
    """A recipe that can't be run; the message lists every problem, a line each."""


class Recipe(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = 0
    threads: Count | None = None
    folder: Path
    corpus: CorpusSection | None = None
    pretrain: PretrainSection | None = None
    instruct: InstructSection | None = None
    sft: SftSection | None = None
    reward: RewardSection | None = None
    rl: RlSection | None = None
    merge: MergeSection | None = None
    translate: TranslateSection | None = None
    evaluate: EvaluateSection | None = None
    report: ReportSection | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that the recipe has, in the order in which they run."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)


def load(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and check a recipe.

    Raises:
        RecipeError: listing everything that is wrong with it.
    """
    path = Path(path)
    data = _read(path)
    given = [parse(text) for text in overrides]
    problems = apply(data, given)
    data = _with_defaults(data, path.stem)
    recipe, invalid = _validate(data)
    problems += invalid + checks.missing_inputs([name for name in STAGES if name in data])
    problems += checks.problems(recipe)
    if problems:
        raise RecipeError("\n".join(_line(problem, path, given) for problem in problems))
    return recipe


def _read(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = [file.name for file in path.parent.glob("*.toml")]
        close = nearest(path.name, names) or nearest(f"{path.name}.toml", names)
        hint = f"; did you mean {path.parent / close}?" if close else ""
        raise RecipeError(f"{path}: there is no such recipe{hint}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path}: can't be read: {error.strerror}") from None


def _with_defaults(data: dict, stem: str) -> dict:
    data = {"name": stem} | data
    data = {"folder": f"runs/{data['name']}"} | data
    seed = {"seed": data["seed"]} if isinstance(data.get("seed"), int) else {}
    return {key: seed | value if key in STAGES and isinstance(value, dict) else value for key, value in data.items()}


def _validate(data: dict) -> tuple[Recipe, list[Problem]]:
    """The recipe, without the parts that are invalid, and what is wrong with those."""
    try:
        return Recipe.model_validate(data), []
    except ValidationError as error:
        problems = problems_of(error, Recipe, data)
    invalid = {problem.place[0] for problem in problems}
    valid = {key: value for key, value in data.items() if key not in invalid}
    return Recipe.model_validate({"name": "invalid", "folder": "runs/invalid"} | valid), problems


def _line(problem: Problem, path: Path, given: list[Override]) -> str:
    """`place: message`, where the place is the override that set the value, or else the recipe and the key."""
    place = problem.place
    setting = [override for override in given if place[: len(override.place)] == override.place]
    below = [override for override in given if override.place[: len(place)] == place]
    if setting:
        return f"{setting[-1].text}: {problem.message}"
    suffix = f" (with {' '.join(override.text for override in below)})" if below else ""
    return f"{path}: {dotted(place)}: {problem.message}{suffix}" if place else f"{path}: {problem.message}{suffix}"

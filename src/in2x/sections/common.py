"""What the sections of a recipe have in common."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Schedule = Literal["constant", "linear", "cosine", "wsd"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageSection(Section):
    seed: int = 0
    """Every random choice of the stage derives from it; a recipe's top-level `seed` is the default."""

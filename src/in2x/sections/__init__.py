"""The sections of a recipe: what every stage can be told, its default and its unit. Unknown keys are refused.

Only types and defaults live here, so that a recipe is validated in a fraction of a second, before torch is
imported. Functions receive their own section, never the whole recipe.
"""

from in2x.sections.common import Count, Section, StageSection
from in2x.sections.corpus import CorpusSection, Source
from in2x.sections.finish import EvaluateSection, MergeSection, ReportSection, TranslateSection
from in2x.sections.instruct import DIFFICULTIES, InstructSection
from in2x.sections.pretrain import Architecture, Phase, PretrainSection, Selection
from in2x.sections.reward import RewardSection
from in2x.sections.rl import RlSection
from in2x.sections.sft import SftSection
from in2x.sections.training import Optimizer, Training

__all__ = [
    "DIFFICULTIES",
    "Architecture",
    "CorpusSection",
    "Count",
    "EvaluateSection",
    "InstructSection",
    "MergeSection",
    "Optimizer",
    "Phase",
    "PretrainSection",
    "ReportSection",
    "RewardSection",
    "RlSection",
    "Section",
    "Selection",
    "SftSection",
    "Source",
    "StageSection",
    "Training",
    "TranslateSection",
]

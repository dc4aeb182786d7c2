"""Names as a component: the share of the source's names, among those that the reference keeps, that a text keeps.

The comparison, by spelling and by sound, is that of in2x.evaluation.name_fidelity, with what it can't see.
"""

from __future__ import annotations

from in2x.evaluation.name_fidelity import name_fidelity
from in2x.rewards.groups import Group


def demanded(group: Group) -> bool:
    """Whether the reference keeps a name of the source: elsewhere nothing is measured."""
    return bool(group.reference) and bool(group.source_language) and _fidelity(group, group.reference) is not None


def name_score(group: Group, text: str) -> float:
    """0..1, at a prompt where names are `demanded`."""
    return _fidelity(group, text)


def _fidelity(group: Group, text: str) -> float | None:
    return name_fidelity(group.source, text, [group.reference], group.source_language, group.target_language)

"""Each arm changes what it says, and nothing else; the settings are ones that the objective reads."""

import pytest

from in2x.ablation.arms import ARMS, FULL, chosen, section_of
from in2x.artifacts import In2xError
from in2x.rl.train import loss_settings
from in2x.sections import RlSection

SECTION = RlSection(seed=7, reward_weights={"adequacy": 1.0, "length": 0.1})
CHANGED = {
    "full": {}, "no-dual-clip": {"dual_clip": "none"}, "two-sided": {"clip": "two-sided", "clip_low": 0.2},
    "no-length-penalty": {"reward_weights": {"adequacy": 1.0}}, "no-entropy": {"entropy_coefficient": 0.0},
    "constant-temperature": {"end_temperature": 1.0}, "token": {"importance_level": "token"},
    "sequence": {"importance_level": "sequence"}, "length-fair": {"clip": "length-fair"}, "grpo": {"algorithm": "grpo"},
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARMS))
def test_an_arm_changes_only_what_it_says(name):
    changed = section_of(name, SECTION, seed=9)
    before, after = SECTION.model_dump(), changed.model_dump()
    differing = {key: after[key] for key in after if after[key] != before[key]}
    assert differing == CHANGED[name] | {"seed": 9, "keep_checkpoints": 1}
    loss_settings(changed)


def test_an_arm_that_changes_nothing_is_refused():
    plain = SECTION.model_copy(update={"end_temperature": SECTION.start_temperature})
    with pytest.raises(In2xError, match="constant-temperature.*changes nothing"):
        section_of("constant-temperature", plain, seed=1)
    with pytest.raises(In2xError, match="no-entropy"):
        section_of("no-entropy", SECTION.model_copy(update={"entropy_coefficient": 0.0}), seed=1)


def test_the_full_arm_is_always_among_the_chosen():
    assert chosen([]) == list(ARMS)
    assert chosen(["token"]) == [FULL, "token"]
    with pytest.raises(In2xError, match="did you mean 'token'"):
        chosen(["tokens"])

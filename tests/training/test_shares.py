import pytest

from in2x.artifacts import In2xError
from in2x.training.shares import shares, with_hub


def test_weights_are_shares_where_nothing_else_is_said():
    assert shares({"en": 3, "ja": 1}, {}, 100) == {"en": 0.75, "ja": 0.25}


def test_temperature_flattens_sizes():
    sizes = {"en": 900, "ja": 100}
    assert shares({"en": 1, "ja": 1}, sizes, 1, temperature=1) == pytest.approx({"en": 0.9, "ja": 0.1})
    assert shares({"en": 1, "ja": 1}, sizes, 1, temperature=2) == pytest.approx({"en": 0.75, "ja": 0.25})  # 30 : 10
    assert shares({"en": 1, "ja": 3}, sizes, 1, temperature=2) == pytest.approx({"en": 0.5, "ja": 0.5})


def test_replay_is_the_share_of_the_hub_language_alone():
    weights = {"en:a": 1, "en:b": 3, "ja": 2, "pairs": 2}
    found = shares(weights, {}, 1, replay=0.2, hub="en")
    assert found == pytest.approx({"en:a": 0.05, "en:b": 0.15, "ja": 0.4, "pairs": 0.4})
    assert with_hub({"ja": 3, "pairs": 1}, 0.1, "en") == {"ja": 3, "pairs": 1, "en": 4}
    assert with_hub({"ja": 3, "en:a": 1}, 0.1, "en") == {"ja": 3, "en:a": 1}
    assert with_hub({"ja": 3}, None, "en") == {"ja": 3}
    added = shares(with_hub({"ja": 3, "pairs": 1}, 0.1, "en"), {}, 1, replay=0.1, hub="en")
    assert added == pytest.approx({"ja": 0.675, "pairs": 0.225, "en": 0.1})
    assert shares({"en": 1}, {}, 1, replay=0.1, hub="en") == {"en": 1}


def test_caps_by_hand():
    # 100 tokens: a wants 50 and has 2 x 10. The 30 over go to b and c as 3 : 2; b may have 40, and would get 48.
    found = shares({"a": 5, "b": 3, "c": 2}, {"a": 10, "b": 20, "c": 100}, 100, max_epochs=2)
    assert found == pytest.approx({"a": 0.2, "b": 0.4, "c": 0.4})
    roomy = shares({"a": 5, "b": 3, "c": 2}, {"a": 100, "b": 100, "c": 100}, 100, max_epochs=1)
    assert roomy == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.2})


@pytest.mark.parametrize("max_epochs", [1.2, 2, 5])
def test_capped_shares_sum_to_one_and_stay_below_their_caps(max_epochs):
    weights, sizes = {"a": 9, "b": 1, "c": 4, "d": 0.1}, {"a": 5, "b": 20, "c": 10, "d": 60}
    found = shares(weights, sizes, 90, max_epochs=max_epochs)
    assert sum(found.values()) == pytest.approx(1)
    assert all(found[name] * 90 <= max_epochs * sizes[name] + 1e-6 for name in found)


def test_streams_that_are_too_small_together_are_refused_before_training():
    with pytest.raises(In2xError, match=r"100 tokens are wanted, and 2 epochs of all streams have 60 .*a 10, b 20"):
        shares({"a": 1, "b": 1}, {"a": 10, "b": 20}, 100, max_epochs=2)

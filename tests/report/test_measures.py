import re

from in2x.report.parts.losses import loss_charts, without_losses
from in2x.report.parts.measures import after_training, forgetting, measures


def plain(html):
    return re.sub(r"<[^>]+>", " ", str(html))


def test_forgetting_is_relative_to_the_base():
    phases = [("one", {"en": 22.0}), ("two", {"en": 19.0}), ("three", {"ja": 1.0})]
    text = plain(forgetting({"en": 20.0}, phases, "en"))
    assert "one 10.0" in text and "two" in text and "5.0" in text and "three" not in text
    assert forgetting({}, phases, "en") is None
    assert forgetting({"en": None}, phases, "en") is None


def test_every_measure_is_shown_beside_the_base():
    found = {
        "by_domain": {"en:a": 12.5}, "quality": {"en": 9.25}, "by_position": {"1-15": 30.0, "16-31": 20.0},
        "few_shot": {"en-ja, 4 examples": 33.33}, "round_trip": {"en-ja-en": 44.44},
        "retrieval": {"en-ja": [0.1, 0.25], "ja-en": [0.2, 0.35], "num_segments": 9},
    }  # fmt: skip
    text = plain(measures([("base", {}), ("one", found), ("two", {"quality": {"en": "broken"}})]))
    for expected in ("en:a", "12.5", "9.25", "33.3", "44.4", "Perplexity by position", "Translations found, ja-en"):
        assert expected in text
    assert "num_segments" not in text and "broken" not in text and "base" not in text
    assert measures([("base", {}), ("one", {})]) is None


def test_a_stage_that_is_measured_once_tells_its_forgetting_too():
    found = {"perplexity": {"en": 25.0}, "round_trip": {"en-ja-en": 44.44}}
    text = plain(after_training(found, {"en": 20.0}))
    assert "Forgetting" in text and "after 25.0" in text and "44.4" in text
    assert "Forgetting" not in plain(after_training(found, {})) and plain(after_training({}, {"en": 20.0})) == ""


def test_losses_are_drawn_by_kind_and_taken_out_of_the_other_values():
    rows = [{"step": n, "loss": 1.0, "loss/en": 2.0, "loss/ja:a": 3.0, "loss/task/x": 1.0, "loss/task/y": 1.5,
             "loss/source/web": 1.0} for n in range(1, 4)]  # fmt: skip
    text = plain(loss_charts(rows))
    assert "Loss by stream" in text and "ja:a" in text and "Loss by task" in text
    assert "Loss by source" not in text  # one alone
    assert without_losses(rows)[0] == {"step": 1, "loss": 1.0}
    assert loss_charts([{"step": 1, "loss": 1.0}]) is None

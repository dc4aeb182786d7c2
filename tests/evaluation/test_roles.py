"""Which metrics were reward or selector in a run."""

from in2x.artifacts import write_json
from in2x.evaluation.roles import rewards_of, run_roles, selectors_of


def make_run(folder, translate, rl):
    write_json(folder / "translate" / "manifest.json", {"section": translate})
    write_json(folder / "rl" / "manifest.json", {"section": rl})
    return folder


def test_a_run_from_before_the_settings_chose_and_rewarded_by_chrf(tmp_path):
    assert selectors_of(tmp_path) == rewards_of(tmp_path) == ("chrF2", "chrF++")


def test_the_utility_selects_and_the_components_reward(tmp_path):
    weights = {"adequacy": 1.0, "bleu": 0.5, "numbers": 0.1, "names": 1.0, "length": 0.1}
    run = make_run(tmp_path, {"utility": "bleu"}, {"reward_weights": weights})
    assert selectors_of(run) == ("BLEU",)
    assert rewards_of(run) == ("chrF2", "chrF++", "BLEU", "number-fidelity", "name-fidelity")
    roles = run_roles(run, [("sft", "greedy"), ("rl", "greedy"), ("merge", "mbr")])
    assert roles["BLEU"] == {"rl/greedy": "reward", "merge/mbr": "selector"}
    assert roles["chrF2"] == {"rl/greedy": "reward", "merge/mbr": "reward"}
    assert set(roles) == {"BLEU", "chrF2", "chrF++", "number-fidelity", "name-fidelity"}


def test_a_plugin_selects_under_the_name_of_its_scores_and_coarse_to_fine_by_chrf_too(tmp_path):
    section = {"utility": "plugin", "plugin": "comet", "plugin_model": "hub/wmt22", "approximation": "coarse-to-fine"}
    assert selectors_of(make_run(tmp_path, section, {})) == ("comet-wmt22", "chrF2", "chrF++")

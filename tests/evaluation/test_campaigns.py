"""Campaigns for Pearmut and what comes back, on a store made by hand."""

import json
from collections import Counter

import polars as pl
import pytest

from in2x.artifacts import In2xError, read_json, write_json
from in2x.evaluation.campaigns import (
    Judgement,
    add_judgements,
    build_campaign,
    export_campaign,
    import_campaign,
    key_file,
    preferences,
    read_judgements,
)
from in2x.evaluation.store import read_store, write_store

SYSTEMS = ("alpha", "beta", "gamma")


@pytest.fixture
def frame():
    """Three systems; documents d1 (two segments), d2 (one), and a segment of no document."""
    segments = [("d1", "s1"), ("d1", "s2"), ("d2", "s3"), (None, "s4")]
    rows = [
        {"pair": "en-ja", "domain": "news", "document": document, "segment": segment, "system": system,
         "source": f"source {segment}", "hypothesis": f"{system} {segment}", "references": []}
        for document, segment in segments for system in SYSTEMS
    ]  # fmt: skip
    schema = {"domain": pl.String, "document": pl.String, "references": pl.List(pl.String)}
    return pl.DataFrame(rows, schema_overrides=schema)


def units(campaign):
    """(annotator, segments, labels) of every unit of the campaign."""
    return [
        (annotator, tuple(item["item_id"].rsplit("#", 1)[0] for item in unit), tuple(unit[0]["tgt"]))
        for annotator, task in enumerate(campaign["data"])
        for unit in task
    ]


def entry(campaign, annotator, unit, score_of, item_i=0):
    """What Pearmut logs when an annotator submits a unit."""
    items = campaign["data"][annotator][unit]
    annotation = [{label: {"score": score_of(label, item)} for label in item["tgt"]} for item in items]
    return {"user_id": f"user-{annotator}", "item_i": item_i, "item": items, "annotation": annotation, "actions": []}


def test_esa_has_every_version_judged_by_as_many_as_asked_and_nobody_sees_a_text_twice(frame):
    campaign, key = build_campaign(frame, "esa", campaign_id="c", num_annotators=7, overlap=2, seed=3)
    found = units(campaign)
    times = Counter((segments, labels) for _, segments, labels in found)
    assert len(times) == 9 and set(times.values()) == {2}
    assert max(Counter((annotator, segments) for annotator, segments, _ in found).values()) == 1
    assert {segments for _, segments, _ in found} == {("s1", "s2"), ("s3",), ("s4",)}
    loads = Counter(annotator for annotator, _, _ in found)
    assert max(loads.values()) - min(loads.values()) <= 1
    assert campaign["info"]["protocol"] == "ESA" and campaign["info"]["assignment"] == "task-based"
    assert sorted(key["systems"].values()) == sorted(SYSTEMS)


def test_a_campaign_is_blind_and_its_texts_belong_to_their_labels(frame):
    campaign, key = build_campaign(frame, "esa", campaign_id="c", num_annotators=3)
    for _, _, labels in units(campaign):
        assert set(labels) <= key["systems"].keys()
    for task in campaign["data"]:
        for item in (item for unit in task for item in unit):
            ((label, text),) = item["tgt"].items()
            segment = item["item_id"].split("#")[0]
            assert text == f"{key['systems'][label]} {segment}" and item["src"] == f"source {segment}"
    assert not any(system in json.dumps(campaign["info"]) for system in SYSTEMS)


def test_ab_sets_every_system_against_the_baseline(frame):
    campaign, key = build_campaign(frame, "ab", campaign_id="c", num_annotators=2, overlap=2, baseline="beta")
    pairs = Counter((segments, frozenset(key["systems"][label] for label in labels))
                    for _, segments, labels in units(campaign))  # fmt: skip
    assert set(pairs.values()) == {2} and len(pairs) == 6
    assert {pair for _, pair in pairs} == {frozenset(("beta", "alpha")), frozenset(("beta", "gamma"))}


def test_documents_are_sampled_by_seed(frame):
    def drawn(seed):
        campaign, _ = build_campaign(frame, "esa", campaign_id="c", num_annotators=3, num_documents=1, seed=seed)
        return {segments for _, segments, _ in units(campaign)}

    assert all(len(drawn(seed)) == 1 for seed in range(4)) and drawn(1) == drawn(1)
    assert len(set.union(*(drawn(seed) for seed in range(20)))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "mqm", "num_annotators": 3}, "there are esa, ab"),
        ({"protocol": "esa", "num_annotators": 2}, "need 3 annotators"),
        ({"protocol": "esa", "num_annotators": 3, "overlap": 4}, "overlap lies between"),
        ({"protocol": "ab", "num_annotators": 1, "baseline": "delta"}, "needs a baseline"),
    ],
)
def test_campaigns_that_can_not_be_are_refused(frame, options, message):
    with pytest.raises(In2xError, match=message):
        build_campaign(frame, campaign_id="c", **options)


def test_a_store_of_two_pairs_is_refused(frame):
    both = pl.concat([frame, frame.with_columns(pair=pl.lit("en-zh"))])
    with pytest.raises(In2xError, match="one pair of languages"):
        build_campaign(both, "esa", campaign_id="c", num_annotators=3)


def test_judgements_come_back_as_means_over_annotators(frame, tmp_path):
    store, out = tmp_path / "store.parquet", tmp_path / "campaign.json"
    write_store(frame, store)
    told = export_campaign(store, out, "esa", num_annotators=6, overlap=2)
    assert told["annotators"] == 6 and told["units"] == 2 * 3 * 3 and told["items"] == 2 * 3 * 4
    campaign, key = read_json(out), read_json(key_file(out))
    worth = {"alpha": 90, "beta": 60, "gamma": 30}
    log = tmp_path / "annotations.jsonl"
    entries = [
        entry(campaign, annotator, unit, lambda label, item, more=annotator: worth[key["systems"][label]] + more)
        for annotator, task in enumerate(campaign["data"])
        for unit in range(len(task))
    ]
    changed = entry(campaign, 0, 0, lambda label, item: 1.0)  # the first unit is submitted again: the last word counts
    tutorial = {"user_id": "user-0", "item_i": "welcome_0", "item": [{"text": "Ready?"}], "annotation": [None]}
    log.write_text("".join(json.dumps(one) + "\n" for one in [tutorial, *entries, changed]), encoding="utf-8")
    frame_with, _ = import_campaign(store, log, key_file(out), tmp_path / "judged.parquet")
    judges = {(segment, label): [] for _, segments, (label,) in units(campaign) for segment in segments}
    for annotator, segments, (label,) in units(campaign):
        for segment in segments:
            judges[segment, label].append(worth[key["systems"][label]] + annotator)
    first = units(campaign)[0]
    for segment in first[1]:
        judges[segment, first[2][0]][0] = 1.0
    label_of = {system: label for label, system in key["systems"].items()}
    for row in read_store(tmp_path / "judged.parquet").iter_rows(named=True):
        expected = judges[row["segment"], label_of[row["system"]]]
        assert row["score.human-esa"] == pytest.approx(sum(expected) / len(expected))
    assert frame_with["score.human-esa"].null_count() == 0


def test_the_dashboards_json_is_read_too(frame, tmp_path):
    campaign, key = build_campaign(frame, "esa", campaign_id="c", num_annotators=3)
    one = entry(campaign, 1, 0, lambda label, item: 55)
    for name, value in (("list.json", [one]), ("by-campaign.json", {"c": [one]})):
        write_json(tmp_path / name, value)
        assert {judgement.score for judgement in read_judgements(tmp_path / name, key)} == {55.0}


def test_preferences_count_wins_losses_and_ties_of_one_judge_in_one_unit():
    judgements = [
        Judgement("s1", "new", "a", 80), Judgement("s1", "old", "a", 60),
        Judgement("s2", "new", "a", 70), Judgement("s2", "old", "a", 70),
        Judgement("s3", "new", "b", 10), Judgement("s3", "old", "b", 20),
        Judgement("s4", "new", "b", 50), Judgement("s4", "old", "b", 20),
        Judgement("s4", "new", "c", 99),  # nobody set it against the baseline there
    ]  # fmt: skip
    assert preferences(judgements, "old") == {"new": {"wins": 2, "losses": 1, "ties": 1, "p_value": pytest.approx(1.0)}}
    clear = [Judgement(f"s{n}", system, "a", score) for n in range(6) for system, score in (("new", 9), ("old", 1))]
    assert preferences(clear, "old")["new"]["p_value"] == pytest.approx(2 * 0.5**6)


def test_foreign_annotations_are_refused_with_their_place(frame, tmp_path):
    campaign, key = build_campaign(frame, "esa", campaign_id="c", num_annotators=3)
    one = entry(campaign, 0, 0, lambda label, item: 55)
    foreign = json.loads(json.dumps(one).replace('"T', '"X'))
    log = tmp_path / "log.jsonl"
    for text, message in [
        (json.dumps(one) + "\n" + json.dumps(foreign) + "\n", "entry 2: the label 'X"),
        (json.dumps({"user_id": "u", "item": one["item"]}) + "\n", "entry 1 is no annotation"),
        ("{\n", "line 1"),
    ]:
        log.write_text(text, encoding="utf-8")
        with pytest.raises(In2xError, match=message):
            read_judgements(log, key)
    with pytest.raises(In2xError, match="'s9' of system 'alpha' was judged"):
        add_judgements(frame, [Judgement("s9", "alpha", "a", 1.0)], "esa")

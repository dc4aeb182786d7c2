"""Every check finds what is planted and is quiet on clean text: on the texts of these tests, and on real ones."""

import gzip
import json
import random
from pathlib import Path

import pytest

from in2x.evaluation.japanese.checks import CHECKS, Check
from in2x.evaluation.japanese.corruptions import CORRUPTIONS, Planted
from in2x.evaluation.japanese.document import Finding, sentences
from in2x.evaluation.japanese.validation import fired_sentences, is_caught, validate

WMT24 = Path(__file__).parents[3].parent / "shared" / "data" / "wmt" / "wmt24.en-ja.esa.jsonl.gz"
RATES = ("pronouns", "translationese")  # lists of what human text has too, only less: not alarms
MIN_CAUGHT, MAX_FIRED = 0.95, 0.05


@pytest.fixture(scope="session")
def clean(clean_documents, clean_sentences):
    assert len(clean_sentences) >= 40 and len(clean_documents) >= 6
    return [*clean_documents.values(), *clean_sentences]


def test_every_check_has_its_corruption():
    assert set(CORRUPTIONS) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_planted_faults_are_found_and_clean_text_passes(name, clean):
    found = validate(clean, seed=1, plants_per_document=3, checks={name: CHECKS[name]})[name]
    assert found.num_planted >= 3
    assert found.caught_share >= MIN_CAUGHT, found.missed
    assert name in RATES or found.fired_share <= MAX_FIRED


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_fault_changes_the_text_at_its_place_alone(name, clean):
    rng = random.Random(5)
    for segments, sources in clean:
        planted = CORRUPTIONS[name](list(segments), sources, rng)
        if planted is None:
            continue
        changed = [n for n, (old, new) in enumerate(zip(segments, planted.segments, strict=True)) if old != new]
        assert changed == [planted.segment] or name in ("pronoun_chain", "pronoun_overuse")
        assert 0 <= planted.start <= planted.end <= len(planted.segments[planted.segment])


def test_the_same_seed_plants_the_same_faults(clean):
    first, again = (CORRUPTIONS["mojibake"](list(clean[0][0]), None, random.Random(3)) for _ in range(2))
    assert first == again


def test_a_check_that_never_fires_catches_nothing_and_one_that_always_does_is_loud(clean):
    def never(segments, sources=None):
        return []

    def always(segments, sources=None):
        return [Finding("hangul", "major", n, 0, len(text), "") for n, text in enumerate(segments)]

    blind = validate(clean[:3], checks={"hangul": Check(never, "100 sentences", "lower", "")})["hangul"]
    loud = validate(clean[:3], checks={"hangul": Check(always, "100 sentences", "lower", "")})["hangul"]
    assert (blind.caught_share, blind.fired_share) == (0.0, 0.0) and blind.missed
    assert (loud.caught_share, loud.fired_share) == (None, 1.0)  # nowhere is it quiet enough to plant


def test_a_finding_elsewhere_catches_nothing():
    check = CHECKS["hangul"]
    assert is_caught(Planted(["雨사람だ。"], None, 0, 1, 3), check)
    assert not is_caught(Planted(["雨사람だ。"], None, 0, 3, 5), check)
    assert not is_caught(Planted(["雨だ。", "사람だ。"], None, 0, 0, 3), check)


def test_fired_sentences_are_counted_once():
    segments = ["雨だ。風だ。", "雪だ。"]
    findings = [
        Finding("x", "minor", 0, 0, 1, ""),
        Finding("x", "minor", 0, 1, 2, ""),
        Finding("x", "minor", 1, 0, 3, ""),
    ]
    assert fired_sentences(segments, findings) == 2 and len(sentences(segments)) == 3


@pytest.mark.skipif(not WMT24.exists(), reason="WMT24's references are not in ../shared/data")
@pytest.mark.parametrize("name", CHECKS)
def test_real_references(name, references):
    found = validate(references, seed=2, plants_per_document=1, checks={name: CHECKS[name]})[name]
    assert found.caught_share is None or found.caught_share >= MIN_CAUGHT, found.missed
    assert name in RATES or found.fired_share <= MAX_FIRED


@pytest.fixture(scope="session")
def references():
    """60 documents of WMT24's human reference."""
    documents = {}
    with gzip.open(WMT24, "rt", encoding="utf-8") as stream:
        for row in map(json.loads, stream):
            if row["system"] == "refA":
                documents.setdefault(row["doc"], {})[row["id"]] = (row["hyp"], row["src"])
    return [tuple(map(list, zip(*documents[name].values(), strict=True))) for name in sorted(documents)[:60]]

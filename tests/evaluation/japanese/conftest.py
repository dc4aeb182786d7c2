"""Clean Japanese: 6 short documents and 42 sentences with their sources, written for these tests."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clean_documents():
    bundle = json.loads(Path(__file__).with_name("clean.json").read_text(encoding="utf-8"))
    return {name: _split(pairs) for name, pairs in bundle["documents"].items()}


@pytest.fixture(scope="session")
def clean_sentences():
    bundle = json.loads(Path(__file__).with_name("clean.json").read_text(encoding="utf-8"))
    return [_split([pair]) for pair in bundle["sentences"]]


@pytest.fixture
def places():
    """What findings point at: the text of each."""

    def point(findings, segments):
        return [segments[finding.segment][finding.start : finding.end] for finding in findings]

    return point


def _split(pairs):
    return [ja for _, ja in pairs], [en for en, _ in pairs]

"""A challenge set for English to Japanese, written for this project (CC0): idioms, slang, register, literary prose."""

from in2x.evaluation.challenge.prompts import sources
from in2x.evaluation.challenge.score import ChallengeResult, score_challenge, statistics

__all__ = ["ChallengeResult", "score_challenge", "sources", "statistics"]

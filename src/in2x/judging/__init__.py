"""Translations judged by a language model behind an OpenAI-compatible endpoint: ESA-like, rubric, pairwise."""

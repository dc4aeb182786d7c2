"""In2x: turn an English-strong language model into a translator that writes natural Japanese (arXiv 2508.14472)."""

__version__ = "0.1.0"

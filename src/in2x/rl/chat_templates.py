"""A tokenizer's chat template, read without transformers: whether an answer ends, and how long prompts are.

The answer must be closed by eos_token: a model that never sees it after an answer never stops.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

Render = Callable[..., str]


def template_problem(folder: Path) -> str | None:
    """What is wrong with the chat template of a tokenizer's folder; None where nothing is, or it can't be told here."""
    config = _config(folder)
    if config is None:
        return None
    template, end = _template(folder, config), _text(config.get("eos_token"))
    if template is None:
        return f"{folder} has no chat template, and the stages from sft on ask in one: add chat_template.jinja"
    if not end:
        return f"{folder} names no eos_token: without one, no answer ends"
    question = [{"role": "user", "content": "x"}]
    try:
        render = _renderer(template, config)
        whole = render(messages=[*question, {"role": "assistant", "content": "y"}], add_generation_prompt=False)
        opening = render(messages=question, add_generation_prompt=True)
    except Exception:  # a template may ask for what only transformers has; the stages find out
        return None
    if not whole.startswith(opening) or end not in whole[len(opening) :]:
        return (
            f"the chat template of {folder} does not continue the prompt with the answer and then {end!r}, its "
            "eos_token: a model trained on it would never stop; set one of the two so that they agree"
        )
    return None


def prompt_lengths(folder: Path, prompts: Sequence[str]) -> list[int] | None:
    """Tokens of each prompt in the chat template; None where the folder can't tell."""
    from tokenizers import Tokenizer

    config = _config(folder)
    template = _template(folder, config) if config else None
    if template is None or not (folder / "tokenizer.json").exists():
        return None
    try:
        render = _renderer(template, config)
        texts = [render(messages=[{"role": "user", "content": text}], add_generation_prompt=True) for text in prompts]
    except Exception:  # as above
        return None
    encode = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch
    return [len(item.ids) for item in encode(texts, add_special_tokens=False)]


def _config(folder: Path) -> dict | None:
    try:
        found = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _template(folder: Path, config: dict) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several, by name
        found = {item.get("name"): item.get("template") for item in found}.get("default")
    return found if isinstance(found, str) else None


def _renderer(template: str, config: dict) -> Render:
    from functools import partial

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    tokens = {name: _text(value) for name, value in config.items() if name.endswith("_token") and _text(value)}
    return partial(environment.from_string(template).render, **tokens)


def _text(token) -> str:
    return token.get("content", "") if isinstance(token, dict) else token if isinstance(token, str) else ""

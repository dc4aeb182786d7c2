"""From texts to token ids: chat turns for instruction-tuned models, plain lines for base models."""

from collections.abc import Iterable

from in2x.artifacts import In2xError
from in2x.model.tokenizer import END_OF_TEXT


def chat_turns(tokenizer, prompts: Iterable[str], responses: Iterable[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompts and of completions, the completion closed by the end-of-turn token.

    Prompt and completion are tokenised apart, so that the boundary is the one that generation sees.
    Raises In2xError where the chat template does not close the assistant's turn with eos_token: a model trained on it
    would never stop.
    """
    prompt_texts, completion_texts, control = [], [], _control_tokens(tokenizer)
    for prompt, response in zip(prompts, responses, strict=True):
        turn = [{"role": "user", "content": _plain(control, prompt)}]
        opening = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        answer = [{"role": "assistant", "content": _plain(control, response)}]
        whole = tokenizer.apply_chat_template(turn + answer, tokenize=False)
        completion, end, _ = whole[len(opening) :].partition(tokenizer.eos_token)
        if not whole.startswith(opening) or not end:
            raise In2xError(
                "the tokenizer's chat template does not continue the prompt with the answer and then "
                f"{tokenizer.eos_token!r}, its eos_token; set one of the two so that they agree"
            )
        prompt_texts.append(opening)
        completion_texts.append(completion + end)
    return _encode(tokenizer, prompt_texts), _encode(tokenizer, completion_texts)


def chat_prompts(tokenizer, prompts: Iterable[str]) -> list[list[int]]:
    """Token ids of user turns, up to where the model begins to answer."""
    control = _control_tokens(tokenizer)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": _plain(control, prompt)}], tokenize=False, add_generation_prompt=True
        )
        for prompt in prompts
    ]
    return _encode(tokenizer, texts)


def line_prompts(tokenizer, sources: Iterable[str]) -> list[list[int]]:
    """Token ids of prompts for a base model, as its training documents begin: the source on a line of its own."""
    control = _control_tokens(tokenizer)
    return _encode(tokenizer, [_plain(control, source).replace("\n", " ") + "\n" for source in sources])


def chat_stops(tokenizer) -> set[int]:
    return {tokenizer.eos_token_id}


def line_stops(tokenizer) -> set[int]:
    """Tokens that end a line or a document."""
    newlines = {index for piece, index in tokenizer.get_vocab().items() if piece.startswith("Ċ")}
    return newlines | {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END_OF_TEXT)} - {None}


def _control_tokens(tokenizer) -> list[str]:
    return tokenizer.all_special_tokens + list(tokenizer.get_added_vocab())


def _plain(control_tokens: list[str], text: str) -> str:
    """Text from outside must not speak in control tokens."""
    for token in control_tokens:
        text = text.replace(token, " ")
    return text


def _encode(tokenizer, texts: list[str]) -> list[list[int]]:
    return [item.ids for item in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

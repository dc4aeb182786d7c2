"""Conversations of several turns as documents of which the assistant's turns alone are trained.

Each assistant turn is split from what stands before it where generation would begin it, and closed by the tokenizer's
end-of-turn token, which is trained too. The pieces are tokenised apart, so that the borders are those that generation
sees. What the template writes after the end token (a line break) belongs to the next turn's prompt.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from in2x.artifacts import In2xError
from in2x.training.packing import Document

ROLES = ("system", "user", "assistant")
Message = Mapping[str, str]


def conversation_document(tokenizer, id: str, messages: Sequence[Message], group: int = 0) -> Document:
    """The document of one conversation; it ends with the last assistant turn.

    Raises:
        In2xError: as `turns` does.
    """
    pieces = conversation_pieces(tokenizer, id, messages)
    loss_mask = np.repeat([is_trained for _, is_trained in pieces], [len(ids) for ids, _ in pieces])
    return Document(id, np.concatenate([np.array(ids, np.int32) for ids, _ in pieces]), loss_mask, group)


def conversation_pieces(tokenizer, id: str, messages: Sequence[Message]) -> list[tuple[list[int], bool]]:
    """The token ids of every piece of `turns`, each with whether it is trained."""
    encode = tokenizer.backend_tokenizer.encode
    return [(encode(text, add_special_tokens=False).ids, is_trained)
            for text, is_trained in turns(tokenizer, id, messages)]  # fmt: skip


def turns(tokenizer, id: str, messages: Sequence[Message]) -> list[tuple[str, bool]]:
    """The conversation as pieces of text, each with whether it is trained, in order.

    Raises:
        In2xError: naming the conversation: a message of another form, no assistant turn, a template that does not go on
            from the messages before, or that does not close the assistant's turn with eos_token.
    """
    plain = [_checked(tokenizer, id, number, message) for number, message in enumerate(messages)]
    places = [number for number, message in enumerate(plain) if message["role"] == "assistant"]
    if not places:
        raise In2xError(f"{id}: no message has the role 'assistant', so there is nothing to train on")
    pieces: list[tuple[str, bool]] = []
    done = ""
    for place in places:
        opening = _rendered(tokenizer, id, plain[:place], add_generation_prompt=True)
        whole = _rendered(tokenizer, id, plain[: place + 1])
        answer, end, _ = whole[len(opening) :].partition(tokenizer.eos_token)
        if not opening.startswith(done) or not whole.startswith(opening):
            raise In2xError(
                f"{id}: the tokenizer's chat template does not continue message {place} from those before it; "
                "templates that change earlier turns can't be trained on: set tokenizer.chat_template to a plain one"
            )
        if not end:
            raise In2xError(
                f"{id}: the tokenizer's chat template does not close the assistant's turn with "
                f"{tokenizer.eos_token!r}, its eos_token: a model trained on it would never stop; set one of "
                "the two so that they agree"
            )
        pieces += [(opening[len(done) :], False), (answer + end, True)]
        done = opening + answer + end
    return pieces


def _rendered(tokenizer, id: str, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # whatever the template raises, it is this conversation that it does not take
        raise In2xError(f"{id}: the tokenizer's chat template refuses the conversation: {error}") from error


def _checked(tokenizer, id: str, number: int, message: Message) -> dict[str, str]:
    """The message, with control tokens taken out of its text: text from outside must not speak in them."""
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str) or set(message) - {"role", "content"}:
        raise In2xError(
            f"{id}, message {number}: expected role (one of {', '.join(ROLES)}) and content (text), got "
            f"{dict(message)!r}"
        )
    for token in {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}:
        content = content.replace(token, " ")
    return {"role": role, "content": content}

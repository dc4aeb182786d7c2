"""Generation with a cache against the plain forward pass, one prompt at a time."""

import pytest
import torch

from in2x.decoding.generate import generate


def plain_greedy(model, prompt, stop_ids, max_tokens):
    ids = list(prompt)
    for _ in range(max_tokens):
        token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)
        if token in stop_ids:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_greedy_equals_the_forward_pass_without_cache_or_padding(make_model, tokenizer, family):
    model = make_model(seed=3, family=family)
    prompts = [[5, 9, 40], [300, 7], [11, 12, 13, 14, 15, 16], [44]]
    first = [plain_greedy(model, prompt, set(), 12) for prompt in prompts]
    stop = first[0][4]  # a token that some row really reaches, so that rows finish at different times
    expected = [plain_greedy(model, prompt, {stop}, 12) for prompt in prompts]
    found = generate(model, tokenizer, prompts, stop_ids={stop}, max_completion_tokens=12)
    assert [completion.token_ids for (completion,) in found] == expected
    assert [completion.finished for (completion,) in found] == [ids[-1] == stop for ids in expected]
    assert found[0][0].finished


def test_samples_carry_the_log_probabilities_of_the_tempered_distribution(make_model, tokenizer):
    model, temperature = make_model(seed=1), 0.7
    prompts = [[5, 9, 40], [300, 7, 8, 9, 10]]
    found = generate(
        model, tokenizer, prompts, stop_ids={1}, num_samples=3, temperature=temperature, max_completion_tokens=6
    )
    for prompt, group in zip(prompts, found, strict=True):
        assert len(group) == 3
        for completion in group:
            ids = torch.tensor([prompt + completion.token_ids])
            logprobs = torch.log_softmax(model(ids).logits[0].float() / temperature, -1)
            expected = [float(logprobs[len(prompt) - 1 + t, token]) for t, token in enumerate(completion.token_ids)]
            assert completion.sampling_logprobs == pytest.approx(expected, abs=1e-4)


def test_sampling_follows_its_seed_and_its_distribution(make_model, tokenizer):
    model = make_model(seed=2)
    options = {
        "stop_ids": set(),
        "num_samples": 2000,
        "temperature": 1.0,
        "max_completion_tokens": 1,
        "batch_size": 4000,
    }
    first = generate(model, tokenizer, [[4, 5]], seed=1, **options)
    assert first == generate(model, tokenizer, [[4, 5]], seed=1, **options)
    assert first != generate(model, tokenizer, [[4, 5]], seed=2, **options)
    with torch.no_grad():
        probabilities = torch.softmax(model(torch.tensor([[4, 5]])).logits[0, -1].float(), -1)
    likeliest = int(probabilities.argmax())
    share = sum(completion.token_ids == [likeliest] for completion in first[0]) / 2000
    deviation = (float(probabilities[likeliest]) / 2000) ** 0.5
    assert share == pytest.approx(float(probabilities[likeliest]), abs=4 * deviation)


def test_an_unfinished_completion_says_so_and_the_stop_token_is_not_text(make_model, tokenizer):
    model = make_model()
    ((completion,),) = generate(model, tokenizer, [[50, 51]], stop_ids=set(), max_completion_tokens=4)
    assert not completion.finished and len(completion.token_ids) == 4
    stop = completion.token_ids[1]
    ((stopped,),) = generate(model, tokenizer, [[50, 51]], stop_ids={stop}, max_completion_tokens=4)
    kept = stopped.token_ids[: stopped.token_ids.index(stop)]
    assert stopped.finished and stopped.text == tokenizer.decode(kept).strip()


def test_samples_depend_on_seed_and_key_alone_not_on_the_batch(make_model, tokenizer):
    model = make_model(seed=4)
    prompts = [[5, 9, 40], [300, 7], [11, 12, 13, 14]]
    options = {"stop_ids": {1}, "num_samples": 3, "temperature": 1.0, "max_completion_tokens": 5, "seed": 8}
    together = generate(model, tokenizer, prompts, **options)
    apart = [generate(model, tokenizer, [prompts[key]], keys=[key], **options)[0] for key in (2, 0, 1)]
    assert [[c.token_ids for c in group] for group in together] == [
        [c.token_ids for c in apart[place]] for place in (1, 2, 0)
    ]
    assert len({tuple(c.token_ids) for group in together for c in group}) > 3

import itertools
import json

import numpy as np
import pytest

from in2x.artifacts import In2xError
from in2x.training import mixture
from in2x.training.mixture import Mixture
from in2x.training.streams import Stream


def stream(name, number, length):
    return Stream([f"{name}{n}" for n in range(number)], [np.full(length, n + 1, np.int32) for n in range(number)])


def make(num_tokens=480, seed=(1, 2), rows_per_step=2, streams=None, weights=None):
    streams = streams or {"en": stream("en", 40, 6), "ja": stream("ja", 50, 4)}
    return Mixture(streams, weights or {"en": 3.0, "ja": 1.0}, num_tokens, rows_per_step, 12, 0, list(seed))


def drawn(steps):
    return [id for rows in steps for ids in rows.document_ids for id in ids]


def as_lists(steps):
    return [(rows.input_ids.tolist(), rows.document_ids) for rows in steps]


def test_the_same_seed_gives_the_same_steps_and_another_seed_others():
    first = as_lists(itertools.islice(make().steps(), 40))  # two shards of twenty steps
    assert first == as_lists(itertools.islice(make().steps(), 40))
    assert first != as_lists(itertools.islice(make(seed=(1, 3)).steps(), 40))
    assert first[:20] != first[20:]


@pytest.mark.parametrize("skip", [1, 19, 20, 21, 33])
def test_a_resumed_phase_goes_on_with_the_rows_it_would_have_had(skip):
    whole = as_lists(itertools.islice(make().steps(), 60))
    assert as_lists(itertools.islice(make().steps(skip=skip), 60 - skip)) == whole[skip:]


@pytest.mark.parametrize("steps_done", [1, 19, 20, 21, 33, 40, 41])
def test_a_phase_goes_on_from_the_beginning_of_its_shard(steps_done):
    first = make()
    whole = as_lists(itertools.islice(first.steps(), steps_done))
    position = json.loads(json.dumps(first.position))  # as a checkpoint keeps it
    assert position["step"] == (steps_done - 1) // 20 * 20 and position["shard"] == (steps_done - 1) // 20
    second = make()
    rest = as_lists(itertools.islice(second.steps(steps_done, position), 60 - steps_done))
    assert whole + rest == as_lists(itertools.islice(make().steps(), 60))
    assert second.num_documents == {"en": 180, "ja": 90}


def test_what_lies_before_the_shard_is_not_read_again():
    class Watched(list):
        num_read = 0

        def __getitem__(self, row):
            self.num_read += 1
            return super().__getitem__(row)

    first = make()
    list(itertools.islice(first.steps(), 101))  # in the sixth shard: 300 documents of en are behind it
    en = stream("en", 40, 6)
    watched = Watched(en.token_ids)
    second = make(streams={"en": Stream(en.ids, watched), "ja": stream("ja", 50, 4)})
    next(second.steps(101, first.position))
    assert second.num_documents["en"] == 360 and watched.num_read <= 60 + 40  # a shard, and read ahead


def test_rows_are_shuffled_anew_in_every_shard():
    rows = [ids[0][:2] for rows in itertools.islice(make().steps(), 40) for ids in rows.document_ids]
    first, second = rows[:40], rows[40:]
    assert sorted(first) == sorted(second) == ["en"] * 30 + ["ja"] * 10
    assert first != second and first != sorted(first)


def test_streams_of_one_size_are_walked_in_different_orders():
    equal = {name: stream(name, 40, 6) for name in ("en", "ja")}
    ids = drawn(itertools.islice(make(num_tokens=240, streams=equal, weights={"en": 1.0, "ja": 1.0}).steps(), 10))
    halves = [{id[2:] for id in ids if id.startswith(name)} for name in equal]  # twenty documents of forty
    assert [len(half) for half in halves] == [20, 20] and halves[0] != halves[1]


@pytest.mark.parametrize(("name", "number", "num_whole_shards"), [("en", 40, 3), ("ja", 50, 8)])
def test_no_document_is_seen_twice_before_the_others_of_its_stream(monkeypatch, name, number, num_whole_shards):
    monkeypatch.setattr(mixture, "SHARD_TOKENS", 96)  # twelve documents of en and six of ja: eight full rows
    ids = [id for id in drawn(itertools.islice(make().steps(), 100)) if id.startswith(name)]
    per_shard = len(ids) // 25
    assert per_shard == {"en": 12, "ja": 6}[name]
    first_epoch = ids[: num_whole_shards * per_shard]
    assert len(set(first_epoch)) == len(first_epoch)
    counts = np.unique(ids, return_counts=True)[1]
    assert len(counts) == number and counts.max() - counts.min() <= 1


def test_weights_are_shares_of_tokens():
    mixed = make(num_tokens=4800, weights={"en": 6.0, "ja": 2.0})
    next(mixed.steps())
    assert mixed.num_documents == {"en": 600, "ja": 300}  # 3,600 tokens in sixes, 1,200 in fours
    assert mixed.weights == {"en": 0.75, "ja": 0.25}


def test_a_shard_smaller_than_a_step_is_repeated():
    mixed = make(num_tokens=12, rows_per_step=5, streams={"en": stream("en", 4, 6)}, weights={"en": 1.0})
    rows = next(mixed.steps())
    assert len(rows) == 5
    assert len({tuple(ids) for ids in rows.document_ids}) == 1


def capped(numbers, num_tokens, max_epochs, weights=None, rows_per_step=1):
    streams = {name: stream(name, number, 6) for name, number in numbers.items()}
    return Mixture(streams, weights or dict.fromkeys(numbers, 1.0), num_tokens, rows_per_step, 12, 0, [1], max_epochs)


def test_an_exhausted_stream_gives_way_to_the_others():
    mixed = capped({"en": 4, "ja": 100}, 240, 2.0)  # twenty documents of each are wanted, and en has 2 x 4
    ids = drawn(itertools.islice(mixed.steps(), 20))
    assert sorted(ids.count(f"en{n}") for n in range(4)) == [2, 2, 2, 2]
    assert mixed.num_documents == {"en": 8, "ja": 32}
    assert mixed.epochs() == {"en": 2.0, "ja": 0.32}
    assert capped({"en": 4, "ja": 100}, 240, None).most_documents["en"] == float("inf")


def test_a_resumed_phase_with_a_cap_goes_on_with_the_rows_it_would_have_had(monkeypatch):
    monkeypatch.setattr(mixture, "SHARD_TOKENS", 96)
    whole = as_lists(itertools.islice(capped({"en": 4, "ja": 100}, 480, 2.0).steps(), 40))
    assert as_lists(itertools.islice(capped({"en": 4, "ja": 100}, 480, 2.0).steps(skip=13), 27)) == whole[13:]


def test_streams_that_are_all_exhausted_say_so(monkeypatch):
    monkeypatch.setattr(mixture, "SHARD_TOKENS", 24)
    steps = capped({"en": 2, "ja": 3}, 240, 1.0).steps()
    with pytest.raises(In2xError, match="exhausted.*en 2 documents, ja 3 documents.*max_epochs"):
        list(itertools.islice(steps, 20))


def test_documents_of_one_token_are_nothing_to_learn_from():
    streams = {"en": stream("en", 40, 1)}
    with pytest.raises(In2xError, match="en hold no document of two tokens or more"):
        next(Mixture(streams, {"en": 1.0}, 24, 1, 12, 0, [1]).steps())


def test_an_empty_mixture_is_refused():
    with pytest.raises(ValueError, match="without streams"):
        Mixture({}, {}, 24, 1, 12, 0, [1])

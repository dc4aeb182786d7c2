import numpy as np
import pytest

from in2x.training.packing import Document, best_fit, owners, pack

PAD = 99


def document(id, tokens, mask=None, group=0):
    tokens = np.array(tokens, np.int32)
    return Document(id, tokens, np.ones(len(tokens), bool) if mask is None else np.array(mask, bool), group)


def test_tokens_carry_their_documents_group_and_number():
    rows = pack([document("7", range(5), group=2), document("3", range(2), group=1)], 4, PAD)
    assert rows.groups.tolist() == [[2, 2, 2, 2], [1, 1, -1, -1]]  # the fifth token of document 7 would stand alone
    assert owners(rows).tolist() == [[7, 7, 7, 7], [3, 3, -1, -1]]
    assert rows.take(np.array([1])).groups.tolist() == [[1, 1, -1, -1]]


def test_pack_by_hand():
    rows = pack([document("a", [1, 2, 3]), document("b", [4, 5]), document("c", [6, 7, 8, 9])], 6, PAD)
    assert rows.input_ids.tolist() == [[6, 7, 8, 9, 4, 5], [1, 2, 3, PAD, PAD, PAD]]
    assert rows.position_ids.tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 2, 0, 1, 2]]
    assert rows.loss_mask.tolist() == [[False, True, True, True, False, True], [False, True, True, False, False, False]]
    assert rows.document_ids == [["c", "b"], ["a"]]
    assert rows.lengths == [[4, 2], [3]]
    taken = rows.take(np.array([1]))
    assert taken.input_ids.tolist() == [[1, 2, 3, PAD, PAD, PAD]]
    assert (taken.document_ids, taken.lengths, len(taken)) == ([["a"]], [[3]], 1)


def test_only_what_the_mask_of_a_document_marks_is_trained_and_never_its_first_token():
    rows = pack([document("a", [1, 2, 3, 4], [True, False, True, True])], 5, PAD)
    assert rows.loss_mask.tolist() == [[False, False, True, True, False]]


def test_a_longer_document_is_cut_and_what_predicts_nothing_is_left_out():
    rows = pack([document("long", range(1, 10)), document("one", [50]), document("none", [])], 4, PAD)
    assert sorted(map(tuple, rows.input_ids.tolist())) == [(1, 2, 3, 4), (5, 6, 7, 8)]  # 9 would stand alone
    assert rows.loss_mask.sum() == 6
    assert rows.document_ids == [["long"], ["long"]]
    assert len(pack([], 4, PAD)) == 0


def first_fit(lengths, capacity):
    rooms = []
    for length in lengths:
        place = next((i for i, room in enumerate(rooms) if room >= length), None)
        if place is None:
            rooms.append(capacity - length)
        else:
            rooms[place] -= length
    return len(rooms)


@pytest.mark.parametrize("seed", range(5))
def test_best_fit_holds_every_item_once_never_overflows_and_beats_first_fit(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 65, 300).tolist()
    bins = best_fit(lengths, 64)
    assert sorted(item for members in bins for item in members) == list(range(300))
    assert max(sum(lengths[item] for item in members) for members in bins) <= 64
    assert -(-sum(lengths) // 64) <= len(bins) <= first_fit(lengths, 64)


def test_best_fit_by_hand():
    # 5 and 4 open bins with 3 and 4 of 8 left; 3 goes where the least room remains: 5 + 3, then 4 + 3.
    assert best_fit([3, 5, 4, 3], 8) == [[1, 0], [2, 3]]
    assert best_fit([8, 8], 8) == [[0], [1]]
    assert best_fit([7, 1], 8) == [[0, 1]]

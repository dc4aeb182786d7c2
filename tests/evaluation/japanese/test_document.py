import pytest

from in2x.evaluation.japanese.document import bracket_pairs, check_segments, prose, sentences, without_quotes


def cut(*segments):
    return [sentence.text for sentence in sentences(segments)]


def test_sentences_end_at_marks_and_line_ends():
    assert cut("雨だ。風だ！　雪？\nまだ続く", "次") == ["雨だ。", "風だ！", "雪？", "まだ続く", "次"]


def test_marks_in_brackets_end_nothing():
    assert cut("「行くよ。待って。」と叫んだ。次だ。") == ["「行くよ。待って。」と叫んだ。", "次だ。"]
    assert cut("彼（弟。）は来た。次だ。") == ["彼（弟。）は来た。", "次だ。"]


def test_a_mark_in_an_unclosed_bracket_ends_a_sentence():
    assert cut("それは「本だ。次だ。") == ["それは「本だ。", "次だ。"]


def test_speech_that_goes_on_in_the_next_paragraph_is_one_piece():
    assert cut("「昔のことだ。雨だった。") == ["「昔のことだ。雨だった。"]


def test_ascii_marks_count_after_japanese_alone():
    assert cut("雨です.雪です!次") == ["雨です.", "雪です!", "次"]
    assert cut("版は3.5です。Node.jsを使う。") == ["版は3.5です。", "Node.jsを使う。"]
    assert cut("`a。b`と書く。") == ["`a。b`と書く。"]


def test_sentences_point_back_into_their_segment():
    segments = ["  雨だ。 風だ。", "", "\n 雪だ。"]
    found = sentences(segments)
    assert [(s.segment, segments[s.segment][s.start : s.end]) for s in found] == [
        (0, "雨だ。"), (0, "風だ。"), (2, "雪だ。"),
    ]  # fmt: skip


def test_closed_tells_whether_an_end_mark_stands_there():
    assert [s.closed for s in sentences(["雨だ。", "見出し", "楽しい😀", "そうか…", "笑った笑"])] == [
        True,
        False,
        True,
        True,
        True,
    ]


def test_brackets_pair_up_and_the_outermost_are_kept():
    assert bracket_pairs("「a（b）c」d（e）") == ((0, 6), (8, 10))
    assert bracket_pairs("）「a」") == ((1, 3),)


def test_quotations_lose_their_inside():
    assert without_quotes("「行く」と『草枕』（本）") == "「」と『』（本）"


def test_code_and_addresses_are_blanked_in_place():
    text = "`code`と https://example.com/a?b です"
    shown = prose(text)
    assert len(shown) == len(text) and "code" not in shown and "example" not in shown and shown.endswith("です")


@pytest.mark.parametrize(
    ("segments", "sources", "message"),
    [
        ("雨だ。", None, "segments: expected a list of strings, got one string"),
        (["雨だ。", None], None, r"segments\[1\]: expected a string, got NoneType"),
        (["雨だ。"], ["a", "b"], "1 segments but 2 sources"),
        (["雨だ。"], "a", "sources: expected a list"),
    ],
)
def test_what_is_no_document_is_refused(segments, sources, message):
    with pytest.raises(ValueError, match=message):
        check_segments(segments, sources)

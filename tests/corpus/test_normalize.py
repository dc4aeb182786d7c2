import polars as pl
import pytest

from in2x.corpus.normalize import normal_key, normal_key_of, normalize_frame, normalize_text, normalized


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("か\u3099くせい", "がくせい"),  # か + combining voice mark, as macOS file names have it
        ("Cafe\u0301", "Café"),
        ("\ufeff最初の\u200b行", "最初の行"),  # byte-order mark, zero-width space
        ("so\u00adft\x07", "soft"),
        ("a\t b\u00a0\u2003c", "a b c"),
        ("  \u3000東京\u3000です。\u3000\n", "東京\u3000です。"),  # inner ideographic space stays
        ("一行\r\n二行\r三行\u2028四行", "一行\n二行\n三行\n四行"),
        ("段落。  \n\n\n\n　次の段落。", "段落。\n\n次の段落。"),
        ("「え？！」…〜ー・、。", "「え？！」…〜ー・、。"),  # Japanese punctuation is text
        ("ＡＢＣ１２３ｶﾞｷﾞ", "ＡＢＣ１２３ｶﾞｷﾞ"),  # widths stay unless asked for
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),  # one emoji, held by joiners
        ("葛\U000e0100城市", "葛\U000e0100城市"),  # a variation selector picks the glyph of a place name
        ("\u0082\u00b1", "\ufffd\u00b1"),  # Shift-JIS bytes taken for Latin-1 stay visible as damage
        ("", ""),
        ("\u3000 \n", ""),
    ],
)
def test_normalized(text, expected):
    assert normalize_text(text) == expected
    assert normalize_text(expected) == expected


def test_width_folds_only_letters_digits_and_katakana():
    assert normalize_text("ＡＢｚ０９！？（ｶﾞｷﾞﾊﾟｰﾃｨｰ）", fold_width=True) == "ABz09！？（ガギパーティー）"


def test_normalize_frame_leaves_other_columns_and_nulls():
    frame = pl.DataFrame({"id": [" a ", "b"], "source": [" x ", None], "target": ["ハ\u309a", " "]})
    assert normalize_frame(frame).to_dict(as_series=False) == {
        "id": [" a ", "b"],
        "source": ["x", None],
        "target": ["パ", ""],
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don't stop!", "don’t STOP"),
        ("ＡＢＣ、１２３。", "abc 123"),
        ("ﾃｽﾄです。", "テストです"),
        ("そうだね〜。", "そうだね～"),  # wave dash and full-width tilde, the classic pair
        ("Straße", "STRASSE"),
        ("「行く」\u3000と言った。", "行くと言った"),
        ("e\u0301tude", "ÉTUDE"),
    ],
)
def test_same_key(one, other):
    assert normal_key_of(one) == normal_key_of(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C++", "C"),
        ("…", "?!"),
        ("びょういん", "びよういん"),
        ("ハーハ", "ハハ"),
        ("か", "が"),
        ("1 + 1", "11"),
    ],
)
def test_different_key(one, other):
    assert normal_key_of(one) != normal_key_of(other)


@pytest.mark.parametrize("text", ["İstanbul!", "①㍿ﾊﾞ", "ΟΔΟΣ", "?!", "ﬁne – print"])
def test_key_of_a_key_is_the_key(text):
    key = normal_key_of(text)
    assert normal_key_of(key) == key


def test_expressions_keep_null():
    frame = pl.DataFrame({"text": [None, "a"]}, schema={"text": pl.String})
    assert frame.select(normal_key(pl.col("text"))).to_series().to_list() == [None, "a"]
    assert frame.select(normalized(pl.col("text"))).to_series().to_list() == [None, "a"]

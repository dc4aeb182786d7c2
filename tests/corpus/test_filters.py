import polars as pl
import pytest

from in2x.corpus.filters import (
    MOJIBAKE,
    REASONS,
    FilterSettings,
    apply_filters,
    length_ratio,
    reason,
    weighted_length,
)

TEXTS = {"source": pl.String, "target": pl.String}
TRUTH = "これは日本語です。"


def judge(source, target, languages=("en", "ja"), **settings):
    frame = pl.DataFrame({"source": [source], "target": [target]}, schema=TEXTS)
    return frame.select(reason(*languages, FilterSettings(**settings))).item()


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Let's try something.", "何かしてみましょう。", None),
        ("Hi.", "こんにちは。", None),
        ("What?!", "「え？！」", None),
        ("(laughs)", "（笑）", None),
        ("Fifteen times five is 75.", "５の１５倍は７５。", None),
        ("In 1997.", "１９９７年", None),
        ("Tokyo Metropolitan Government", "東京都庁", None),
        ("Call `tf.keras.Model.fit`.", "`tf.keras.Model.fit` を呼ぶ。", None),
        ("See https://example.org for more.", "詳細は https://example.org を参照。", None),
        (" \u3000", TRUTH, "empty_source"),
        (None, TRUTH, "empty_source"),
        ("It works.", None, "empty_target"),
        ("It doesn\ufffdt work.", "動きません。", "mojibake_source"),
        ("It doesnâ€™t work.", "動きません。", "mojibake_source"),
        ("https://example.org/a?b=c", TRUTH, "url_only_source"),
        ("See this.", "www.example.org <http://example.org>", "url_only_target"),
        ("Firefox", " firefox ", "source_equals_target"),
        ("I", "わたしは。", "too_short_source"),
        ("Missing.", "-", "too_short_target"),
        ("+81 (0)3-1234-5678 / #42 $9", "電話番号です。", "symbols_source"),
        ("He counted.", "１２３４５６だ＝＝＝＝＝＝", "symbols_target"),
        ("Thank you very much.", "Thank you so much.", "wrong_script_target"),
        ("日本語です", "これは日本語です", "wrong_script_source"),
        ("Two, three, four.", "2、3、4。", "wrong_script_target"),  # no letter at all is not Japanese
        ("They said it.", "他们说了这句话。", "wrong_script_target"),  # Chinese
        ("Спасибо, друг", "ありがとう、友よ。", "wrong_script_source"),
        ("Yes.", "はい、私は昨日その店で彼女に会って、とても長い間話をしました。", "length_ratio"),
    ],
)
def test_reason(source, target, expected):
    assert judge(source, target) == expected


def test_every_reason_is_named_and_the_first_one_wins():
    assert judge("\ufffd", "https://example.org") == "mojibake_source"
    assert judge("", "") == "empty_source"
    assert len(set(REASONS)) == len(REASONS) == 16


def test_lengths_are_inclusive_bounds_without_white_space():
    assert judge("a b c", TRUTH, min_characters=3) is None
    assert judge("a b", TRUTH, min_characters=3) == "too_short_source"
    assert judge("abc def", TRUTH, max_characters=9) is None
    assert judge("abc def ghij", TRUTH, max_characters=9) == "too_long_source"
    assert judge("abc", "あいうえおか", max_characters=5) == "too_long_target"


def test_weighted_length_counts_only_dense_characters_double():
    frame = pl.DataFrame({"text": ["日本語 API", "word"]})
    assert frame.select(weighted_length(pl.col("text"), "ja-JP")).to_series().to_list() == [9.0, 4.0]
    assert frame.select(weighted_length(pl.col("text"), "en")).to_series().to_list() == [6.0, 4.0]


def test_length_ratio_is_symmetric_and_smoothed():
    frame = pl.DataFrame({"a": ["x" * 30], "b": ["あ" * 5]})
    ratio = length_ratio(pl.col("a"), pl.col("b"), ("en", "ja"), 10.0)
    mirrored = length_ratio(pl.col("b"), pl.col("a"), ("ja", "en"), 10.0)
    assert frame.select(ratio).item() == frame.select(mirrored).item() == 2.0  # (30 + 10) / (5 * 2 + 10)
    assert judge("x" * 30, "あ" * 5, max_length_ratio=2.0) is None
    assert judge("x" * 31, "あ" * 5, max_length_ratio=2.0) == "length_ratio"


def test_japanese_without_kana():
    stations = "山科・大津・京都・大阪・神戸・姫路・岡山・広島・福山・倉敷"
    english = "Yamashina, Otsu, Kyoto, Osaka, Kobe, Himeji"
    assert judge(english, stations) is None
    assert judge(english, stations, kana_required_from=20) == "wrong_script_target"


@pytest.mark.parametrize(
    ("language", "good", "bad"),
    [
        ("zh", "这是一个句子。", "これは文です。"),
        ("ko", "이것은 문장입니다.", "これは文です。"),
        ("de", "Das ist ein Satz.", "Это предложение."),
        ("ru-RU", "Это предложение.", "Das ist ein Satz."),
        ("th", "นี่คือประโยค", "This is a sentence."),
    ],
)
def test_other_scripts(language, good, bad):
    assert judge("This, I think, is a line.", good, ("en", language)) is None
    assert judge("This, I think, is a line.", bad, ("en", language)) == "wrong_script_target"


def test_a_language_without_a_script_row_passes():
    assert judge("This is a sentence.", "ეს არის წინადადება.", ("en", "ka")) is None


@pytest.mark.parametrize("text", ["私は学生です。", "どうもありがとうございました。", "東京へ行きたい"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("utf-8", "latin-1"),
        ("utf-8", "cp932"),
        ("cp932", "latin-1"),
        ("cp932", "utf-8"),
        ("euc_jp", "latin-1"),
    ],
)
def test_mojibake_of_japanese(text, written, read):
    damaged = text.encode(written).decode(read, errors="replace")
    assert pl.Series([damaged]).str.contains(MOJIBAKE).item()


@pytest.mark.parametrize(
    "text",
    [
        "La manhã… « déjà » été…",
        "Ângela não está à venda: “NÃO”",
        "縺れた糸を縺れさせる",
        "繧繝縁の畳と繧繝錦",
        "¡Señor! ¿Qué?",
        "„Ja“, sagte er ‚leise‘",
        "ﾊﾝｶｸ､ｶﾀｶﾅ｡",
        "€20 – ¥300 ± 5 %",
    ],
)
def test_honest_text_is_not_mojibake(text):
    assert not pl.Series([text]).str.contains(MOJIBAKE).item()


def test_apply_filters_splits_without_loss_and_keeps_order_and_columns():
    frame = pl.DataFrame(
        {
            "id": ["1", "2", "3", "4"],
            "source": ["It is fine.", "", "Run.", "Good night."],
            "target": ["大丈夫です。", "空です。", "Run.", "おやすみ。"],
        }
    )
    kept, rejected = apply_filters(frame, "en", "ja")
    assert kept.equals(frame[[0, 3]])
    assert rejected.select("id", "reason").rows() == [("2", "empty_source"), ("3", "source_equals_target")]


def test_apply_filters_on_no_rows():
    frame = pl.DataFrame(schema={"id": pl.String, "source": pl.String, "target": pl.String})
    kept, rejected = apply_filters(frame, "en", "ja")
    assert kept.shape == (0, 3)
    assert rejected.schema["reason"] == pl.String

import polars as pl
import pytest

from in2x.corpus.domains import DOMAINS, conversation_score, domain, register, tag_domains


def domain_of(source, target, languages=("en", "ja")):
    schema = {"source": pl.String, "target": pl.String}
    frame = pl.DataFrame({"source": [source], "target": [target]}, schema=schema)
    return frame.select(domain(*languages)).item()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("What are you doing?", "何してるの？"),
        ("Let's try something.", "何かしてみましょう。"),
        ("I have to go to sleep.", "私は眠らなければなりません。"),
        ("Thanks, that's great!", "ありがとう、すごいね！"),
        ("“You forget that I know nothing about it.”", "「そもそも私は何も事情を知らんのだが。」"),
        ("Please open the window.", "窓を開けてください。"),
    ],
)
def test_conversational(source, target):
    assert domain_of(source, target) == "conversational"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("She was born in 1564 in Izu Province.", "彼女は1564年に伊豆国で誕生した。"),
        ("The moat was later added to Toriya Pond.", "濠は後世に造られたため池とつながっている。"),
        ("Kyoto is one of the oldest cities in Japan.", "京都は日本で最も古い都市の一つである。"),
        ("A monad is a structure known as a triple.", "モナドとはトリプルとも呼ばれる構造である。"),
        ("Time series windowing", "時系列ウィンドウ"),  # short, but a heading
        (None, None),
    ],
)
def test_knowledge(source, target):
    assert domain_of(source, target) == "knowledge"


def test_talk_needs_a_score_above_one():
    frame = pl.DataFrame({"text": ["Seven men", "“Seven men”", "Seven men?"]})
    assert frame.select(conversation_score(pl.col("text"), "en")).to_series().to_list() == [0, 1, 3]
    assert domain_of("“Seven men”", "七") == "knowledge"
    assert domain_of("Seven men?", "七") == "conversational"


def test_a_language_without_cues_still_has_marks_and_numbers():
    frame = pl.DataFrame({"text": ["Wer?", "1999 wurde es auf 12 % erhöht", ""]})
    assert frame.select(conversation_score(pl.col("text"), "de")).to_series().to_list() == [3, -2, 0]


def test_tag_domains_adds_one_column():
    frame = pl.DataFrame({"id": ["a"], "source": ["Who are you?"], "target": ["あなたは誰ですか。"]})
    tagged = tag_domains(frame, "en", "ja")
    assert tagged.columns == ["id", "source", "target", "domain"]
    assert set(tagged["domain"]) <= set(DOMAINS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("彼は学生です。", "polite"),
        ("昨日、東京に行きましたよね？", "polite"),
        ("わかりませんでした", "polite"),
        ("窓を開けてください。", "polite"),
        ("「すぐに始めましょう！」", "polite"),
        ("雨が降るでしょうけど。", "polite"),
        ("ありがとうございます。", "polite"),  # everybody says it: no keigo
        ("値は `x` に一致します。", "polite"),  # not 致します
        ("先生がいらっしゃいました。", "honorific"),
        ("社長はそうおっしゃった。", "honorific"),
        ("明日きっと伺います。", "honorific"),
        ("よろしくお願いいたします。", "honorific"),
        ("部長はもうお帰りになりました。", "honorific"),
        ("教えていただけませんか。", "honorific"),
        ("彼は医者だ。", "plain"),
        ("今日はとても暑いね！", "plain"),
        ("その家は燃えていた。", "plain"),
        ("どこへ行くの？", "plain"),
        ("そんなこと本当か？", "plain"),
        ("これは誤りである（後述）。", "plain"),  # parentheses are set aside
        ("心配するなよ", "plain"),
        ("行きました。でも、もう遅い。", "plain"),  # the last sentence decides
        ("お魚の養殖場になった。", "plain"),  # お ... になる needs a verb between
        ("時系列ウィンドウ", "unknown"),
        ("はい。", "unknown"),
        ("Hello.", "unknown"),
        ("？！", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_register(text, expected):
    frame = pl.DataFrame({"text": [text]}, schema={"text": pl.String})
    assert frame.select(register(pl.col("text"))).item() == expected

"""Fidelity of names: the same sounds in two scripts, what references demand, and wrong names that are caught."""

import gzip
import random
import re
from pathlib import Path

import pytest

from in2x.evaluation.name_fidelity import consonants, name_fidelity, names

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.parametrize(
    "latin, kana, expected",
    [
        ("Kyle", "カイル", "KR"),
        ("Amy", "エイミー", "AM"),
        ("George", "ジョージ", "SS"),
        ("Christopher", "クリストファー", "KRSTH"),
        ("Schmidt", "シュミット", "SMT"),
        ("Wright", "ライト", "RT"),
        ("Fujiwara", "ふじわら", "HSR"),
        ("Virginia", "ヴァージニア", "BSN"),
        ("Lourenço", "ロウレンソ", "RRNS"),
        ("Xavier", "ザビエル", "SB"),
    ],
)
def test_consonants_of_two_scripts(latin, kana, expected):
    assert consonants(latin) == expected
    assert consonants(kana).startswith(expected)  # katakana also writes a final r


def test_names_are_capitalised_words_or_proper_nouns():
    assert names("The Kyle-Barnes of Tokyo, of Tokyo; I am.", "en") == ["The", "Kyle-Barnes", "Tokyo"]
    assert names("カイルは東京のレストランへ行った。", "ja-JP") == ["カイル", "レストラン", "東京"]


def test_share_of_the_names_that_the_reference_keeps():
    source = "Kyle and Nicole met Google's George in China."
    reference = "カイルとニコールは中国でGoogleのジョージに会った。"
    assert name_fidelity(source, reference, [reference], "en", "ja") == 1.0
    assert name_fidelity(source, "カイルとニコルは中国でGoogleのジョージと", [reference], "en", "ja") == 1.0
    assert name_fidelity(source, "ブライアンとニコールは中国でGoogleのジョージと", [reference], "en", "ja") == 0.75
    assert name_fidelity(source, "", [reference], "en", "ja") == 0.0
    assert name_fidelity(source, "", ["彼らは会った。"], "en", "ja") is None
    assert name_fidelity(source, "", [], "en", "ja") is None


def test_what_any_reference_keeps_is_demanded():
    references = ["彼は東京に住む。", "カイルは首都に住む。"]
    assert name_fidelity("Kyle lives in Tokyo.", "カイルは東京に住む。", references, "en", "ja") == 1.0
    assert name_fidelity("Kyle lives in Tokyo.", "カイルは大阪に住む。", references, "en", "ja") == 0.5


def test_kanji_are_read():
    assert name_fidelity("藤原は東京にいる。", "Fujiwara is in Tokyo.", ["Fujiwara is in Tokyo."], "ja", "en") == 1.0
    assert name_fidelity("藤原は東京にいる。", "Tanaka is in Tokyo.", ["Fujiwara is in Tokyo."], "ja", "en") == 0.5
    assert name_fidelity("正之助が来た。", "来了正之助。", ["正之助来了。"], "ja", "zh") == 1.0
    assert name_fidelity("正之助が来た。", "来了。", ["正之助来了。"], "ja", "zh") == 0.0


def test_what_sounds_most_alike_is_meant():
    assert name_fidelity("Floyd left.", "ドナルドは去った。", ["フロイドは去った。"], "en", "ja") == 0.0
    assert name_fidelity("Milan won.", "ローマとバルセロナ", ["ミラノとバルセロナ"], "en", "ja") == 0.0
    assert name_fidelity("Mark left.", "", ["マリは去った。"], "en", "ja") is None  # of two consonants none may differ


def test_a_long_name_is_found_in_a_compound():
    assert name_fidelity("Donald came.", "", ["ドナルドダックが来た。"], "en", "ja") == 0.0
    assert name_fidelity("Mark came.", "", ["マクラーレンが来た。"], "en", "ja") is None


def test_a_word_inside_another_is_not_the_name():
    assert name_fidelity("I saw Ann.", "The cannon.", ["I saw Ann."], "en", "de") == 0.0


def test_wrong_names_are_caught_in_real_text():
    """In a human reference, names are demanded where deleting one lowers the score; another name must do so too."""
    path = DATA / "wmt" / "wmt21.en-ja.tsv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: WMT's data is not shipped")
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1:201]
    generator, num_planted, num_caught = random.Random(0), 0, 0
    for source, reference in (line.split("\t")[3:5] for line in lines):
        assert name_fidelity(source, reference, [reference], "en", "ja") in (None, 1.0)
        for name in set(re.findall("[ァ-ヶー]{3,}", reference)):
            deleted = name_fidelity(source, reference.replace(name, ""), [reference], "en", "ja")
            if deleted is not None and deleted < 1:
                other = generator.choice(["パトリシア", "ボリビア", "ギャラガー", "東北", "ズッカーバーグ"])
                score = name_fidelity(source, reference.replace(name, other), [reference], "en", "ja")
                num_planted, num_caught = num_planted + 1, num_caught + (score < 1)
    assert num_planted > 200
    assert num_caught > 0.97 * num_planted

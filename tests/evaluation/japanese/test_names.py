import pytest

from in2x.evaluation.japanese import names


def fired(check, text, source=None):
    found = check([text], None if source is None else [source])
    return [text[f.start : f.end] for f in found]


def test_a_title_without_an_honorific_is_lost():
    (found,) = names.lost_titles(["スミスは来た。"], ["Mr. Smith came."])
    assert (found.segment, found.start, found.end) == (0, 0, 7) and "Smith" in found.message
    assert names.lost_titles(["スミスさんは来た。"], ["Mr. Smith came."]) == []
    assert names.lost_titles(["ラーブ外相は来た。"], ["Mr Raab came."]) == []
    assert names.lost_titles(["スミスは来た。"]) == []


def test_titles_count_people_not_mentions():
    assert names.lost_titles(["スミスさんは寝た。"], ["Mr. Smith came. Mr. Smith slept."]) == []
    assert len(names.lost_titles(["スミスさんとジョーンズ"], ["Mr. Smith and Dr Jones"])) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("田中様さんが来た。", ["様さん"]),
        ("田中先生さんと鈴木氏様", ["先生さん", "氏様"]),
        ("ミスター・スミスさんが来た。", ["ミスター・スミスさん"]),
        ("Dr. スミス先生", ["Dr. スミス先生"]),
        ("さんさんと照る日。くんくんと嗅ぐ。", []),
        ("田中さんと鈴木様、ドクターが来た。", []),
        ("お客様方と皆様", []),
    ],
)
def test_doubled_honorifics(text, expected):
    assert fired(names.doubled_honorifics, text) == expected


def test_an_honorific_on_oneself():
    assert fired(names.self_honorifics, "私は田中さんです。") == ["私は田中さんです"]
    assert fired(names.self_honorifics, "スミス様と申します。") == ["スミス様と申し"]
    assert fired(names.self_honorifics, "私は田中です。こちらは田中さんです。私は先生です。") == []


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("Johnsonさんが来た。", None, ["Johnson"]),
        ("昨日はMaryが来た。", None, ["Mary"]),
        ("Nwasinobiは来た。", "Ms. Nwasinobi came.", ["Nwasinobi"]),
        ("Nwasinobiは来た。", "Nwasinobi came.", []),
        ("GoogleとToyotaの人、@Johnとjohn.com", None, []),
        ("『Peter and the Wolf by John』を聞いた。", None, []),
    ],
)
def test_names_in_latin_letters(text, source, expected):
    assert fired(names.latin_names, text, source) == expected


def test_the_rarer_spelling_is_pointed_at(places):
    segments = ["アイリーンが来た。アイリーンは歌った。", "アイリンは帰った。"]
    assert places(names.name_spellings(segments), segments) == ["アイリン"]
    even = ["アイリーンが来た。", "アイリンは帰った。"]
    assert places(names.name_spellings(even), even) == ["アイリーン", "アイリン"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("アイリーン", "アイリン", True),
        ("スティーヴン", "スティーブン", True),
        ("ウィルソン", "ウイルソン", True),
        ("ワトソン", "ワトスン", True),
        ("ホームズ", "ホームス", False),  # too short for a substitution
        ("デイビッド", "デビッド", True),
        ("ウォルト", "ウォルター", False),
        ("マリア", "マリオ", False),
        ("ジョンソン", "ジャクソン", False),
        ("コナー", "コナン", False),
    ],
)
def test_spellings_of_one_name(one, other, same):
    assert names.same_name(one, other) is same
    assert names.same_name(other, one) is same


def test_common_nouns_are_not_names():
    assert names.name_spellings(["コンピューターとコンピュータ、サーバーとサーバ"]) == []

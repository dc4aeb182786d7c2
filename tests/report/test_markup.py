import pytest

from in2x.report.markup import (
    compact,
    duration,
    element,
    escape,
    fixed,
    language,
    number,
    percent,
    prose,
    table,
)


def test_text_is_escaped_and_markup_is_not():
    assert element("p", "<b>&", element("i", "x"), class_='a"b') == '<p class="a&quot;b">&lt;b&gt;&amp;<i>x</i></p>'


def test_attributes_with_dashes_and_without_value():
    assert element("td", data_label="System", class_=None) == '<td data-label="System"></td>'


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ud800", "\u202e", "\u2066"])
def test_characters_that_could_deceive_or_break_the_file_are_replaced(character):
    written = escape(f"a{character}b")
    assert written == "a\ufffdb"
    written.encode("utf-8")


def test_long_text_keeps_every_character_up_to_the_limit():
    text = "".join(chr(0x4E00 + i) for i in range(1000))
    written = prose(text)
    assert text[:320] in written
    assert text[320:] in written
    assert "+680 characters" in written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What?", "en"),
        ("何してるの？", "ja"),
        ("東京", "ja"),
        ("我们今天一起去图书馆看书然后吃饭吧", "zh"),
        ("안녕", "ko"),
    ],
)
def test_language_by_script(text, expected):
    assert language(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(222188, "222,188"), (-3, "−3"), (1.4234, "1.42"), (61.4, "61.4"), (2210.0, "2,210"), (0.0, "0.00"),
     (-0.5900, "−0.590"), (2e-5, "2.00e-5"), (float("nan"), "not finite"), (None, "–"),
     ("in2x", "in2x"), (True, "True")],
)  # fmt: skip
def test_number(value, expected):
    assert number(value) == expected


def test_fixed_and_percent():
    assert fixed(-0.266, 2, signed=True) == "−0.27"
    assert fixed(2.05, 2, signed=True) == "+2.05"
    assert fixed(float("nan")) == "–"
    assert percent(0.913) == "91.3 %"
    assert percent(0.0001) == "< 0.1 %"
    assert percent(0) == "0.0 %"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(4.25, "4.2 s"), (93.2, "93 s"), (402, "7 min"), (7312, "2 h 02 min")]
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(("value", "expected"), [(950, "950"), (20_500, "20.5 k"), (4_000_000, "4 M"), (2e12, "2 T")])
def test_compact(value, expected):
    assert compact(value) == expected


def test_table_aligns_numbers():
    written = table(["Name", "n"], [["x", "1"]], (1,))
    assert '<th class="number" scope="col">n</th>' in written
    assert '<td>x</td><td class="number">1</td>' in written

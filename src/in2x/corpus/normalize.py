"""Spelling of texts before training, and the key that decides whether two texts are the same.

Two strengths, never to be confused:

* `normalized` is what a model trains on, so it only removes what no reader would miss: decomposed
  accents, control characters, odd white space. Full-width letters, half-width katakana and all of
  Japanese punctuation stay (folding widths is an option), because a natural translator must write them.
* `normal_key` is never shown to a model. It ignores case, width, punctuation and white space, so that
  two spellings of one sentence meet in duplicate detection.

Both are polars expressions: 400k short strings take about a second.
"""

import polars as pl

# NEL, vertical tab, form feed and the Unicode separators are all ends of lines.
_LINE_END = r"\r\n|[\r\x0B\x0C\u0085\u2028\u2029]"
# Control characters but tab and newline; zero-width space, word joiner, soft hyphen, byte-order mark;
# marks of writing direction. The joiners U+200C/D (emoji, Persian) and variation selectors (kanji
# variants) change what is seen, so they stay.
_INVISIBLE = r"[\x00-\x08\x0E-\x1F\x7F\u00AD\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\uFEFF]+"
# Bytes of another encoding that were taken for Latin-1. Removing them would hide the damage from the filters.
_LOST = r"[\u0080-\u009F]"
# The ideographic space is left out: in Japanese it is punctuation (after ！ and ？, between verses).
_BLANKS = r"[\t \u00A0\u1680\u2000-\u200A\u202F\u205F]+"
_AROUND_LINE_END = r"[ \u3000]*\n[ \u3000]*"
_MANY_LINE_ENDS = r"\n{3,}"
_OUTER = r"^[\s\u3000]+|[\s\u3000]+$"

_HALF_KATAKANA = "ｦｧｨｩｪｫｬｭｮｯｰｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝﾞﾟ"
# The last two are the combining voice marks: composed with the kana before them by NFC, which runs later.
_FULL_KATAKANA = (
    "ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホ"
    "マミムメモヤユヨラリルレロワン\u3099\u309a"
)
_ASCII = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FOLD = {chr(ord(narrow) + 0xFEE0): narrow for narrow in _ASCII} | dict(
    zip(_HALF_KATAKANA, _FULL_KATAKANA, strict=True)
)

# Of the symbols only those that stand in for punctuation leave the key: C++ and C stay different texts.
_NOT_IN_KEY = r"[\p{P}\p{Z}\p{C}~`´^|]+"
_NOT_IN_BARE_KEY = r"[\p{Z}\p{C}]+"


def normalized(text: pl.Expr, fold_width: bool = False) -> pl.Expr:
    """Spell `text` one way: NFC, no invisible characters, single blanks, at most one empty line.

    C1 controls, the trace of a wrong decoding, become U+FFFD, which `filters` rejects as mojibake.
    `fold_width` also turns full-width ASCII letters and digits (Ａ１) into ASCII and half-width katakana (ｶﾞ)
    into full width; full-width punctuation stays. NFC itself replaces CJK compatibility ideographs by their
    unified forms (U+FA19 -> 神), as Unicode prescribes. The blanks that indent or end a line go, ideographic
    ones too. Null stays null.
    """
    text = text.str.replace_all(_LINE_END, "\n").str.replace_all(_INVISIBLE, "")
    text = text.str.replace_all(_LOST, "\ufffd")
    if fold_width:
        text = text.str.replace_many(_FOLD)
    return (
        text.str.normalize("NFC")
        .str.replace_all(_BLANKS, " ")
        .str.replace_all(_AROUND_LINE_END, "\n")
        .str.replace_all(_MANY_LINE_ENDS, "\n\n")
        .str.replace_all(_OUTER, "")
    )


def normalize_frame(
    frame: pl.DataFrame, columns: tuple[str, ...] = ("source", "target"), fold_width: bool = False
) -> pl.DataFrame:
    """Normalise the text `columns` of `frame`; the other columns and the order of rows stay."""
    return frame.with_columns(normalized(pl.col(column), fold_width) for column in columns)


def normal_key(text: pl.Expr) -> pl.Expr:
    """Key of a text for duplicate detection: NFKC, folded case, no punctuation, no white space.

    A text of nothing but punctuation keeps it, so that "…" and "?!" are not duplicates. Null stays null.
    """
    folded = text.str.normalize("NFKC").str.to_lowercase().str.replace_many({"ß": "ss", "ς": "σ"})
    # Lower case may decompose (İ -> i + dot above): a second NFKC makes the key of a key the key itself.
    folded = folded.str.normalize("NFKC")
    key = folded.str.replace_all(_NOT_IN_KEY, "")
    return pl.when(key == "").then(folded.str.replace_all(_NOT_IN_BARE_KEY, "")).otherwise(key)


def normalize_text(text: str, fold_width: bool = False) -> str:
    """`normalized` for one string; for a column use the expression."""
    return pl.select(normalized(pl.lit(text), fold_width)).item()


def normal_key_of(text: str) -> str:
    """`normal_key` of one string; for a column use the expression."""
    return pl.select(normal_key(pl.lit(text))).item()

"""What is not a translation pair, and why: every rejected row carries its reason.

A filter is a row of a literal table: a name and an expression that is true for bad text. Three tables say
where it looks: at each side (`empty_source`, `empty_target`), at each side with its language
(`wrong_script_target`), or at the pair (`length_ratio`). The first reason that applies is the row's reason,
in the order of `REASONS`.

Lengths are weighted: a character of Han, kana or Hangul says as much as about two Latin letters, so it counts
as `CHARACTER_WEIGHTS[language]`; everything else (names, code, digits inside Japanese) counts one.
"""

from dataclasses import dataclass

import polars as pl

# Letters of English that one dense character stands for. Medians over aligned pairs: Japanese 1.7 in software
# documentation, 1.8 in Tatoeba, 2.8 in Kyoto's encyclopedia; Chinese 2.9 in documentation. Korean is a guess.
CHARACTER_WEIGHTS = {"ja": 2.0, "zh": 2.9, "yue": 2.9, "ko": 2.0}
_WEIGHTED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー、。]"

_LATIN, _CYRILLIC, _JAPANESE = r"\p{Latin}", r"\p{Cyrillic}", r"[\p{Han}\p{Hiragana}\p{Katakana}ー]"
_LATIN_LANGUAGES = (
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "et", "lv", "lt", "pl",
    "cs", "sk", "hu", "ro", "hr", "sl", "tr", "vi", "id", "ms", "eu", "ca",
)  # fmt: skip
# language -> its script, and the least share of a text's letters that must be written in it. Japanese and
# Chinese run low: a line of documentation may be mostly names in Latin letters.
SCRIPTS = {
    "ja": (_JAPANESE, 0.15),
    "zh": (r"\p{Han}", 0.15),
    "yue": (r"\p{Han}", 0.15),
    "ko": (r"\p{Hangul}", 0.15),
    "th": (r"\p{Thai}", 0.15),
    "ru": (_CYRILLIC, 0.4),
    "uk": (_CYRILLIC, 0.4),
    "bg": (_CYRILLIC, 0.4),
    "el": (r"\p{Greek}", 0.4),
    "he": (r"\p{Hebrew}", 0.4),
    "ar": (r"\p{Arabic}", 0.4),
    "fa": (r"\p{Arabic}", 0.4),
    "hi": (r"\p{Devanagari}", 0.4),
} | dict.fromkeys(_LATIN_LANGUAGES, (_LATIN, 0.5))
# Frequent Chinese words and simplified characters that Japanese does not write: a text with one has kana too.
_CHINESE_ONLY = (
    "[这们说么吗您她它這們說嗎還讓很給谁对时为过发开关现实样种从动业应进还间问见长东车门网户图请设错误该页选项码变类"
    "达结经给线组级统续维计论证识话词试详语调负败质资运远连输边适递钟键阶际险难频题颜风马验]"
)

# Ordinary punctuation of prose does not count as a symbol: 「え？！」 is speech, not noise.
_DIGIT_OR_SYMBOL = r"[\p{N}\p{S}\p{P}--[.,!?;:'\"’‘“”…、。！？「」『』（）()・～〜♪-]]"
_URL = r"(?:https?://|ftp://|www\.)[^\s\u3000]+"
_ONLY_URLS = rf"^(?:[\s\u3000<>()\[\]]*{_URL})+[\s\u3000<>()\[\]]*$"

# What cp1252 (or Latin-1) shows for the bytes 80-BF, the second and third of a UTF-8 character.
_TAIL = "[\u0080-¿€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
MOJIBAKE = "|".join(
    (
        "\ufffd",  # the replacement character: something was lost in an earlier decoding
        r"[\u0080-\u0084\u0086-\u009F]",  # C1 controls: bytes of another encoding taken for Latin-1
        "â€|Ã[Ÿ¡-©¬-º¼-¾]|ã[¡-©¬-º¼-¾]",  # UTF-8 as cp1252: ’ é ü ö ä, and kana that lost a byte
        f"(?:ã{_TAIL}){{2}}|ã{_TAIL}{{2}}[ãäåæçèé]|(?:[ã-é]{_TAIL}{{2}}){{2}}",  # UTF-8 Japanese as cp1252
        # UTF-8 Japanese as Shift-JIS; 縺れる (tangle) and 繧繝 (a weave) are words
        "(?:縺[^れりろらっ]|繧[^繝]|繝[｡-ﾟ])[^。]{0,12}(?:縺[^れりろらっ]|繧[^繝]|繝[｡-ﾟ])",
        "(?:‚[^\\s]){3}|(?:ƒ[^\\s]){3}",  # Shift-JIS kana as cp1252
        "(?:[¤¥][¡-þ]){2}|(?:､[ｦ-ﾟ､｡･]){3}",  # EUC-JP kana as Latin-1, as Shift-JIS
    )
)


@dataclass(frozen=True)
class FilterSettings:
    """Bounds of the filters; lengths are in characters without white space, inclusive."""

    min_characters: int = 2
    max_characters: int = 8000
    max_length_ratio: float = 3.0
    ratio_smoothing: float = 10.0  # added to both weighted lengths, so that "Hi." may be こんにちは。
    max_symbol_fraction: float = 0.6
    free_symbols: int = 4  # digits and symbols that are never too many: １９９７年, "$20"
    kana_required_from: int = 60  # Japanese of this many Han characters has kana; a list of names may not


def _length(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(r"[^\s\u3000]").cast(pl.Int64)


def weighted_length(text: pl.Expr, language: str) -> pl.Expr:
    """Length of a text in letters of English: dense characters count as `CHARACTER_WEIGHTS` says."""
    extra = CHARACTER_WEIGHTS.get(_primary(language), 1.0) - 1.0
    return _length(text) + extra * text.str.count_matches(_WEIGHTED)


def _wrong_script(text: pl.Expr, language: str, settings: FilterSettings) -> pl.Expr:
    """True for text with too few letters of its language's script; languages without a row pass.

    Text without any letter passes only where the script is Latin: 2001 may be English, but hardly Japanese.
    """
    language = _primary(language)
    if language not in SCRIPTS:
        return pl.lit(False)
    script, share = SCRIPTS[language]
    own, letters = text.str.count_matches(script), text.str.count_matches(r"[\p{L}\p{Nl}]")
    wrong = (own < share * letters) if script == _LATIN else ((own == 0) | (own < share * letters))
    kana = text.str.count_matches(r"[\p{Hiragana}\p{Katakana}]")
    if language == "ja":
        many_han = text.str.count_matches(r"\p{Han}") >= settings.kana_required_from
        wrong |= (kana == 0) & (many_han | text.str.contains(_CHINESE_ONLY))
    if language in ("zh", "yue"):
        wrong |= kana > 0.3 * own
    return wrong


_SIDE_FILTERS = {
    "empty": lambda text, language, settings: _length(text) == 0,
    "mojibake": lambda text, language, settings: text.str.contains(MOJIBAKE),
    "url_only": lambda text, language, settings: text.str.contains(_ONLY_URLS),
    "too_short": lambda text, language, settings: _length(text) < settings.min_characters,
    "too_long": lambda text, language, settings: _length(text) > settings.max_characters,
    "symbols": lambda text, language, settings: (
        text.str.count_matches(_DIGIT_OR_SYMBOL).cast(pl.Int64) - settings.free_symbols
        > settings.max_symbol_fraction * _length(text)
    ),
    "wrong_script": _wrong_script,
}


def _same(source: pl.Expr, target: pl.Expr) -> pl.Expr:
    def squeeze(text):
        return text.str.to_lowercase().str.replace_all(r"[\s\u3000]+", "")

    return squeeze(source) == squeeze(target)


def length_ratio(source: pl.Expr, target: pl.Expr, languages: tuple[str, str], smoothing: float) -> pl.Expr:
    """Ratio of the longer to the shorter weighted length, `smoothing` added to both; at least 1."""
    source_length = weighted_length(source, languages[0]) + smoothing
    target_length = weighted_length(target, languages[1]) + smoothing
    return pl.max_horizontal(source_length / target_length, target_length / source_length)


_PAIR_FILTERS = {
    "source_equals_target": lambda source, target, languages, settings: _same(source, target),
    "length_ratio": lambda source, target, languages, settings: (
        length_ratio(source, target, languages, settings.ratio_smoothing) > settings.max_length_ratio
    ),
}

_BEFORE_PAIR = ("empty", "mojibake", "url_only")
_AFTER_PAIR = ("too_short", "too_long", "symbols", "wrong_script")
REASONS = (
    *(f"{name}_{side}" for name in _BEFORE_PAIR for side in ("source", "target")),
    "source_equals_target",
    *(f"{name}_{side}" for name in _AFTER_PAIR for side in ("source", "target")),
    "length_ratio",
)


def reason(source_language: str, target_language: str, settings: FilterSettings) -> pl.Expr:
    """First of `REASONS` that applies to the columns `source` and `target`; null for a good pair."""
    texts = {side: pl.col(side).fill_null("") for side in ("source", "target")}
    languages = {"source": source_language, "target": target_language}
    bad = {
        f"{name}_{side}": check(texts[side], languages[side], settings)
        for name, check in _SIDE_FILTERS.items()
        for side in texts
    } | {
        name: check(texts["source"], texts["target"], (source_language, target_language), settings)
        for name, check in _PAIR_FILTERS.items()
    }
    return pl.coalesce(pl.when(bad[name]).then(pl.lit(name)) for name in REASONS)


def apply_filters(
    frame: pl.DataFrame,
    source_language: str,
    target_language: str,
    settings: FilterSettings = FilterSettings(),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split `frame` (columns source, target) into kept rows and rejected rows with a column `reason`.

    Order is kept on both sides; every row is in exactly one of them. Null text is empty text.
    """
    judged = frame.with_columns(reason=reason(source_language, target_language, settings))
    kept = judged.filter(pl.col("reason").is_null()).drop("reason")
    return kept, judged.filter(pl.col("reason").is_not_null())


def _primary(language: str) -> str:
    """Primary subtag of a BCP 47 tag: ja-JP -> ja."""
    return language.replace("_", "-").split("-")[0].lower()

"""Polarity: whether the translation negates where the source does, English and Japanese.

A rule for one fault that similarity to a reference hardly sees: 行く and 行かない share most characters. It looks at
whether a text negates at all, not at what it negates. Set phrases that only look like a negation are taken out first
(なければならない, かもしれない, ませんか). Where the source is a question, or has a word that is rendered with or
without a negation ("until", "only", "few"), the reference decides; without one nothing is measured. Of Tatoeba's
translations by another person 4.4 % contradict the source where it decides, and 7.8 % the reference where that does.
"""

from __future__ import annotations

import re

from in2x.rewards.groups import Group

NEGATED_EN = re.compile(r"n['’]t\b|\b(?:not|never|none|nobody|nothing|nowhere|cannot|neither|nor|no)\b", re.IGNORECASE)
EITHER_EN = re.compile(
    r"\?|\b(?:until|only|few|little|hardly|scarcely|rarely|seldom|without|unless|must|have to|has to|had to|should"
    r"|ought|better|too|far from|not so much|just as|fail\w*|unable|un\w{4,}|dis\w{4,}|im(?:possible|polite|patient)\w*"
    r"|in\w{6,}|\w+less|lack\w*|refuse\w*|den(?:y|ied)|avoid\w*|stop\w*|miss\w*|forget|forgot\w*|absent|empty|mind"
    r"|hate\w*|wonder\w*|doubt\w*|as well|no (?:sooner|longer|more|less|matter)|but|than|before|wish\w*|if)\b",
    re.IGNORECASE,
)
PHRASES_JA = re.compile(
    r"(?:なければ|なけりゃ|なくて(?:は|も)|なくちゃ|なきゃ|ないと)(?:なら|いけ|だめ|ダメ)?(?:ない|なかった|ません(?:でした)?|ぬ|ん)?"
    r"|かもしれ(?:ない|ません)|かも知れ(?:ない|ません)|(?:に|間)(?:違い|ちがい)(?:ない|なかった|ありません)|(?:で|じゃ)はないか|じゃないか"
    r"|ませんか|しか(?:たが|方が)ない|しか(?=[^。]{0,12}(?:ない|ません|なかった))[^。]{0,12}?(?:ない|ません(?:でした)?|なかった)"
    r"|すみません|つまらな\w|くだらな\w|とんでもな\w|もったいな\w|申し訳(?:ない|ありません)|やむを得ない|少な[いくか]\w*|危な[いくか]\w*|ざるを得\w+"
)
NEGATED_JA = re.compile(
    r"[うくぐすつぬぶむる]な(?=[。！!よ]|$)|な(?:い|かっ|く(?!な[っりる])|けれ|さ[そげ])|ません|(?<=[ぁ-ゖ一-鿿])(?:ず(?:に|、|$|とも)|ずじまい|ぬ(?=[。、]|$))|まい[。、]|ねえ。|不可能|無[いか]"
)


def polarity_fidelity(source: str, hypothesis: str, reference: str | None = None) -> float | None:
    """1 where the hypothesis (Japanese) negates as source (English) or reference do, else 0; None: can't be told."""
    expected = expected_polarity(source, reference)
    return None if expected is None else float(negates(hypothesis) == expected)


def expected_polarity(source: str, reference: str | None = None) -> bool | None:
    """Whether a translation has to negate: as the source says, or else the reference; None where neither says it."""
    if not EITHER_EN.search(source):
        return NEGATED_EN.search(source) is not None
    return negates(reference) if reference else None


def negates(text: str) -> bool:
    """Whether a Japanese text negates anything, set phrases apart."""
    return NEGATED_JA.search(PHRASES_JA.sub("", text)) is not None


def can_tell(group: Group) -> bool:
    """Whether polarity is measured at this prompt: from English into Japanese, where source or reference says it."""
    languages = group.source_language.split("-")[0], group.target_language.split("-")[0]
    return languages in (("en", "ja"), ("", "ja")) and expected_polarity(group.source, group.reference) is not None


def polarity_score(group: Group, text: str) -> float:
    """`polarity_fidelity` as a component at a prompt where it `can_tell`."""
    return polarity_fidelity(group.source, text, group.reference)

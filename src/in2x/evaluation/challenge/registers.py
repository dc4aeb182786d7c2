"""Whether a translation is in the register that was asked for: plain, polite or keigo.

Sentence ends are classified by `in2x.evaluation.japanese.register`; quoted speech is left out. Beyond the ends: plain
form has no polite clause inside the sentence and no honorific verb, polite form has no honorific verb, keigo has one
of the item's honorific forms and none of those that honour the wrong side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from in2x.evaluation.challenge.items import Register
from in2x.evaluation.challenge.patterns import fold_kana, normalise
from in2x.evaluation.japanese.document import sentences, without_quotes
from in2x.evaluation.japanese.register import classify

POLITE = ("polite", "keigo")
PLAIN = ("plain", "dearu", "casual")
I_OR_E = "いきしちにひみりぎじびえけせてねへめれげぜべ"  # what stands before the auxiliary ます; 覚ます is a plain verb
POLITE_CLAUSE = re.compile(
    rf"(?:です|でした|ません|(?<=[{I_OR_E}])(?:ます|ました))(?:が|けど|けれども?|ので|から|し)、"
)
FIXED = re.compile(r"(?:ありがとう|おはよう|おめでとう)ござい(?:ます|ました)")
HONORIFIC = re.compile(
    r"いらっしゃ|いらし[たて]|おっしゃ|仰[るりっいせ]|召し上が|召され|なさ(?:い(?:ます|まし|ませ)|る|っ)|ござい?(?:ます|まし|ませ)"
    r"|いたし(?:ます|まし|ませ|かね)|致し|おり(?:ます|まし|ませ)|まいり(?:ます|まし)|参り|参上|伺[いっえわ]|うかが[いっえ]"
    r"|申(?:し(?:ます|まし|上げ|て|あげ)|され)|(?<!ご)存じ|拝[見読借受聴察領]|頂戴|賜|承[るりっ]|お目に[かに掛]|差し上げ|さしあげ"
    r"|なられ|お[^、。]{1,6}に上が[りっ]|お気に召"
    r"|(?:いただ|頂)[かきくけいこ]|くださ(?:い(?:ます|まし|ませ)|る|っ)|かしこまり|恐れ入り"
    r"|お(?!金|世話|昼|嫁|菓|湯|祭|客|店|茶|酒|互|姉|兄|父|母)[^、。がはをもの]{1,5}にな[りるっれら]|ご[一-龥]{1,4}にな[りるっれら]"
)
FORMULA = re.compile(r"すみません|ありがとうござい|申し訳(?:あり|ござい)ません|どうぞ")
WHOLE_QUOTE = re.compile(r"^[「『](?P<inside>[^「」『』]*)[」』]$")


def ends(text: str) -> list[str]:
    """The classes of a text's sentence ends; quotations and fragments are left out, a text that is one is unwrapped."""
    lines = unwrap(text).splitlines()
    return [found for found in (classify(sentence.text) for sentence in sentences(lines)) if found != "none"]


def unwrap(text: str) -> str:
    """Take the quotation marks off a text that is one quotation."""
    match = WHOLE_QUOTE.match(text.strip())
    return match["inside"] if match else text.strip()


def register_problem(text: str, register: Register) -> str | None:
    """Say what in a text is not of the register, or None; judged by form alone, without an item."""
    unwrapped = unwrap(text)
    found = ends(text)
    wrong = PLAIN if register != "plain" else POLITE
    if any(end in wrong for end in found):
        return f"a sentence ends in {next(end for end in found if end in wrong)} form"
    if not found and register != "plain" and not FORMULA.search(text):  # plain form may end on a noun or a particle
        return "no sentence end that shows a register"
    body = normalise(FIXED.sub("", without_quotes(unwrapped)))
    if register == "plain" and (match := POLITE_CLAUSE.search(body)):
        return f"a polite clause: {match.group()}"
    if register != "keigo" and (match := HONORIFIC.search(body)):
        return f"an honorific or humble form: {match.group()}"
    return None


def is_honorific(text: str) -> bool:
    """Whether there is any respectful or humble form outside quotations, of whatever item."""
    body = normalise(FIXED.sub("", without_quotes(unwrap(text))))
    return bool(HONORIFIC.search(body)) or "keigo" in ends(text)


def find_form(patterns: Sequence[re.Pattern[str]], text: str) -> str | None:
    """The first form, of patterns for folded text, that is there outside quotations, or None."""
    body = fold_kana(normalise(without_quotes(unwrap(text))))
    return next((match.group() for pattern in patterns if (match := pattern.search(body))), None)

"""Rough tags of style: is a pair talk or exposition, and how polite is its Japanese?

Both are heuristics made of word lists, for balancing a mixture and for reports, not for deciding about one
sentence. A pair's domain follows from (cues of conversation - cues of knowledge) over both sides:

* conversational: first and second person, questions, exclamations, sentence-final particles, contractions,
  quoted speech, short sentences;
* knowledge: numbers, dates, proper names, the passive, definitions, third person, である and だった, length.

Cues exist for English and Japanese; a side in another language only adds marks, numbers and length.
"""

import polars as pl

DOMAINS = ("conversational", "knowledge")
REGISTERS = ("honorific", "polite", "plain", "unknown")

# Each row: weight, pattern (or its absence, never both), matched once per text. Positive is conversational.
_ANY_LANGUAGE = (
    (2, r"[?？]"),
    (1, r"[!！]"),
    (1, r"[\"“”「」『』]"),
    (-1, r"[0-9０-９]"),
    (-1, r"[0-9０-９]{4}|[%％]"),
)
_ENGLISH = (
    (2, r"\b(?:I|[Mm]e|[Mm]y|[Mm]ine|[Mm]yself|I'm|I've|I'd|I'll)\b"),
    (2, r"(?i)\b(?:you|your|yours|yourself|let's|we|us|our)\b"),
    (1, r"(?i)\b\w+['’](?:re|ve|ll|d|m|t)\b|\b(?:it|that|what|there|who|where|how)['’]s\b"),
    (1, r"(?i)\b(?:please|thanks|thank|hello|hi|oh|yes|no|well|okay|ok|sorry|hey|bye)\b[,.!?]"),
    (1, r"(?i)^[^\p{L}]*(?:what|why|who|where|when|how|do|does|did|don't|can|could|will|would|are|is)\b.*\?"),
    (-1, r"[a-z,;]['’]?s? (?:[A-Z][a-z]+ )+[A-Z]?[a-z]"),
    (-1, r"\b(?:was|were|is|are|been|being|be) (?:\w+ly )?(?:\w+ed|built|born|made|known|written|held)\b"),
    (-1, r"(?i)\b(?:is|are|was|were) (?:an?|the|one of) "),
    (-1, r"(?i)^\W*(?:the|this|these|an?|in|he|she|they|it|his|her|their|there)\b"),
    (-1, r"(?i)\b(?:which|whose|known as|refers? to|according to|such as|including|century|during)\b"),
)
_JAPANESE = (
    (2, r"私|わたし|僕|ぼく|俺|おれ|あたし|我々"),
    (2, r"あなた|君|きみ|お前|貴方|あんた"),
    (1, r"[ねよわぞぜさ](?:[。！？!?」…]|$)|か(?:[。？?」]|$)|かしら|かな(?:[。？」]|$)"),
    (1, r"(?:ください|下さい|ましょう|なさい|てくれ|ちょうだい|ありがとう|すみません|ごめん)"),
    (1, r"ちゃ[うっいだ]|じゃ[ないあん]|って[。、言思い]|んだ|んです|とく[よねか]|てる"),
    (-1, r"である|であった|とは|という(?:の|もの|こと)|による|により|において|における|および|及び|として"),
    (-1, r"された|されて|される|られた|られて|られる"),
    (-1, r"(?:[0-9０-９一二三四五六七八九十]+(?:年|月|日|世紀|万|億|キロ|メートル|人))"),
    (-1, r"彼|彼女|人々|[ァ-ヴー]{2,}・[ァ-ヴー]{2,}|[都道府県市町村郡][はがのに]"),
    (-1, r"(?:だった|[いきしちりっん][たむ]だ?|だ|る)。?$"),
)
_CUES = {"en": _ENGLISH, "ja": _JAPANESE}
# Letters up to which a sentence is short (+1), and from which it is long (-1); a dense one counts two.
_SHORT, _LONG = 30, 90


def conversation_score(text: pl.Expr, language: str) -> pl.Expr:
    """Sum of the weights of the cues that `text` contains: above zero talk, below zero exposition."""
    cues = _ANY_LANGUAGE + _CUES.get(language.replace("_", "-").split("-")[0].lower(), ())
    length = text.str.len_chars() + text.str.count_matches(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー]")
    # Headings are short too, but no talk: they end without a mark.
    short = (length <= _SHORT) & text.str.contains(r"[.!?。！？][\"'”’」』]*$")
    hits = [pl.when(text.str.contains(pattern)).then(weight).otherwise(0) for weight, pattern in cues]
    return pl.sum_horizontal(*hits, short.cast(pl.Int32), -(length >= _LONG).cast(pl.Int32))


def domain(source_language: str, target_language: str) -> pl.Expr:
    """Domain of the pair in the columns `source` and `target`: one of `DOMAINS`.

    Talk needs a score above 1: one weak cue, such as a pair of quotes, is not yet a conversation.

    Null text counts as empty text.
    """
    score = conversation_score(pl.col("source").fill_null(""), source_language) + conversation_score(
        pl.col("target").fill_null(""), target_language
    )
    return pl.when(score > 1).then(pl.lit("conversational")).otherwise(pl.lit("knowledge"))


def tag_domains(frame: pl.DataFrame, source_language: str, target_language: str) -> pl.DataFrame:
    """`frame` with a column `domain`; see `domain`."""
    return frame.with_columns(domain=domain(source_language, target_language))


# Set phrases that everybody says: their verbs are honorific, their register is merely polite.
_GREETINGS = r"(?:ありがとう|おはよう|おめでとう)ございま(?:した|す)|^いただきます|いってらっしゃい|^いらっしゃいませ"
_HONORIFIC = "|".join(
    (
        # of respect: おっしゃる, お話しになる
        r"ございま|いらっしゃ|おっしゃ|仰っ|仰い|召し上が|召しあが|なさいま|なさって|くださいま|下さいま",
        r"お\p{Han}{0,2}[ぁ-ん]{0,3}[いきぎしじちにひびみりえけせてねべめれ]に(?:なる|なっ|なり|なら)",
        r"ご覧|お目にかか|お越し|お見え|恐れ入り|差し上げ|さしあげ|賜[りっわ]|頂[いきけ]|いただ[いきけ]",
        # of modesty: いたします, but not 一致します
        r"いたしま|いたして|(?:^|[^一合招誘])致し[まて]|申しま|申し上げ|申しあげ|存じ(?:ま|て|上)",
        r"伺[いうっ]|うかが[いっ]ま|参りま|まいりま|拝見|拝読|拝借|拝聴|承[りっ]ま",
    )
)
# What may follow the verb that ends a sentence: particles, then marks and closing quotes.
_PARTICLES = r"(?:か|ね|よ|な|わ|ぞ|ぜ|さ|し|の|が|から|ので|のに|けれ?ど|も|ねえ|なあ|って|かしら|もの)*"
_END = r"[\s\p{P}\p{S}]*$"
_POLITE_VERB = r"(?:です|ます|でした|ました|ません|ましょう|でしょう|ください|下さい|なさい|ませ)"
_POLITE = rf"{_POLITE_VERB}{_PARTICLES}{_END}"
_PLAIN = "|".join(
    (
        # 行く, 高い, but not はい; 見ないで, 行かなきゃ, 行けよ, 待ってくれ; after nouns: 本当か, つもりなの
        rf"(?:[だたてうくぐすつぬぶむるろん]|[ぁ-のひ-ん\p{{Katakana}}\p{{Han}}]い|たら|なら){_PARTICLES}{_END}",
        rf"(?:ないで|なきゃ|なくちゃ|だろうに|[えけせてねべめれ]よ|[てで]くれ|しまえ){_END}",
        rf"(?:[\p{{Han}}\p{{Katakana}}ー](?:か|ね|よ|さ)|かな|かしら|なのか?)[よねい]?{_END}",
    )
)
_LAST_SENTENCE = r"([^。！？!?\n]+)[。！？!?\s\p{P}]*$"


def register(text: pl.Expr) -> pl.Expr:
    """Politeness of a Japanese text, one of `REGISTERS`: what its last sentence ends in.

    Keigo verbs anywhere in the last sentence make it honorific, です and ます polite, だ, る, た, い plain.
    A noun or a fragment at the end is unknown, as are null and text without Japanese. What stands in
    parentheses is not looked at.
    """
    text = text.fill_null("").str.replace_all(r"[（(][^（）()]*[）)]", "")
    last = text.str.extract(_LAST_SENTENCE).fill_null("")
    without_greetings = last.str.replace_all(_GREETINGS, "です")
    return (
        pl.when(without_greetings.str.contains(_HONORIFIC))
        .then(pl.lit("honorific"))
        .when(without_greetings.str.contains(_POLITE))
        .then(pl.lit("polite"))
        .when(last.str.contains(_PLAIN))
        .then(pl.lit("plain"))
        .otherwise(pl.lit("unknown"))
    )

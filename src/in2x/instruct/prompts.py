"""Every prompt of this project, in one place: training and decoding must spell them the same way.

A prompt is one line that says what to do, then the text. It is short, because a small model pays for every token of
it in every rollout, and says everything that the response depends on: no two instructions share a prompt but want
different kinds of answers.
"""

from in2x.artifacts import In2xError

LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew",
    "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "mas": "Maasai", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "yue": "Cantonese", "zh": "Chinese",
}  # fmt: skip
"""English names by BCP 47 primary subtag."""

TRANSLATE = "Translate into {language}:\n{source}"
GLOSSARY = "Translate into {language} ({term} = {translation}):\n{source}"
PARAPHRASE = "Say it differently:\n{source}"
PROBLEM = {
    "en": 'Write each step, and "Answer:" with the number at the end:\n{problem}',
    "ja": "計算を一つずつ書き、最後に「答え：」と数を書いてください。\n{problem}",
}


def language_name(language: str) -> str:
    """English name of a language: "ja" and "ja-JP" are Japanese.

    Raises:
        In2xError: for a language that has no name in `LANGUAGES`.
    """
    try:
        return LANGUAGES[language.replace("_", "-").split("-")[0].lower()]
    except KeyError:
        raise In2xError(f"{language}: no name of this language is known; add it to in2x.instruct.prompts") from None


def translation_prompt(source: str, target_language: str, register: str | None = None) -> str:
    """Ask for a translation of `source`, in the given register ("polite", "plain", "honorific") where there is one."""
    name = language_name(target_language)
    return TRANSLATE.format(language=f"{register} {name}" if register else name, source=source)


def glossary_prompt(source: str, target_language: str, term: str, translation: str) -> str:
    """Ask for a translation in which `term` of the source reads `translation`."""
    name = language_name(target_language)
    return GLOSSARY.format(language=name, term=term, translation=translation, source=source)


def paraphrase_prompt(source: str) -> str:
    """Ask for the same thing in other words of the same language."""
    return PARAPHRASE.format(source=source)


def problem_prompt(problem: str, language: str) -> str:
    """Ask for the steps and the answer of a problem, in the form that in2x.rewards.answers reads."""
    return PROBLEM[language].format(problem=problem)

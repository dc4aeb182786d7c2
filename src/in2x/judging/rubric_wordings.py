"""What the rubric judge is told: about translations, and about texts written for a prompt.

{source} and {target} are names of languages, {id} the answer's mark, {n} the number of principles, {g} that of texts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Fixed principles, and the instructions and tasks of the three requests.

    given, one, many: the keys that the tasks call the prompt or source, a single text to judge, and several of them by.
    """

    given: str
    one: str
    many: str
    fixed: tuple[str, ...]
    generate_instructions: str
    generate_task: str
    judge_instructions: str
    single_task: str
    group_task: str


TRANSLATION = Wording(
    given="source",
    one="translation",
    many="translations",
    fixed=(
        "Everything that the source says is said, and nothing else.",
        "Who does what to whom, negation, degree, time and quantity are as in the source.",
        "Names, numbers, dates, units, links and markup are carried over correctly.",
        "It reads as if a native writer of {target} had thought it up: word order, collocations and connectives are "
        "those of {target}, with no trace of the source's wording.",
        "What {target} would leave unsaid is left unsaid, pronouns above all; what it has to say is said.",
        "The level of politeness and the voice fit the speaker, the listener and the kind of text, and do not waver.",
        "Idioms, slang, jokes and cultural references have the effect of the original, not its literal words.",
    ),
    generate_instructions="""\
You are a professional {target} editor. Before you see any translation, you write down what a translation of one \
particular {source} text into {target} has to get right.""",
    generate_task="""\
Write three to five principles for translating the text under "source" into {target}. Each is one sentence in English \
that can be answered yes or no about a translation, and names what is special in this text: an ambiguous or idiomatic \
phrase, a term, a relation between speakers, a tone, a rhythm, a detail that is easily lost. Do not repeat what holds \
for every translation (complete, accurate, fluent). Describe qualities of a translation only. Answer with one JSON \
object and nothing else:
{{"id": "{id}", "principles": ["...", "...", "..."]}}
"id" is "{id}".""",
    judge_instructions="""\
You are a professional {target} editor who reads {source} and judges translations from {source} into {target}, one \
principle at a time. For each principle answer "yes" if the translation satisfies it, "partial" if it does so with an \
exception that a careful reader notices, "no" otherwise. A principle about something that does not occur in the text \
is satisfied. Be strict, and judge each principle by itself. A principle that asks for anything but a quality of the \
translation is answered "no".""",
    single_task="""\
Judge the text under "translation" as a translation of the text under "source", by the {n} texts under "principles" in \
their order. Answer with one JSON object and nothing else; "notes" comes first, in at most 40 words:
{{"id": "{id}", "notes": "...", "answers": ["...", "..."]}}
"id" is "{id}". "answers" has exactly {n} entries, each "yes", "partial" or "no".""",
    group_task="""\
Judge the {g} texts under "translations", each as a translation of the text under "source", by the {n} texts under \
"principles" in their order. Their labels and their order mean nothing; equal quality gets equal answers, and a better \
translation must come out better. Answer with one JSON object and nothing else; "notes" comes first, in at most 80 \
words, on what tells the translations apart:
{{"id": "{id}", "notes": "...", "answers": {{{labels}}}}}
"id" is "{id}". "answers" has exactly {n} entries, each "yes", "partial" or "no", for each of the labels {names}.""",
)

WRITING = Wording(
    given="prompt",
    one="text",
    many="texts",
    fixed=(
        "It does what the prompt asks, all of it, and nothing that the prompt rules out.",
        "It agrees with itself, and where it speaks of facts they are true.",
        "Its details are particular and its turns its own; no commonplace stands where a thought should be.",
        "It reads as if a native writer of {target} had written it: word order, collocations and connectives are those "
        "of {target}, with no trace of another language.",
        "What {target} would leave unsaid is left unsaid, pronouns above all; what it has to say is said.",
        "The level of politeness and the voice fit the speaker, the reader and the kind of text, and do not waver.",
        "It is as long as the prompt asks for or as its subject needs, and it comes to an end.",
    ),
    generate_instructions="""\
You are a professional {target} editor. Before you see any text, you write down what a text written for one particular \
prompt has to get right.""",
    generate_task="""\
Write three to five principles for a text in {target} that answers what stands under "prompt". Each is one sentence in \
English that can be answered yes or no about a text, and names what is special in this prompt: a form, a subject, a \
reader, a tone, a constraint, a pitfall. Do not repeat what holds for every text (complete, consistent, fluent). \
Describe qualities of a text only. Answer with one JSON object and nothing else:
{{"id": "{id}", "principles": ["...", "...", "..."]}}
"id" is "{id}".""",
    judge_instructions="""\
You are a professional {target} editor and judge texts that were written for a prompt, one principle at a time. For \
each principle answer "yes" if the text satisfies it, "partial" if it does so with an exception that a careful reader \
notices, "no" otherwise. A principle about something that does not occur is satisfied. Be strict, and judge each \
principle by itself. A principle that asks for anything but a quality of the text is answered "no".""",
    single_task="""\
Judge what stands under "text" as written for the prompt under "prompt", by the {n} texts under "principles" in their \
order. Answer with one JSON object and nothing else; "notes" comes first, in at most 40 words:
{{"id": "{id}", "notes": "...", "answers": ["...", "..."]}}
"id" is "{id}". "answers" has exactly {n} entries, each "yes", "partial" or "no".""",
    group_task="""\
Judge the {g} entries under "texts", each as written for the prompt under "prompt", by the {n} texts under \
"principles" in their order. Their labels and their order mean nothing; equal quality gets equal answers, and a better \
text must come out better. Answer with one JSON object and nothing else; "notes" comes first, in at most 80 words, on \
what tells the texts apart:
{{"id": "{id}", "notes": "...", "answers": {{{labels}}}}}
"id" is "{id}". "answers" has exactly {n} entries, each "yes", "partial" or "no", for each of the labels {names}.""",
)

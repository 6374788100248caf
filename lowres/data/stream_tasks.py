"""Five tasks in a row, after those of the forgetting study (Luo et al. 2023), from the nearest data to be had.

Simplification becomes shortening, empathetic dialogue becomes templates, inquisitive questions come from QuAC,
explanations are a forum's answers, and headlines the descriptions of encyclopaedia articles.
"""

import functools
import html
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from lowres.data import bundled, wiki
from lowres.data.building import content_id, task_of, three_ways
from lowres.data.cards import cards
from lowres.data.text import first_literal, one_line, opening, sentences, unescape_csv
from lowres.data.wiki import Article
from lowres.examples import SPLITS, Example, Task, digest, in_hash_order, normalise, without_repeats

CASE_WORDS, SUMMARY_WORDS = 150, 60
MUCH_SHORTER = 0.7  # of the source's words: a longer target is no shortening
PASSAGE_WORDS = 100  # around the answer
ANSWER_LENGTH = range(3, 31)  # words
QUESTION_LENGTH = range(4, 16)  # words; a shorter one ("Why?") hangs on the dialogue
EXPLANATION_WORDS = 60
SHORTEST_EXPLANATION = 12  # words
HEADLINE_WORDS = 50  # of input
DESCRIPTION_LENGTH = range(2, 13)  # words
TURNS_PER_EVENT = 14
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
    return task_of("legal-summary", three_ways(examples))


@functools.cache
def consoling_reply() -> Task:
    """A feeling and what happened -> a reply that shows understanding; split by what happened.

    Made from templates, for no real empathetic dialogues were found in any package. They teach the form, and to say
    back in the second person what was told in the first; they are no evidence of anything about people.
    """
    random, told, examples = Random("consoling-reply"), cards("consoling"), []
    for feeling, words in told["feelings"].items():
        for event, said in words["events"].items():
            for situation, reply in random.sample(list(_turns(told, words, event, said)), TURNS_PER_EVENT):
                prompt = f"Feeling: {feeling}\nSituation: {situation}\nReply:"
                identity = content_id("consoling-reply", prompt)
                examples.append(Example(identity, prompt, reply, answers=(reply,), group=f"event/{event}"))
    return task_of("consoling-reply", three_ways(examples))


def _turns(told: dict[str, Any], words: dict[str, Any], event: str, said: str) -> Iterator[tuple[str, str]]:
    """Every way to tell an event, and the reply, whose wording goes with what was told, so that it can be learnt."""
    for person in told["people"] if "{person}" in event else told["people"][:1]:
        for when in told["times"]:
            for number, more in enumerate(told["openings"]):
                situation = f"{event.format(person=person, time=when)}. {more}".strip()
                sympathy = words["sympathy"][number % 2].format(said=said.format(person=person))
                yield situation, f"{sympathy} {words['questions'][number // 2]}"


@functools.cache
def question_asking() -> Task:
    """A passage and words of it -> the question that they answer; split by passage."""
    found = [example for row in bundled.json_lines("Quac", "test.jsonl") for example in _questions(row)]
    return task_of("question-asking", three_ways(without_repeats(found, lambda example: normalise(example.prompt))))


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
    return task_of("explanation", three_ways(examples))


@functools.cache
def headline() -> Task:
    """The opening of an encyclopaedia article and a word -> its short description, which has the word; by title."""
    return task_of("headline", map(_headlines, SPLITS))


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

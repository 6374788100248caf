"""The paper's own data, XOR-AttriQA and XTREME-UP, read from folders that a user has downloaded and unpacked.

Nothing here was tried on the releases themselves, which could not be downloaded. What each function documents is in a
README or in the code of the release; what it infers is said to be.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lowres.data.building import task_of, tidy
from lowres.data.own import refuse
from lowres.data.reading import Written, read_rows
from lowres.data.text import one_line
from lowres.examples import Example, Task, digest

ATTRIQA_TESTS = ("bn", "fi", "ja", "ru", "te")

Problems = list[str]
Row = Mapping[str, Any]
Reader = Callable[[str, Row, str, Problems], Example | None]  # where, row, name of the file, problems


def xor_attriqa(folder: str | Path) -> Task:
    """Whether a passage supports an answer to a question in another language (Muller et al. 2023); test: 5 languages.

    `folder` is the unpacked xor_attriqa.zip, or its folder in-language. Documented (README of the release): the folder,
    the parts train (250 rows), validation (500), bn, fi, ja, ru and te; the fields query, query_language, prediction,
    passage_in_language, passage_en, passage_retrieved_language and ais; and that the paper's setting takes the passage
    in the language in which it was retrieved. Inferred: that a part is a file PART.jsonl, that "en" is the code of
    English, and that ais is a JSON truth value (the words true and false are read as well).
    Raises one InputError that names file, line, field and what is allowed.
    """
    place, problems = _inside(folder, "in-language"), Problems()
    splits = (("train",), ("validation",), ATTRIQA_TESTS)
    read = [_examples([place / f"{part}.jsonl" for part in split], _attribution, problems) for split in splits]
    refuse(problems)
    return _task("xor-attriqa", read, folder=place.name)


def xtreme_up_qa(folder: str | Path, languages: Sequence[str] = ()) -> Task:
    """A question in one of many languages about an English passage -> its words, or "No Answer" (Ruder et al. 2023).

    `folder` holds train, validation and test, each with LANGUAGE.jsonl; all languages of train are read, or only those
    given. Documented (code of the release): folders and files, the fields question, title, context and target, all
    text, and the target "No Answer". Inferred: that the folder is called qa_cross_lang (it may be given itself or what
    it is in), that context and question are in every row, and that a title may be empty.
    Raises one InputError that names file, line, field and what is allowed.
    """
    place, problems = _inside(folder, "qa_cross_lang"), Problems()
    known = sorted(file.stem for file in (place / "train").glob("*.jsonl"))
    if not known:
        problems.append(f"{place / 'train'}: holds no LANGUAGE.jsonl; name the folder of train, validation and test")
    unknown = [language for language in languages if language not in known]
    if known and unknown:
        problems.append(f"languages {unknown} are not in {place / 'train'}; allowed: {', '.join(known)}")
    refuse(problems)
    files = [
        [place / split / f"{one}.jsonl" for one in languages or known] for split in ("train", "validation", "test")
    ]
    read = [_examples(split, _question, problems) for split in files]
    refuse(problems)
    return _task("xtreme-up-qa", read)


def _attribution(where: str, row: Row, _: str, problems: Problems) -> Example | None:
    before = len(problems)
    question, answer, language, retrieved = (
        _text(where, row, field, problems)
        for field in ("query", "prediction", "query_language", "passage_retrieved_language")
    )
    passage = _text(where, row, "passage_en" if retrieved == "en" else "passage_in_language", problems)
    label = str(row.get("ais")).lower()
    if label not in ("true", "false"):
        problems.append(f"{where}: field 'ais' is {row.get('ais')!r}; allowed: true, false")
    if len(problems) > before:
        return None
    prompt = f"Passage: {passage}\nQuestion: {question}\nAnswer: {answer}\nSupported:"
    target = "yes" if label == "true" else "no"
    identity = f"xor-attriqa/{language}/{digest(prompt, 12)}"
    return Example(identity, prompt, target, ("yes", "no"), (target,), group=f"question/{digest(question, 12)}")


def _question(where: str, row: Row, language: str, problems: Problems) -> Example | None:
    before = len(problems)
    question, passage, target = (_text(where, row, field, problems) for field in ("question", "context", "target"))
    title = _text(where, row, "title", problems, may_be_empty=True)
    if len(problems) > before:
        return None
    prompt = "\n".join(
        (*([f"Title: {title}"] if title else []), f"Passage: {passage}", f"Question: {question}", "Answer:")
    )
    identity = f"xtreme-up-qa/{language}/{digest(prompt, 12)}"
    return Example(identity, prompt, target, answers=(target,), group=f"passage/{digest(passage, 12)}")


def _inside(folder: str | Path, name: str) -> Path:
    """The folder `name` in `folder`, or `folder` itself if there is none."""
    place = Path(folder).expanduser()
    return place / name if (place / name).is_dir() else place


def _examples(files: Sequence[Path], reader: Reader, problems: Problems) -> list[Example]:
    found = []
    for file in files:
        if not file.is_file():
            problems.append(f"{file}: there is no such file in the folder of the release")
            continue
        found += [reader(where, row, file.stem, problems) for where, row in read_rows(file, problems)]
    return [example for example in found if example]


def _text(where: str, row: Row, field: str, problems: Problems, may_be_empty: bool = False) -> str:
    value = row.get(field)
    is_text = isinstance(value, str) and not isinstance(value, Written)
    text = one_line(str(value)) if is_text else ""
    if not is_text or not (text or may_be_empty):
        shown = "missing" if value is None else repr(value)[:40]
        problems.append(f"{where}: field {field!r} is {shown}; allowed: text{'' if may_be_empty else ', not empty'}")
    return text


def _task(name: str, read: Sequence[Sequence[Example]], folder: str = "") -> Task:
    """The release's own splits; from train goes what is also in another split, and what a probe asks about."""
    train, validation, test = (tidy(split) for split in read)
    held_out = {example.id for example in (*validation, *test)}
    kept = [example for example in train if example.id not in held_out]
    return task_of(name, (kept, validation, test), left_out=len(train) - len(kept), folder=folder)

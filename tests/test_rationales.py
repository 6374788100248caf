"""Written rationales: prompts, parsing, resuming, endpoints, and world models that are taught to think aloud."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowres import models
from lowres.data import Example, load_task, task_names
from lowres.data import rationales as written
from lowres.examples import digest, normalise
from lowres.language import formats
from lowres.params import InputError
from lowres.rationales import Request, Teaching, asking, endpoint, prompts, teaching, write
from lowres.rationales.endpoint import KEY, Endpoint, EndpointError
from lowres.rationales.parsing import CONCLUSION, Parsed, final_answer, parse, until_conclusion
from lowres.rationales.prompts import Exemplar, ReasoningPrompt, check_leaks
from lowres.rationales.writers import Draft, EndpointWriter, LocalWriter, Sampling, sample
from lowres.rationales.writing import place
from lowres.world import people

SECRET = "sk-very-secret-0123456789"
YES_NO = ("yes", "no")
TWO_OF_A_KIND = (Exemplar("Item A: a brick. Colour:", "Bricks are burnt clay.", "red"),)


def examples(count: int = 10) -> list[Example]:
    return [Example(f"item/{i}", f"Item number {i} of a heap.\nColour:", "red", answers=("red",)) for i in range(count)]


# --- parsing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is a river. So the answer is: River in Wales", "River in Wales"),
        ("It is a river. so the answer is River in Wales.", "River in Wales"),
        ('Therefore, the final answer is: "River in Wales".', "River in Wales"),
        ("So the answer is:\nRiver in Wales\n\nText: another one", "River in Wales"),
        ("It is a river. It flows in Wales.", "It flows in Wales"),
        ("First line.\nLast line", "Last line"),
        ("So the answer is:", "So the answer is"),
        ("So the answer is: 3.5", "3.5"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_the_final_answer_of_free_text(text: str, answer: str):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("They match. So the answer is: yes", "yes"),
        ("They match. So the answer is: **Yes**.", "yes"),
        ("The answer is no, although some say yes", "no"),
        ("One would think no. The clause helps, so yes.", "yes"),
        ("It says nothing of it.", ""),
        ("So the answer is: perhaps", ""),
        ("Nobody knows yesterday's noise", ""),
    ],
)
def test_the_final_answer_among_choices(text: str, answer: str):
    assert final_answer(text, YES_NO) == answer


def test_of_two_choices_at_one_place_the_longer_is_meant():
    assert final_answer("So the answer is: New York City", ("New York", "New York City")) == "New York City"


def test_what_is_wrong_with_a_rationale_is_told():
    assert parse(" ", YES_NO) == Parsed("", "", empty=True)
    assert parse("The clause is about the", YES_NO, cut=True).truncated
    assert not parse("It helps. So the answer is: yes\n\nClause: and so on", cut=True).truncated
    assert parse("So the answer is: River in", cut=True).truncated  # perhaps not the whole answer


def test_what_follows_the_conclusion_is_dropped():
    text = f"It helps. {CONCLUSION} yes\n\nClause: another\nReasoning: no. {CONCLUSION} no"
    assert parse(text, YES_NO) == Parsed(f"It helps. {CONCLUSION} yes", "yes")


@given(
    st.text()
    | st.lists(st.sampled_from(["yes", "no", CONCLUSION, "the answer is", "\n", ".", '"', "\x85"])).map(" ".join)
)
def test_any_text_can_be_parsed(text: str):
    for choices in ((), YES_NO, ("", "?")):
        found = parse(text, choices)
        assert found.text == found.text.strip()
        assert found.answer == found.answer.strip()
        assert not choices or found.answer in (*choices, "")
        assert until_conclusion(found.text) == found.text
        assert text.strip().startswith(found.text)


@given(st.sampled_from(("yes", "no")), st.text(alphabet=st.characters(exclude_characters="\n\r"), max_size=60))
def test_a_conclusion_is_found_behind_any_reasoning(answer: str, reasoning: str):
    if "answer is" not in reasoning.lower():
        assert final_answer(f"{reasoning} {CONCLUSION} {answer}", YES_NO) == answer


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", prompts.names())
def test_every_exemplar_parses_to_its_own_answer(name: str):
    prompt = prompts.load(name)
    assert len(prompt.exemplars) == 4
    for exemplar in prompt.exemplars:
        choices = sorted({each.answer for each in prompt.exemplars}) if exemplar.answer in YES_NO else ()
        assert final_answer(exemplar.rationale, choices) == exemplar.answer
        assert prompts.without_marker(exemplar.input) != exemplar.input
    if prompt.exemplars[0].answer in YES_NO:
        assert sorted(exemplar.answer for exemplar in prompt.exemplars) == ["no", "no", "yes", "yes"]


def test_a_prompt_is_a_chat_or_plain_text_with_the_same_content():
    prompt = prompts.load("privacy-qa")
    asked = "Clause: We like dogs.\nQuestion: do you like cats?\nRelevant:"
    turns, text = prompt.turns(asked), prompt.text(asked)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 4 + ["user"]
    assert turns[0]["content"].startswith(prompt.instruction)
    assert turns[-1]["content"] == asked.removesuffix("\nRelevant:")
    assert text.endswith("do you like cats?\nReasoning:")
    assert all(turn["content"] in text for turn in turns)


@pytest.mark.parametrize("name", [name for name in prompts.names() if name in task_names()])
def test_no_exemplar_is_in_the_data(name: str):
    check_leaks(prompts.load(name), load_task(name))


def test_an_exemplar_from_the_data_is_refused(task: str):
    loaded = load_task(task)
    for split in ("train", "validation", "test"):
        taken = getattr(loaded, split)[0].prompt
        prompt = ReasoningPrompt("my.md", 1, "Think.", (*TWO_OF_A_KIND, Exemplar(taken.upper(), "So it is.", "red")))
        with pytest.raises(InputError, match=f"my.md: the input of example 2 is also in the {split} split"):
            check_leaks(prompt, loaded)
    check_leaks(ReasoningPrompt("my.md", 1, "Think.", TWO_OF_A_KIND), loaded)


def test_a_long_line_from_the_data_is_refused():
    loaded = load_task("privacy-qa")
    line = next(line for e in loaded.test for line in e.prompt.split("\n") if len(normalise(line).split()) > 12)
    leaking = Exemplar(f"{line}\nQuestion: an invented one?\nRelevant:", "So.", "no")
    with pytest.raises(InputError, match="also in the"):
        check_leaks(ReasoningPrompt("my.md", 1, "Think.", (leaking,)), loaded)


GOOD = "version: 3\ninstruction: Think.\nexamples:\n- input: x\n  reasoning: y\n  answer: no\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has to hold version, instruction, examples"),
        (GOOD.replace("version: 3\n", ""), "and holds instruction, examples"),
        (GOOD + "remark: x\n", "and holds version, instruction, examples, remark"),
        (GOOD.replace("3", "three"), "version has to be a whole number"),
        (GOOD.replace("Think.", ""), "instruction has to be a text"),
        (GOOD.replace("no\n", ""), "example 1: field 'answer'"),
        (GOOD.replace("reasoning", "reason"), "example 1: has to have the fields"),
        (GOOD.split("-")[0], "no worked example"),
        (GOOD + "  {", "not valid YAML"),
    ],
)
def test_a_malformed_prompt_file_is_named_with_what_is_wrong(tmp_path: Path, content: str, message: str):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        prompts.from_yaml(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(error.value)


def test_a_prompt_file_is_read(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    found = prompts.from_yaml(tmp_path / "mine.yaml")
    assert (found.version, found.instruction, found.exemplars) == (3, "Think.", (Exemplar("x", "y", "no"),))


def test_exemplars_of_a_users_own_task(tmp_path: Path, task: str):
    path = tmp_path / "worked.jsonl"
    path.write_text('{"input": "a", "reasoning": "b", "answer": "c"}\n\n')
    assert prompts.load(task, str(path)).exemplars == (Exemplar("a", "b", "c"),)
    path.write_text('{"input": "a", "reasoning": " "}\n[]\n{')
    with pytest.raises(InputError) as error:
        prompts.load(task, str(path))
    assert sorted(text.split(": ")[0][-6:] for text in error.value.problems) == ["line 1", "line 1", "line 2", "line 3"]
    with pytest.raises(InputError, match="has no reasoning prompt"):
        prompts.load(task)
    with pytest.raises(InputError, match="cannot be read"):
        prompts.load(task, str(tmp_path / "absent.jsonl"))


# --- the file --------------------------------------------------------------------------------------------------------


class Scripted:
    """A writer that notes what it is asked, and is killed when it has written so many chunks."""

    def __init__(self, chunk: int = 3, chunks: int = 1000) -> None:
        self.chunk, self.chunks, self.asked = chunk, chunks, list[str]()

    def drafts(self, asked: Sequence[Example]) -> list[Draft]:
        if not self.chunks:
            raise KeyboardInterrupt
        self.chunks -= 1
        self.asked += [example.id for example in asked]
        return [Draft(Parsed(f"about {example.id}", "red"), 5, 2, 0.1) for example in asked]


@pytest.fixture
def request_of(tmp_path: Path, task: str, chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    monkeypatch.setattr(prompts, "INSTRUCTION", "Think.")  # the tiny model has a tiny context
    worked = tmp_path / "worked.jsonl"
    worked.write_text('{"input": "Item A: a brick. Colour:", "reasoning": "It is clay.", "answer": "red"}\n')

    def make(**changes: Any) -> Request:
        return replace(Request(str(chat_folder), task, exemplars=str(worked), max_new_tokens=12), **changes)

    return make


def test_a_killed_run_goes_on_with_what_is_missing(tmp_path: Path, request_of: Callable[..., Request]):
    wanted, request, first, second = examples(), request_of(), Scripted(chunks=2), Scripted()
    with pytest.raises(KeyboardInterrupt):
        write(request, wanted, tmp_path, progress=False, writer=first)
    before = place(request, tmp_path).read_text()
    path = write(request, wanted, tmp_path, progress=False, writer=second)
    assert (first.asked, second.asked) == ([e.id for e in wanted[:6]], [e.id for e in wanted[6:]])
    assert path.read_text().startswith(before)
    assert list(written.read(path)) == [example.id for example in wanted]
    third = Scripted()
    write(request, wanted, tmp_path, progress=False, writer=third)
    assert not third.asked


def test_a_half_written_last_line_is_written_again(tmp_path: Path, request_of: Callable[..., Request]):
    request, again = request_of(), Scripted()
    path = write(request, examples(4), tmp_path, progress=False, writer=Scripted())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    write(request, examples(4), tmp_path, progress=False, writer=again)
    assert again.asked == ["item/3"]
    assert path.read_bytes() == whole


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, request_of: Callable[..., Request]):
    path = write(request_of(), examples(4), tmp_path, progress=False, writer=Scripted())
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{]\n", *lines[2:]]))
    with pytest.raises(InputError, match="line 2 is no rationale"):
        write(request_of(), examples(4), tmp_path, progress=False, writer=Scripted())


def test_processes_that_want_the_same_file_wait_for_one_another(tmp_path: Path, request_of: Callable[..., Request]):
    request, wanted, writers = request_of(), examples(8), [Scripted(chunk=1) for _ in range(4)]
    jobs = [
        threading.Thread(target=write, args=(request, wanted, tmp_path, False), kwargs={"writer": writer})
        for writer in writers
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(name for writer in writers for name in writer.asked) == [example.id for example in wanted]


def test_a_changed_prompt_is_written_about_again_and_the_later_row_counts(
    tmp_path: Path, request_of: Callable[..., Request]
):
    request, again = request_of(), Scripted()
    write(request, examples(2), tmp_path, progress=False, writer=Scripted())
    changed = [replace(examples(2)[0], prompt="Another item.\nColour:"), examples(2)[1]]
    path = write(request, changed, tmp_path, progress=False, writer=again)
    assert again.asked == ["item/0"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["prompt"] for row in rows if row["id"] == "item/0"][-1] == digest("Another item.\nColour:")


def test_the_key_of_a_request_depends_on_what_can_change_its_rationales(
    tmp_path: Path, request_of: Callable[..., Request], plain_folder: Path
):
    same = request_of(version=1, temperature=0.1, seed=3, teaching=Teaching(steps=1))  # nothing of it is used
    assert same.key() == request_of().key()
    url = "http://localhost:1/v1"
    others = [
        {"max_new_tokens": 13},
        {"samples": 2},
        {"samples": 2, "seed": 1},
        {"url": url},
        {"model": str(plain_folder)},
    ]
    keys = [request_of(**changes).key() for changes in others]
    worked = Path(request_of().exemplars)
    worked.write_text(worked.read_text().replace("clay", "earth"))
    assert len({*keys, request_of().key(), same.key()}) == len(keys) + 1
    worked.write_text(worked.read_text().replace("earth", "clay"))
    moved = tmp_path / "moved.jsonl"
    moved.write_text(worked.read_text())
    assert request_of(exemplars=str(moved)).key() == same.key()
    assert len({*keys, same.key()}) == len(keys) + 1


def test_bad_requests_are_refused_with_all_that_is_wrong(request_of: Callable[..., Request]):
    with pytest.raises(InputError) as error:
        write(request_of(model="smollm", max_new_tokens=0, samples=-1), examples())
    assert len(error.value.problems) == 3
    with pytest.raises(InputError, match="for world-two-hop alone"):
        write(Request("world-s", "privacy-qa"), examples())
    with pytest.raises(InputError, match="is of version 1, not 9"):
        write(request_of(version=9), examples())


# --- models of this machine ------------------------------------------------------------------------------------------


def test_a_local_model_writes_the_same_however_it_is_chunked(tmp_path: Path, request_of: Callable[..., Request]):
    request, wanted = request_of(samples=3), examples(5)
    rows = written.read(write(request, wanted, tmp_path, progress=False))
    assert list(rows) == [example.id for example in wanted]
    assert all(len(row.samples) == 3 and row.prompt_tokens > 12 for row in rows.values())
    own, prompt = models.load(request.model), request.prompt()
    small = LocalWriter(own, prompt, 12, Sampling(3), chunk=2).drafts(wanted[3:])
    assert [draft.samples for draft in small] == [rows[example.id].samples for example in wanted[3:]]
    assert [draft.parsed.text for draft in small] == [rows[example.id].text for example in wanted[3:]]


def test_sampled_paths_follow_their_seed(chat_model: Any):
    context = formats.prompt_ids(chat_model, "Item")
    first, again, other = (sample(chat_model, context, 8, Sampling(4, 1.0), seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 1


def test_a_model_without_chat_format_reads_plain_text(plain_model: Any):
    prompt = ReasoningPrompt("my.md", 1, "Think.", TWO_OF_A_KIND)
    context = LocalWriter(plain_model, prompt, 8, Sampling()).context(examples()[0])
    assert plain_model.tokenizer.decode(context[1:]) == prompt.text(examples()[0].prompt)


def test_a_long_input_loses_its_beginning_and_never_its_question(chat_model: Any):
    prompt = ReasoningPrompt("my.md", 1, "Think.", TWO_OF_A_KIND)
    writer = LocalWriter(chat_model, prompt, 8, Sampling())
    long = Example("long", f"{'word ' * 300}and the question?\nColour:", "red")
    context = writer.context(long)
    shown = chat_model.tokenizer.decode(context)
    assert len(context) <= chat_model.context - 8
    assert "and the question?" in shown
    assert "Bricks are burnt clay." in shown
    with pytest.raises(InputError, match="Use fewer or shorter ones"):
        LocalWriter(chat_model, replace(prompt, instruction="Think. " * 100), 8, Sampling()).context(long)


# --- world models ----------------------------------------------------------------------------------------------------


def test_nobody_of_the_task_is_in_the_worked_questions():
    names = {person.name for person in people.world().people if person.role != "seen"}
    texts = [f"{trace.prompt} {trace.target}" for trace in teaching.traces()]
    assert len(texts) == len(people.world().of_role("seen")) * 4 * 4
    assert names.isdisjoint(word for text in texts for word in text.split())
    task = load_task("world-two-hop")
    assert {e.prompt for e in (*task.train, *task.validation, *task.test)}.isdisjoint(
        trace.prompt for trace in teaching.traces()
    )


def test_worked_questions_have_the_form_of_the_tasks_own_rationales():
    assert all(teaching.conclusion(trace.target) == trace.answers[0] for trace in teaching.traces())
    for example in load_task("world-two-hop").train[:20]:
        assert teaching.conclusion(example.rationale or "") == example.target
    assert [teaching.conclusion(text) for text in ("", ".", "a b", "a b .")] == ["", "", "", "b"]


def test_a_world_model_is_taught_and_writes_deterministically(tmp_path: Path):
    request = Request("world-xs~0.30", "world-two-hop", max_new_tokens=16, teaching=Teaching(steps=3, batch_size=8))
    wanted = load_task("world-two-hop").validation[:6]
    pristine = [parameter.clone() for parameter in models.load("world-xs~0.30").model.parameters()]
    first = written.read(write(request, wanted, tmp_path / "a", progress=False))
    after = models.load("world-xs~0.30").model.parameters()
    assert all(bool((one == other).all()) for one, other in zip(pristine, after, strict=True))
    teaching.taught.cache_clear()
    second = written.read(write(request, wanted, tmp_path / "b", progress=False))
    assert {key: row.text for key, row in first.items()} == {key: row.text for key, row in second.items()}
    assert request.key() != replace(request, teaching=Teaching(steps=4, batch_size=8)).key()
    with pytest.raises(InputError, match="only a world model"):
        teaching.taught("smollm2-135m-instruct", Teaching())


@pytest.mark.parametrize("task", asking.TASKS)
def test_steps_that_are_answered_right_come_to_the_rationale_and_the_target(task: str):
    for example in load_task(task).train[:40]:
        said, told = dict[str, str](), list[str]()
        for step in asking.steps_of(example):
            assert step.value not in step.question(step.subject).split()  # nothing of the answer is asked
            told.append(step.said(step.subject, step.value))
            said[step.value] = step.value
        assert " ".join(told) == example.rationale
        assert asking.concluded(example, said) == example.target


@pytest.mark.parametrize(
    ("task", "words", "answer"),
    [
        ("world-form", ("arvik", "corda"), "arvik , corda"),
        ("world-correction", ("baker",), "no , it is baker"),
        ("world-two-hop", ("arvik", "avaria"), "avaria"),
    ],
)
def test_what_a_model_says_is_taken_as_it_is_and_asked_about(
    monkeypatch: pytest.MonkeyPatch, task: str, words: tuple[str, ...], answer: str
):
    asked: list[str] = []

    def answers(own: object, paths: Sequence[Any], number: int) -> None:
        for path in paths:
            asked.append(path.steps[number].question(path.subject(path.steps[number])))
            path.tell(path.steps[number], words[number])

    monkeypatch.setattr(asking.AskedWriter, "_ask", answers)
    example = next(
        e for e in load_task(task).train if len(asking.steps_of(e)) == len(words) and "baker" not in e.prompt
    )
    (draft,) = asking.AskedWriter(None).drafts([example])  # type: ignore[arg-type]
    assert draft.parsed.answer == answer
    assert all(word in draft.parsed.text.split() for word in words)
    assert task != "world-two-hop" or "arvik" in asked[1].split()  # the second hop starts from what was said


def test_a_world_model_is_asked_as_it_is(tmp_path: Path):
    request = Request("world-xs~0.30", "world-form", asked=True)
    wanted = load_task("world-form").validation[:3]
    found = written.read(write(request, wanted, tmp_path, progress=False))
    assert all(len(row.text.split(" .")) == 3 and " , " in row.answer for row in found.values())
    assert Request("world-xs", "world-two-hop", asked=True).key() != Request("world-xs", "world-two-hop").key()
    with pytest.raises(InputError, match="draws no samples"):
        write(replace(request, samples=2), wanted, tmp_path)


# --- endpoints -------------------------------------------------------------------------------------------------------


Reply = tuple[int, dict[str, str], bytes]


def said(text: str | None, finish: str = "stop") -> Reply:
    answer = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    return 200, {}, json.dumps(answer).encode()


class Server:
    """Answers from a script, its last line again and again, and notes what it was sent."""

    def __init__(self, *script: Reply) -> None:
        self.script, self.bodies, self.headers = list(script), list[dict[str, Any]](), list[dict[str, str]]()
        self.http = HTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                server.headers.append({**dict(self.headers), "path": self.path})
                status, headers, content = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv("no_proxy", "*")

    @contextmanager
    def serve(*script: Reply) -> Iterator[Server]:
        server = Server(*script)
        thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.http.shutdown()
            server.http.server_close()
            thread.join()

    return serve


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def now(self) -> float:
        return self.time


def client(url: str, clock: Clock, **changes: Any) -> Endpoint:
    given = {"per_minute": 1e9, "retries": 3, "timeout": 60.0, **changes}
    return Endpoint(url, "big", 12, sleep=clock.sleep, now=clock.now, **given)


@pytest.mark.parametrize(("given", "allowed"), [("7", 7.0), ("0.5", 0.5)])
def test_the_limit_on_requests_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, given: str, allowed: float):
    assert Endpoint("http://localhost:1/v1", "m").per_minute == 60
    monkeypatch.setenv("LOWRES_BETA_PER_MINUTE", given)
    assert Endpoint("http://localhost:1/v1", "m").per_minute == allowed


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "often", ""])
def test_a_limit_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setenv("LOWRES_BETA_PER_MINUTE", given)
    with pytest.raises(InputError, match="LOWRES_BETA_PER_MINUTE must be a number above 0"):
        Endpoint("http://localhost:1/v1", "m")


def asked(text: str = "why?") -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_an_endpoint_is_asked_in_the_known_form(serving: Any):
    with serving(said("Because. So the answer is: red")) as server:
        found = client(server.url, Clock()).complete(asked(), seed=4)
        client(f"{server.url}/chat/completions", Clock()).complete(asked())
    assert (found.text, found.prompt_tokens, found.new_tokens, found.cut) == (
        "Because. So the answer is: red",
        7,
        3,
        False,
    )
    assert server.bodies[0] == {"model": "big", "messages": asked(), "temperature": 0.0, "max_tokens": 12, "seed": 4}
    assert [sent["path"] for sent in server.headers] == ["/v1/chat/completions"] * 2
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_without_a_key_none_is_sent(serving: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(KEY)
    with serving(said("x")) as server:
        client(server.url, Clock()).complete(asked())
    assert "Authorization" not in server.headers[0]


def test_an_endpoint_that_is_busy_is_waited_for(serving: Any):
    soon = formatdate(time.time() + 40, usegmt=True)
    script = [(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": soon}, b""), (500, {}, b""), said("x")]
    with serving(*script) as server:
        clock = Clock()
        assert client(server.url, clock).complete(asked()).text == "x"
    assert clock.slept[0] == 7
    assert 30 < clock.slept[1] <= 41
    assert clock.slept[2] == 4  # the third pause of a backoff of one second


def test_no_pause_is_longer_than_the_limit(serving: Any):
    with serving((429, {"Retry-After": "1e9"}, b""), (429, {"Retry-After": "soon"}, b""), said("x")) as server:
        clock = Clock()
        client(server.url, clock).complete(asked())
    assert clock.slept == [endpoint.LONGEST_WAIT, 2]


def test_requests_keep_to_their_rate(serving: Any):
    with serving(said("x")) as server:
        clock = Clock()
        there = client(server.url, clock, per_minute=30)
        for _ in range(3):
            there.complete(asked())
    assert clock.slept == [2, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>busy</html>", "not JSON: <html>busy</html>"),
        (b'{"error": "overloaded"}', "no choices in the answer"),
        (b'{"choices": []}', "no choices in the answer"),
        (b"[" * 100_000, "not JSON"),
        (b'{"choices": [{"message": {"content": 3}}]}', "no text"),
    ],
)
def test_a_malformed_answer_is_asked_for_again_and_then_told(serving: Any, content: bytes, message: str):
    with serving((200, {}, content)) as server:
        with pytest.raises(EndpointError, match="in 4 tries") as error:
            client(server.url, Clock()).complete(asked())
        assert len(server.bodies) == 4
    assert message in str(error.value)


def test_a_refused_request_is_not_repeated(serving: Any):
    echo = f"no such model; your key {SECRET} is fine".encode()
    for status, message in ((404, "HTTP 404: no such model"), (401, f"is the right key in {KEY}"), (302, "HTTP 302")):
        with serving((status, {"Location": "http://127.0.0.1:1/"}, echo)) as server:
            with pytest.raises(EndpointError, match=message) as error:
                client(server.url, Clock()).complete(asked())
            assert len(server.bodies) == 1
        assert SECRET not in str(error.value)


def test_nobody_there_and_nobody_answering(serving: Any):
    with serving(said("x")) as server:
        url = server.url
    with pytest.raises(EndpointError, match="refused"):
        client(url, Clock()).complete(asked())
    with pytest.raises(EndpointError, match="in 4 tries"):
        client("http://not..a.host", Clock()).complete(asked())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EndpointError, match="timed out"):
            client(url, Clock(), timeout=0.05, retries=1).complete(asked())


def test_a_key_that_cannot_be_one_is_refused_unseen(serving: Any, monkeypatch: pytest.MonkeyPatch):
    for bad in ("sk-a\nb", "sk-a b", "sk-ä"):
        monkeypatch.setenv(KEY, bad)
        with serving(said("x")) as server, pytest.raises(InputError, match=f"{KEY} holds something") as error:
            client(server.url, Clock()).complete(asked())
        assert "sk-" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:80", "ftp://host/v1", "http://", "http://host:port/", "https://me:pw@host/v1", "http://h/?key=pw"],
)
def test_a_bad_address_is_refused_and_no_password_repeated(url: str, task: str):
    with pytest.raises(InputError) as error:
        Endpoint(url, "big")
    assert "pw" not in str(error.value)
    assert not url or Request("big", task, url=url).problems()


def writing_to(server: Server, prompt: ReasoningPrompt | None, **changes: Any) -> EndpointWriter:
    assert prompt is not None
    return EndpointWriter(client(server.url, Clock(), **changes), prompt, Sampling())


def test_an_endpoint_down_in_the_middle_keeps_what_is_written(
    tmp_path: Path, serving: Any, request_of: Callable[..., Request]
):
    with serving(said("Clay. So the answer is: red"), said("Sand. So the answer is: blue"), (500, {}, b"")) as server:
        request = request_of(model="big", url=server.url)
        with pytest.raises(InputError, match=r"HTTP 500\. 2 of 5 rationales are kept in .*goes on") as error:
            write(request, examples(5), tmp_path, progress=False, writer=writing_to(server, request.prompt()))
        server.script[:] = [said("Grass. So the answer is: green")]
        server.bodies.clear()
        path = write(request, examples(5), tmp_path, progress=False, writer=writing_to(server, request.prompt()))
        assert len(server.bodies) == 3
    rows = written.read(path)
    assert [row.answer for row in rows.values()] == ["red", "blue", "green", "green", "green"]
    assert rows["item/0"].prompt_tokens == 7
    everything = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert SECRET not in everything + str(error.value) + repr(error.value)
    assert SECRET not in repr(writing_to(server, request.prompt())) + json.dumps(request.identity())


def test_empty_and_cut_answers_are_kept_as_what_they_are(
    tmp_path: Path, serving: Any, request_of: Callable[..., Request]
):
    with serving(said(""), said(None), said("The stone is of", "length")) as server:
        request = request_of(model="big", url=server.url)
        path = write(request, examples(3), tmp_path, progress=False, writer=writing_to(server, request.prompt()))
    rows = list(written.read(path).values())
    assert [(row.text, row.truncated) for row in rows] == [("", False), ("", False), ("The stone is of", True)]
    assert not rows[0].answer


def test_an_endpoint_samples_paths(serving: Any, request_of: Callable[..., Request]):
    with serving(said("So the answer is: a"), said("So the answer is: b"), said("So the answer is: c")) as server:
        prompt = request_of().prompt()
        assert prompt is not None
        draft = EndpointWriter(client(server.url, Clock()), prompt, Sampling(2, 0.5)).drafts(examples(1))[0]
    assert (draft.parsed.answer, draft.samples) == ("a", ("b", "c"))
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.5, 0.5]
    assert server.bodies[1]["seed"] != server.bodies[2]["seed"]

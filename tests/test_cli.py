"""The command line: what each command calls, what it refuses, and with which exit code it ends.

The study is a small one made up here, and what the commands call is replaced: only the command line is tested.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny

from lowres import cli
from lowres.elsewhere import OtherShards, Shard
from lowres.params import InputError, ParameterRow, parameter
from lowres.tuners import tuner_names


@dataclass(frozen=True)
class Params:
    tier: str = parameter("laptop", "how much is run", choices=("smoke", "laptop"))
    seeds: tuple[int, ...] | None = parameter(
        None, "random seeds", low=0, tiers={"smoke": (0,), "laptop": (0, 1, 2, 3, 4)}
    )
    rate: float = parameter(1e-4, "learning rate", above=0)
    note: str | None = parameter(None, "a remark")


@dataclass(frozen=True)
class OtherParams:
    tier: str = parameter("laptop", "how much is run", choices=("smoke", "laptop"))


class BookError(RuntimeError):
    """Stands for the one of lowres.book."""


class World:
    """What the commands call; every call is kept in `calls`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.records = [SimpleNamespace(key="a", status="done", error="")]
        self.error: BaseException | None = None
        self.before: Any = None
        self.agree = self.healthy = True
        self.remembered = False
        self.shard: Path | None = Path("results/tell/2026-11-30-1.parquet")

    def note(self, *call: object) -> None:
        self.calls.append(call)
        if self.error:
            raise self.error

    def execute(self, study: Any, params: object, ledger: object, **how: Any) -> Any:
        assert set(how) == {"workers", "fresh", "progress", "on"}
        on = how["on"]
        self.note("run", study.trials(params), ledger, how["workers"], how["fresh"], *([on] if on else []))
        if on:
            raise OtherShards(on, self.records, 3)
        return self.records

    def remember(self, *_: object) -> None:
        self.remembered = True

    def make(self, parameters: object, *, studies: object = None) -> Path:
        self.note("make", parameters, studies)
        return Path("_build/html/index.html")

    def modules(self) -> dict[str, dict[str, Any]]:
        studies = {
            "tell": SimpleNamespace(Params=Params, TITLE="Few tokens", trials=lambda params: [params] * 3),
            "forgetting": SimpleNamespace(Params=OtherParams, TITLE="What is lost", trials=lambda params: [params]),
        }
        return {
            "registry": {
                "study_names": lambda: tuple(studies),
                "load": studies.__getitem__,
                "left_out": lambda study, params: [],
                "to_prepare": lambda study, params: [],
                "execute": self.execute,
                "planned": lambda study, params, ledger: study.trials(params),
            },
            "engine": {
                "finished": SimpleNamespace(recall=lambda *_: self.before, remember=self.remember),
                "table": lambda records: f"table of {len(records)}",
                "plan": lambda trials, ledger, measure, cards: f"plan of {trials} {ledger}{', measured' * measure}",
                "verify": lambda study, sample, ledger: (f"verify {study} {sample} {ledger}", self.agree),
            },
            "ledger": {
                "Ledger": lambda folder=None, writes=True: f"ledger {folder}",
                "describe": lambda ledger, study: f"{ledger}, study {study}",
                "merge": lambda ledger, folders: f"{ledger} from {', '.join(map(str, folders))}",
            },
            "ledger.published": {"publish": lambda ledger, study: self.shard},
            "book": {"make": self.make, "BookError": BookError},
            "cli.doctor": {"examine": lambda: ("all versions", self.healthy)},
        }


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for name, contents in world.modules().items():
        module = ModuleType(f"lowres.{name}")
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        parent, _, last = module.__name__.rpartition(".")
        monkeypatch.setattr(sys.modules[parent], last, module, raising=False)
    return world


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said on stderr when a command line is refused, and nothing on stdout."""
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("lowres: ")
    return said.err.removeprefix("lowres: ").rstrip()


# --- what the commands do --------------------------------------------------------------------------------------------


def test_run_passes_resolved_parameters_and_prints_the_table(world: World, capsys: Any):
    assert cli.main(["run", "tell", "-p", "tier=smoke", "--parameter", "rate=1e-3", "--workers", "2", "--fresh"]) == 0
    assert world.calls == [("run", [Params("smoke", (0,), 1e-3)] * 3, "ledger None", 2, True)]
    assert capsys.readouterr().out == "table of 1\n"


def test_a_shard_ends_well_and_says_what_it_waits_for(world: World, capsys: Any):
    assert cli.main(["run", "tell", "--shard", "1/4"]) == 0
    assert world.calls[0][-1] == Shard(1, 4)
    said = capsys.readouterr()
    assert said.out == "table of 1\n"
    assert "This ledger has 1 of its 4 trials; the other 3 belong to other shards" in said.err
    assert not world.remembered  # as a finished run


def test_a_finished_run_is_told_without_running(world: World, capsys: Any):
    world.before = (world.records, ["a remark"])
    assert cli.main(["run", "tell"]) == 0
    assert capsys.readouterr().out == "table of 1\na remark\n"
    assert world.calls == []
    assert cli.main(["run", "tell", "--fresh"]) == 0
    assert len(world.calls) == 1
    assert world.remembered


def test_ledgers_are_merged_into_the_named_one(world: World, capsys: Any):
    assert cli.main(["ledger", "merge", "a", "b", "--ledger", "there"]) == 0
    assert capsys.readouterr().out == "ledger there from a, b\n"
    assert "needs the folders" in refused(capsys, "ledger", "merge")
    assert 'unexpected argument "a"' in refused(capsys, "ledger", "tell", "a")


def test_a_failed_trial_is_told_and_the_exit_code_is_1(world: World, capsys: Any):
    world.records.append(SimpleNamespace(key="b", status="failed", error="ValueError: bad\nmore"))
    assert cli.main(["run", "tell"]) == 1
    said = capsys.readouterr()
    assert said.out == "table of 2\n"
    assert said.err == "lowres: 1 of 2 trials failed; the others are kept\n  - b: ValueError: bad\n"


def test_plan_and_the_ledger_commands_use_the_named_ledger(world: World, capsys: Any):
    assert cli.main(["plan", "tell", "-pseeds=[4]", "--ledger", "there"]) == 0
    assert cli.main(["plan", "tell", "--measure"]) == 0
    assert cli.main(["ledger", "--ledger=there"]) == 0
    assert cli.main(["ledger", "tell"]) == 0
    assert cli.main(["publish", "tell"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"plan of {[Params('laptop', (4,))] * 3} ledger there",
        f"plan of {[Params('laptop', (0, 1, 2, 3, 4))] * 3} ledger None, measured",
        "ledger there, study None",
        "ledger None, study tell",
        "published: results/tell/2026-11-30-1.parquet",
    ]
    world.shard = None
    assert cli.main(["publish", "tell"]) == 0
    assert capsys.readouterr().out == "nothing new: all that the ledger holds is published\n"


@pytest.mark.parametrize(("agree", "code"), [(True, 0), (False, 1)])
def test_verify_ends_with_whether_all_agree(world: World, capsys: Any, agree: bool, code: int):
    world.agree = agree
    assert cli.main(["verify", "tell", "--sample", "5"]) == code
    assert capsys.readouterr().out == "verify tell 5 ledger None\n"


@pytest.mark.parametrize(("healthy", "code"), [(True, 0), (False, 1)])
def test_doctor_ends_with_whether_something_is_missing(world: World, capsys: Any, healthy: bool, code: int):
    world.healthy = healthy
    assert cli.main(["doctor"]) == code
    assert capsys.readouterr().out == "all versions\n"


def test_book_makes_all_studies_or_the_named_ones(world: World, capsys: Any):
    assert cli.main(["book", "--tier", "smoke"]) == 0
    assert cli.main(["book", "tell", "-p", "seeds=[1, 2]", "-p", "note=none"]) == 0
    assert world.calls == [("make", {"tier": "smoke"}, None), ("make", {"seeds": [1, 2], "note": None}, ["tell"])]
    assert capsys.readouterr().out == "the book: _build/html/index.html\n" * 2


def test_a_failed_notebook_is_told_and_the_exit_code_is_1(world: World, capsys: Any):
    world.error = BookError("01_tell.ipynb failed in code cell 3")
    assert cli.main(["book"]) == 1
    assert capsys.readouterr().err == "lowres: 01_tell.ipynb failed in code cell 3\n"


def test_params_lists_the_studies(world: World, capsys: Any):
    assert cli.main(["params"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "study       title",
        "----------  " + "-" * 88,
        "tell        Few tokens",
        "forgetting  What is lost",
    ]


def test_params_shows_a_table_with_a_default_per_tier(world: World, capsys: Any):
    assert cli.main(["params", "tell"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Few tokens"
    assert [line.rstrip() for line in lines[4:9]] == [
        'tier   str        "laptop"                 how much is run (one of "smoke", "laptop")',
        "seeds  list[int]  smoke   [0]              random seeds (at least 0)",
        "                  laptop  [0, 1, 2, 3, 4]",
        "rate   float      0.0001                   learning rate (above 0)",
        "note   str        none                     a remark",
    ]


def test_a_table_keeps_to_its_width_and_loses_no_word():
    words = [f"word{number}" for number in range(60)]
    values = tuple(range(100, 140))
    rows = [
        ParameterRow("a_rather_long_name_for_it", "list[float] | None", None, {"smoke": (1,), "gpu": values}, "short"),
        ParameterRow("text", "str", "x" * 70, {}, " ".join(words)),
    ]
    table = cli.parameter_table(rows)
    assert max(map(len, table.splitlines())) <= 100
    assert all(word in table.split() for word in words)
    assert all(str(value) in table for value in values)


# --- what they refuse ------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(world: World, capsys: Any):
    said = refused(capsys, "run", "tell", "-p", "teir=smoke", "-p", "seeds=0", "--workers", "0", "--wokers=3", "left")
    assert said.splitlines() == [
        "5 problems:",
        '  - unknown option --wokers (did you mean "--workers"?)',
        '  - unexpected argument "left"',
        '  - unknown parameter "teir" (did you mean "tier"?)',
        "  - seeds must be a list of integers: write seeds=[0]",
        '  - --workers must be an integer of at least 1, not "0"',
    ]
    assert world.calls == []


@pytest.mark.parametrize("command", ["run", "plan", "publish", "verify", "ledger", "params", "book"])
def test_an_unknown_study_is_refused_by_every_command(world: World, capsys: Any, command: str):
    said = refused(capsys, command, "tel")
    assert said == 'unknown study "tel" (did you mean "tell"?); known: tell, forgetting'


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_unknown_option_is_refused_by_every_command(world: World, capsys: Any, command: str):
    needed = {"study": "tell", "models": "world-s", "folder": "submissions", "--task": "--task=boolq"}
    study = [needed[name] for name in cli.COMMANDS[command].arguments if name in needed]
    assert refused(capsys, command, *study, "--xyz=very") == "unknown option --xyz"
    assert world.calls == []


@pytest.mark.parametrize("flag", ["--work=2", "--param=rate=1", "--led=x", "--fres"])
def test_options_cannot_be_abbreviated(world: World, capsys: Any, flag: str):
    assert refused(capsys, "run", "tell", flag).startswith(f"unknown option {flag.partition('=')[0]}")


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
def test_counts_are_whole_and_positive(world: World, capsys: Any, number: str):
    problem = f'must be an integer of at least 1, not "{number}"'
    assert refused(capsys, "run", "tell", f"--workers={number}") == f"--workers {problem}"
    assert refused(capsys, "verify", "tell", f"--sample={number}") == f"--sample {problem}"


def test_a_missing_study_an_unknown_command_and_no_command_are_refused(world: World, capsys: Any):
    assert refused(capsys, "run") == "the following arguments are required: STUDY; see lowres run --help"
    assert refused(capsys, "rnu").startswith('unknown command "rnu" (did you mean "run"?); known: run, plan')
    assert cli.main([]) == 2
    assert "usage: lowres" in capsys.readouterr().err


def test_a_parameter_of_the_book_must_be_one_of_every_chosen_study(world: World, capsys: Any):
    assert refused(capsys, "book", "-p", "seeds=[1]") == 'unknown parameter "seeds" (known: tier)'
    assert refused(capsys, "book", "--tier", "smoke", "-p", "tier=laptop") == "tier is given more than once"
    assert refused(capsys, "book", "--tier=huge") == 'tier must be one of "smoke", "laptop", not "huge"'
    assert world.calls == []


# --- what may happen on the way --------------------------------------------------------------------------------------


def test_wrong_input_that_shows_only_later_is_told_alike(world: World, capsys: Any):
    world.error = InputError("task_tokens is 10, but the task has 5", "and more")
    assert refused(capsys, "run", "tell").startswith("2 problems:\n  - task_tokens is 10")


def test_an_interrupt_says_that_finished_trials_are_kept(world: World, capsys: Any):
    world.error = KeyboardInterrupt()
    assert cli.main(["run", "tell"]) == 130
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "finished trials are kept" in said


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_disk_or_a_closed_folder_is_one_line(world: World, capsys: Any, code: int):
    world.error = OSError(code, "The reason", "/the/file")
    assert cli.main(["run", "tell"]) == 1
    assert capsys.readouterr().err == "lowres: The reason: /the/file\n"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone", "x"), ZeroDivisionError()])
def test_a_mistake_of_ours_is_not_hidden(world: World, error: Exception):
    world.error = error
    with pytest.raises(type(error)):
        cli.main(["run", "tell"])


# --- in a process of its own -----------------------------------------------------------------------------------------

HEAVY = ("torch", "transformers", "numpy", "pandas", "matplotlib", "pyarrow", "datasets", "peft", "papermill")


def loaded_by(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after running some code."""
    program = f"import sys\n{code}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["params", "tell"],
        ["run", "tell", "-p", "teir=smoke", "-p", "seeds=0", "--workers", "no"],
        ["plan", "tell", "-p", "tier=huge"],
        ["book", "--tier", "huge"],
    ],
)
def test_help_and_refusals_load_nothing_heavy(arguments: list[str]):
    code = f"from lowres.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    pass"
    assert loaded_by(code) == []


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import lowres") == []


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "lowres"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("usage: lowres [-h] [--version] COMMAND")
    wrong = subprocess.run([*command, "rnu"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("lowres: unknown command")


def test_a_folder_that_is_gone_and_a_name_that_no_terminal_can_show(tmp_path: Path):
    def leave() -> None:
        os.rmdir(tmp_path / "gone")

    (tmp_path / "gone").mkdir()
    command = tiny.python("-m", "lowres", "ledger", "--ledger")
    how: dict[str, Any] = {"capture_output": True, "check": False}
    there = {**os.environ, "PYTHONPATH": str(tiny.ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*command, tmp_path], cwd=tmp_path / "gone", preexec_fn=leave, env=there, **how)
    assert (done.returncode, done.stderr.count(b"\n")) == (cli.REFUSED, 1), done.stderr
    done = subprocess.run([*command, os.fsencode(tmp_path) + b"/r\xe9"], cwd=tmp_path, env=there, **how)
    assert (done.returncode, done.stderr) == (cli.OK, b"")
    assert b"r\\udce9" in done.stdout


def test_a_reader_that_leaves_early_is_no_error():
    program = """import sys; from lowres import cli
cli._named_study, cli.study_table = lambda _: None, lambda *_: "word " * 200_000
sys.exit(cli.main(["params"]))"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_tuners_are_counted_on_any_configuration(capsys: Any, chat_folder: Path):
    config = str(chat_folder / "config.json")
    assert cli.main(["tuners", "loreft", "--model", config, "-p", "rank=2", "-p", "layers=1"]) == cli.OK
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["loreft", "130", "0.4141", "%"]
    assert "  layers = 1" in said
    assert cli.main(["tuners", "--model", config]) == cli.OK
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(tuner_names())


def test_options_of_a_tuner_need_its_name(capsys: Any):
    assert "name it: lowres tuners TUNER -p" in refused(capsys, "tuners", "-p", "rank=2")
    assert "tuner 'lora' has no option rnk; it has: rank" in refused(capsys, "tuners", "lora", "-p", "rnk=2")

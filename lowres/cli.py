"""The `lowres` command: run studies, look at what is there, make the book.

    lowres params tell
    lowres plan tell -p tier=smoke
    lowres run tell -p 'task_tokens=[1000, 10000]' -p 'seeds=[0, 1, 2]' --workers 2
    lowres run tell --shard 3/8

Everything heavy is imported inside the command that needs it, after the input was found to be right.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from lowres.params import (
    InputError,
    ParameterRow,
    describe,
    did_you_mean,
    from_mapping,
    from_strings,
    literal,
    read_assignments,
    resolve,
)
from lowres.places import RESULTS, ledger_at

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
WIDTH = 100
CAMPAIGN = RESULTS / "campaign.toml"
_MACHINE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_EPILOG = """\
examples:
  lowres params tell                                  what can be set, and to what
  lowres plan tell -p tier=smoke                      what would run, and for how long
  lowres run tell -p 'seeds=[0, 1, 2]' --workers 2    run it; what was run before is not run again
  lowres book --tier smoke                            execute the notebooks and build the pages

Values are written as in the notebooks: 3, 1e-4, true, text, "text", [1, 2]. Quote lists for your shell.
exit codes: 0 all is well, 1 a trial or notebook failed, 2 the input is wrong, 130 interrupted.
"""


@dataclass(frozen=True)
class Command:
    """One subcommand: what it does, in words and in code, and which arguments of `_ARGUMENTS` it takes."""

    act: Callable[[argparse.Namespace], int]
    help: str
    arguments: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors that a user can put right are told in plain words."""
    for name in ("stdout", "stderr"):  # closed by `>&-`, which leaves nothing to write to
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the life of the process
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, so that a closed pipe is noticed inside the try
        return code
    except InputError as error:
        return _say(str(error), REFUSED)
    except KeyboardInterrupt:
        return _say("interrupted: finished trials are kept, and the same command goes on from there", INTERRUPTED)
    except BrokenPipeError:  # `lowres params tell | head`: nobody reads on, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        return _say(": ".join(str(part) for part in (error.strerror, error.filename) if part), FAILED)


# --- commands --------------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    (study, params), workers, where = _checked(options, _study_and_params, _workers, _where)
    from lowres import engine, studies
    from lowres.engine import finished
    from lowres.ledger import Ledger

    ledger = Ledger(options.ledger)
    before = None if options.fresh else finished.recall(options.study, params, ledger)
    if before:
        records, remarks = before
    else:
        remarks = studies.left_out(study, params)
        how = {"workers": workers, "fresh": options.fresh, "progress": sys.stderr.isatty()}
        records, whole = _executed(where, lambda on: studies.execute(study, params, ledger, **how, on=on))
        if whole and not options.engine:  # records of an engine have the keys of its machines
            finished.remember(options.study, params, records, remarks)
    print("\n".join([engine.table(records), *remarks]))
    failed = [record for record in records if record.status == "failed"]
    if not failed:
        return OK
    reasons = [f"\n  - {record.key}: {record.error.partition(chr(10))[0]}" for record in failed]
    return _say(f"{len(failed)} of {len(records)} trials failed; the others are kept{''.join(reasons)}", FAILED)


def _executed(where: Any, execute: Callable[[Any], list[Any]]) -> tuple[list[Any], bool]:
    """Records, and whether they are all of the run: a shard may have to wait for those of others, and says so."""
    from lowres.elsewhere import OtherShards

    try:
        with _opened(where) as on:
            return execute(on), True
    except OtherShards as waiting:
        _say(str(waiting), OK)
        return waiting.records, False


def _plan(options: argparse.Namespace) -> int:
    ((study, params),) = _checked(options, _study_and_params)
    from lowres import engine, studies
    from lowres.ledger import Ledger

    ledger = Ledger(options.ledger)
    own = getattr(study, "plan", None)  # a study of models that nobody should load for a plan counts by itself
    if own:
        planned = own(params, ledger)
    else:
        planned = engine.plan(studies.planned(study, params, ledger), ledger, options.measure)
    print("\n".join([planned, *studies.left_out(study, params)]))
    return OK


def _params(options: argparse.Namespace) -> int:
    (study,) = _checked(options, _named_study)
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)
    if study is None:
        print(study_table(_titles(), width))
        print("\nThe parameters of one: lowres params STUDY")
    else:
        print(f"{study.TITLE}\n\n{parameter_table(describe(study.Params), width)}")
        print(f"\nTo set some: lowres run {options.study} -p name=value -p 'name=[value, value]'")
    return OK


def _tuners(options: argparse.Namespace) -> int:
    (chosen,) = _checked(options, _chosen_tuners)
    from lowres import counting

    print(counting.table(options.model, counting.count(options.model, chosen), options.tuner is not None))
    return OK


def _ledger(options: argparse.Namespace) -> int:
    (folders,) = _checked(options, _merged_folders)
    from lowres import ledger

    kept = ledger.Ledger(options.ledger, writes=bool(folders))
    print(ledger.merge(kept, folders) if folders else ledger.describe(kept, options.study))
    return OK


def _publish(options: argparse.Namespace) -> int:
    _checked(options, _named_study)
    from lowres import published
    from lowres.ledger import Ledger

    shard = published.publish(Ledger(options.ledger), options.study)
    print(f"published: {shard}" if shard else "nothing new: all that the ledger holds is published")
    return OK


def _campaign(options: argparse.Namespace) -> int:
    workers, where = _checked(options, _workers, _where)
    from lowres.engine import campaign
    from lowres.ledger import Ledger

    lines, ledger = campaign.chosen(campaign.read(options.file), options.lines), Ledger(options.ledger)
    if not options.show:
        with _opened(where) as on:
            campaign.run(lines, ledger, workers=workers, progress=sys.stderr.isatty(), on=on)
    print(campaign.table(lines, ledger))
    if options.shard is not None:
        print(
            f"Shard {where} is through: what is left belongs to others, or follows from what they have not tuned yet."
        )
    return OK


def _rules(options: argparse.Namespace) -> int:
    (study,) = _checked(options, _named_study)
    from lowres import rulebook

    print(rulebook.text([study] if study else None))
    return OK


def _verdicts(options: argparse.Namespace) -> int:
    (study,) = _checked(options, _named_study)
    from lowres import rulebook

    found = rulebook.decided([study] if study else None)
    print(rulebook.as_json(found) if options.json else rulebook.table(found))
    return OK


def _verify(options: argparse.Namespace) -> int:
    _, sample = _checked(options, _named_study, lambda given: _count("--sample", given.sample))
    from lowres import engine
    from lowres.ledger import Ledger

    text, agree = engine.verify(options.study, sample, Ledger(options.ledger))
    print(text)
    return OK if agree else FAILED


def _book(options: argparse.Namespace) -> int:
    (parameters,) = _checked(options, _book_parameters)
    from lowres import book

    try:
        page = book.make(parameters, studies=options.studies or None)
    except book.BookError as error:
        return _say(str(error), FAILED)
    print(f"the book: {page}")
    return OK


def _pretrain(options: argparse.Namespace) -> int:
    (names,) = _checked(options, _world_models)
    from lowres import models
    from lowres.levels import levels_table

    with_seconds = [(name, *models.pretrained(name)) for name in names]
    print(levels_table(with_seconds))
    if options.publish:
        from lowres.world import WorldModel, parse, weights

        for name, folder, _ in with_seconds:
            model = parse(name)
            assert isinstance(model, WorldModel)
            print(f"published: {weights.publish(model, models.fingerprint(name), folder)}")
    return OK


def _grade(options: argparse.Namespace) -> int:
    workers, seed = _checked(
        options, lambda given: _count("--workers", given.workers), lambda given: _count("--seed", given.seed)
    )
    from lowres.course import MASTERS, grading
    from lowres.ledger import write_atomically

    marks, summary = grading.grade(options.folder, options.masters or MASTERS, seed, workers, options.roster)
    write_atomically(options.out.resolve(), marks.encode())
    print(f"{summary}: {options.out}")
    return OK


def _advise(options: argparse.Namespace) -> int:
    task, keep = _checked(options, _own_task, _keep)
    from lowres import advice
    from lowres.ledger import Ledger

    asked = advice.Asked(task, options.model or "", keep, options.rationales == "yes")
    print(advice.advise(asked, Ledger(options.ledger)))
    return OK


def _doctor(options: argparse.Namespace) -> int:
    _checked(options)
    from lowres import doctor

    own = options.model or options.task
    text, healthy = doctor.of_users_own(options.model, options.task) if own else doctor.examine()
    print(text)
    return OK if healthy else FAILED


COMMANDS = {
    "run": Command(
        _run,
        "run the trials of a study that were not run before, and show the table of all",
        ("study", "--parameter", "--workers", "--shard", "--engine", "--fresh", "--ledger"),
    ),
    "plan": Command(
        _plan,
        "show the trials, their tokens and the minutes that they would take by records of their models",
        ("study", "--parameter", "--measure", "--ledger"),
    ),
    "params": Command(_params, "list the studies, or the parameters of one", ("[study]",)),
    "tuners": Command(
        _tuners,
        "show how many parameters each tuner trains on a model; no weights are loaded",
        ("[tuner]", "--model", "--parameter"),
    ),
    "ledger": Command(
        _ledger,
        "show which records there are, stale and failed ones too; `lowres ledger merge DIR...` copies those of others",
        ("[study]", "folders", "--ledger"),
    ),
    "publish": Command(
        _publish, "write the records of a study to results/, where its page draws them from", ("study", "--ledger")
    ),
    "rules": Command(_rules, "show the rules of the second edition, by claim and column", ("[study]",)),
    "verdicts": Command(
        _verdicts,
        "decide the claims from the published records by the rules of the second edition",
        ("[study]", "--json"),
    ),
    "campaign": Command(
        _campaign,
        "run the lines of a campaign in their order, and show how far each is; any number of processes may share it",
        ("lines", "--file", "--show", "--workers", "--shard", "--engine", "--ledger"),
    ),
    "verify": Command(
        _verify,
        "run some published trials again, drawn at random, and compare",
        ("study", "--sample", "--ledger"),
    ),
    "book": Command(
        _book, "execute the notebooks whose inputs changed, and build the pages", ("studies", "--tier", "--parameter")
    ),
    "pretrain": Command(
        _pretrain, "pretrain world models, or find them in the cache, and show what they know", ("models", "--publish")
    ),
    "advise": Command(
        _advise,
        "say which recipe and tuner the guide of the crossing takes on a task, and what that rests on",
        ("--task", "[--model]", "--keep", "--rationales", "--ledger"),
    ),
    "doctor": Command(
        _doctor,
        "show versions, devices, data and model files, and how to get what is missing; or look at a model and a task",
        ("[--model]", "[--task]"),
    ),
    "grade": Command(
        _grade,
        "mark a folder of coursework, each submission contained; points per test, one row per student",
        ("folder", "--out", "--roster", "--seed", "--masters", "--workers"),
    ),
}

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "study": {"metavar": "STUDY", "help": "name of a study; `lowres params` lists them"},
    "[study]": {"metavar": "STUDY", "nargs": "?", "help": "name of a study; all when left out"},
    "folders": {"metavar": "DIR", "nargs": "*", "type": Path, "help": "after `merge`: ledgers of other machines"},
    "studies": {"metavar": "STUDY", "nargs": "*", "help": "names of studies; all when left out"},
    "[tuner]": {"metavar": "TUNER", "nargs": "?", "help": "name of a tuner, whose options -p sets; all when left out"},
    "--model": {
        "metavar": "MODEL",
        "default": "smollm2-135m-instruct",
        "help": "a model, a folder, a config.json, a Hub id, or llama-7b, llama-13b, llama-3-8b, roberta-base, -large",
    },
    "[--model]": {"metavar": "MODEL", "help": "look at this model: a folder or a Hub id"},
    "[--task]": {"metavar": "TASK", "help": "look at this task: jsonl:PATH or hub:ID"},
    "--task": {
        "metavar": "TASK",
        "required": True,
        "help": "jsonl:PATH, another FILE of rows, hub:ID or a task's name",
    },
    "--keep": {"metavar": "X", "default": "0.5", "help": "how much old knowledge counts beside a gain (default 0.5)"},
    "--rationales": {"default": "no", "choices": ("yes", "no"), "help": "whether rationales can be had (default no)"},
    "models": {"metavar": "MODEL", "nargs": "+", "help": "names like world-s, world-m-encdec, world-m-instruct~0.60@3"},
    "--parameter": {
        "metavar": "NAME=VALUE",
        "action": "append",
        "default": [],
        "help": "set a parameter; may be given again for another one",
    },
    "--tier": {"help": "how much to run: the same as -p tier=TIER"},
    "--workers": {"metavar": "N", "default": "1", "help": "processes that run trials side by side (default 1)"},
    "--shard": {
        "metavar": "I/N",
        "help": "run one of N parts, counted from 0, without any locks; every part needs the same command",
    },
    "--engine": {
        "metavar": "parsl:FILE",
        "help": "run on the workers of a Parsl config: a file, or one of laptop, gpus, slurm, kubernetes",
    },
    "--fresh": {"action": "store_true", "help": "run every trial again, also those that are in the ledger"},
    "--measure": {"action": "store_true", "help": "time some updates and items here instead of going by records"},
    "--ledger": {
        "metavar": "DIR",
        "type": Path,
        "help": "folder of the records (default: $LOWRES_LEDGER, or the usual)",
    },
    "lines": {"metavar": "LINE", "nargs": "*", "help": "names of lines; all when left out"},
    "--file": {
        "metavar": "FILE",
        "type": Path,
        "default": CAMPAIGN,
        "help": "the campaign (default: results/campaign.toml)",
    },
    "--show": {"action": "store_true", "help": "run nothing, only show"},
    "--publish": {"action": "store_true", "help": "also write their weights to results/weights/, for everybody's use"},
    "--json": {"action": "store_true", "help": "as JSON, with estimates, intervals, seeds and dates"},
    "folder": {"metavar": "FOLDER", "type": Path, "help": "submissions: notebooks, folders or zip files"},
    "--out": {"metavar": "FILE", "type": Path, "default": Path("marks.csv"), "help": "the marks (default: marks.csv)"},
    "--roster": {"metavar": "FILE", "type": Path, "help": "CSV of all students; its columns are kept, in its order"},
    "--seed": {
        "metavar": "N",
        "default": "20261",
        "help": "seed of the tests, another than the students' (default 20261)",
    },
    "--masters": {"metavar": "DIR", "type": Path, "help": "folder of the assignments, if they are not the book's"},
    "--sample": {"metavar": "N", "default": "3", "help": "how many trials to run again (default 3)"},
}


# --- from the command line to checked values -------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Flags are written out in full, and errors are raised like any other wrong input."""

    def __init__(self, **settings: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **settings)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"lowres {version('lowres')}")
        except PackageNotFoundError:
            print("lowres (not installed: run from its folder)")
        parser.exit()


def _parser() -> _Parser:
    parser = _Parser(prog="lowres", description="Run and read the studies of the book.", epilog=_EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.")
        one.set_defaults(command=command)
        for argument in command.arguments:
            _add_argument(one, argument)
    return parser


def _add_argument(parser: _Parser, argument: str) -> None:
    names = ["-p", argument] if argument == "--parameter" else [argument.strip("[]")]
    parser.add_argument(*names, **_ARGUMENTS[argument])


def _dispatch(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return REFUSED
    if not given[0].startswith("-") and given[0] not in COMMANDS:
        raise InputError(
            f'unknown command "{given[0]}"{did_you_mean(given[0], COMMANDS)}; known: {", ".join(COMMANDS)}'
        )
    options, unknown = parser.parse_known_args(given)
    options.unknown = unknown  # told together with whatever else is wrong
    command: Command = options.command
    with ledger_at(getattr(options, "ledger", None)):  # rationales lie beside the records
        return command.act(options)


def _checked(options: argparse.Namespace, *steps: Callable[[argparse.Namespace], Any]) -> list[Any]:
    """What the steps make of the options, or one InputError with all that is wrong with any of them."""
    problems = _unknown_arguments(options)
    results = []
    for step in steps:
        try:
            results.append(step(options))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return results


def _unknown_arguments(options: argparse.Namespace) -> list[str]:
    known = [argument for argument in options.command.arguments if argument.startswith(("--", "[--"))]
    problems = []
    for before, argument in zip(["", *options.unknown], options.unknown, strict=False):
        if argument.startswith("-"):
            flag = argument.partition("=")[0]
            problems.append(f"unknown option {flag}{did_you_mean(flag, known)}")
        elif not before.startswith("-") or "=" in before:  # else it is the value of the unknown option
            problems.append(f'unexpected argument "{argument}"')
    return problems


def _load(name: str) -> ModuleType:
    from lowres import studies

    names = studies.study_names()
    if name not in names:
        raise InputError(f'unknown study "{name}"{did_you_mean(name, names)}; known: {", ".join(names)}')
    return studies.load(name)


def _named_study(options: argparse.Namespace) -> ModuleType | None:
    return None if options.study is None else _load(options.study)


def _merged_folders(options: argparse.Namespace) -> list[Path]:
    """The folders after `lowres ledger merge`; none where records are shown."""
    folders: list[Path] = options.folders
    if options.study == "merge":
        if not folders:
            raise InputError("lowres ledger merge needs the folders to copy from: lowres ledger merge DIR...")
        return folders
    wrong = [f'unexpected argument "{folder}"; to copy records: lowres ledger merge DIR...' for folder in folders]
    if wrong:
        raise InputError(*wrong)
    _named_study(options)
    return []


def _workers(options: argparse.Namespace) -> int:
    return _count("--workers", options.workers)


def _where(options: argparse.Namespace) -> Any:
    """The shard to run, or the file of an engine; None for all trials on this machine."""
    from lowres.elsewhere import engine_file, shard_from

    if options.engine is None:
        return None if options.shard is None else shard_from(options.shard)
    if options.shard is not None or options.workers != "1":
        raise InputError("--engine goes without --shard and --workers: its file says how many workers there are")
    return engine_file(options.engine)


def _opened(where: Any) -> Any:
    """A context that gives what `engine.run` takes as `on`: an engine is started, and stopped at the end."""
    if not isinstance(where, Path):
        return contextlib.nullcontext(where)
    from lowres.engine.cluster import Cluster

    return Cluster(where)


def _study_and_params(options: argparse.Namespace) -> tuple[ModuleType, Any]:
    study = _load(options.study)
    return study, resolve(from_strings(study.Params, options.parameter))


def _chosen_tuners(options: argparse.Namespace) -> list[Any]:
    from lowres import tuners

    if options.tuner is not None:
        return [tuners.from_strings(options.tuner, options.parameter)]
    if options.parameter:
        raise InputError(
            f"-p {options.parameter[0]}: options belong to one tuner, so name it: lowres tuners TUNER -p ..."
        )
    return [tuners.make(name) for name in tuners.tuner_names()]


def _own_task(options: argparse.Namespace) -> str:
    """The task, whose file may be named without its prefix."""
    task: str = options.task
    return f"jsonl:{task}" if ":" not in task and Path(task).exists() else task


def _keep(options: argparse.Namespace) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (keep := float(options.keep)) < math.inf:
            return keep
    raise InputError(f'--keep must be a number of at least 0, not "{options.keep}"')


def _world_models(options: argparse.Namespace) -> list[str]:
    """The named models, each of which must be one of the world."""
    from lowres import models, world

    problems = [
        models.check_name(name) or f'"{name}" is not a world model; known: {", ".join(world.model_names())}'
        for name in options.models
        if models.check_name(name) or not world.is_world_model(name)
    ]
    if problems:
        raise InputError(*problems)
    return list(options.models)


def _count(flag: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f'{flag} must be an integer of at least 1, not "{text}"')
    return int(text)


def _book_parameters(options: argparse.Namespace) -> dict[str, object]:
    """The parameters for the notebooks, each of which must be one of every chosen study."""
    from lowres import studies

    assignments = [*([f"tier={options.tier}"] if options.tier is not None else []), *options.parameter]
    values: dict[str, object] = {}
    problems: list[str] = []
    for name in options.studies or studies.study_names():
        try:
            given = read_assignments(_load(name).Params, assignments)
            from_mapping(_load(name).Params, given)
            values |= given
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


# --- tables ----------------------------------------------------------------------------------------------------------


def study_table(titles: Iterable[tuple[str, str]], width: int = WIDTH) -> str:
    """Names and titles of studies, one below the other."""
    return _columns([("study", "title"), *titles], width, caps=(24,))


def parameter_table(rows: Iterable[ParameterRow], width: int = WIDTH) -> str:
    """Name, type, default and meaning of parameters; where the tier decides, the default has a line per tier."""
    cells = [(row.name, row.type.removesuffix(" | None"), _default(row), row.meaning) for row in rows]
    return _columns([("name", "type", "default", "meaning"), *cells], width, caps=(24, 12, 32))


def _default(row: ParameterRow) -> str:
    if not row.tiers:
        return "none" if row.default is None else literal(row.default)
    longest = max(map(len, row.tiers))
    return "\n".join(f"{tier:<{longest}}  {literal(value)}" for tier, value in row.tiers.items())


def _columns(rows: Sequence[tuple[str, ...]], width: int, caps: tuple[int, ...]) -> str:
    """Rows set in columns as wide as their longest cell, at most `caps`; the last column takes the rest of `width`."""
    longest = [max(len(line) for row in rows for line in row[at].split("\n")) for at in range(len(caps))]
    widths = [min(pair) for pair in zip(longest, caps, strict=True)]
    widths.append(max(24, width - sum(widths) - 2 * len(widths)))
    header, *body = ["\n".join(_wrapped_row(row, widths)) for row in rows]
    return "\n".join([header, "  ".join("-" * each for each in widths), *body])


def _wrapped_row(row: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = itertools.zip_longest(*cells, fillvalue="")
    return ["  ".join(f"{part:<{width}}" for part, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    lines = [textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in text.split("\n")]
    return [part for line in lines for part in line]


def _titles() -> list[tuple[str, str]]:
    from lowres import studies

    return [(name, studies.load(name).TITLE) for name in studies.study_names()]


def _say(message: str, code: int) -> int:
    print(f"lowres: {message}", file=sys.stderr)
    return code

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
import io
import math
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lowres.cli.arguments import CAMPAIGN as CAMPAIGN  # looked for here
from lowres.cli.arguments import COMMANDS, command, parser, unknown
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
from lowres.places import ledger_at
from lowres.texts import aligned

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
WIDTH = 100
_MACHINE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors that a user can put right are told in plain words."""
    for name in ("stdout", "stderr"):  # closed by `>&-`, which leaves nothing to write to
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the life of the process
        elif isinstance(getattr(sys, name), io.TextIOWrapper):
            getattr(sys, name).reconfigure(errors="backslashreplace")  # names in other encodings than the terminal's
    try:
        _insist_on_folder()
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


def _insist_on_folder() -> None:
    """Libraries end the process where the folder that it was started in is gone."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError("the folder that this command was started in is gone: go to one that is there") from error


# --- commands --------------------------------------------------------------------------------------------------------


@command("study", "--parameter", "--workers", "--shard", "--engine", "--fresh", "--ledger")
def _run(options: argparse.Namespace) -> int:
    """Run the trials of a study that were not run before, and show the table of all."""
    (study, params), workers, where = _checked(options, _study_and_params, _count("workers"), _where)
    from lowres import engine, registry
    from lowres.engine import finished
    from lowres.ledger import Ledger

    ledger = Ledger(options.ledger)
    before = None if options.fresh else finished.recall(options.study, params, ledger)
    if before:
        records, remarks = before
    else:
        remarks = registry.left_out(study, params)
        how = {"workers": workers, "fresh": options.fresh, "progress": sys.stderr.isatty()}
        records, whole = _executed(where, lambda on: registry.execute(study, params, ledger, **how, on=on))
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


@command("study", "--parameter", "--measure", "--cards", "--ledger")
def _plan(options: argparse.Namespace) -> int:
    """Show the trials, their tokens and the minutes that they would take by records of their models."""
    ((study, params),) = _checked(options, _study_and_params)
    from lowres import engine, registry
    from lowres.ledger import Ledger
    from lowres.models import hubmodels

    ledger = Ledger(options.ledger)
    with hubmodels.nothing_fetched(sizes_alone=params.tier == "paper"):
        planned = engine.plan(registry.planned(study, params, ledger), ledger, options.measure, options.cards)
        print("\n".join([planned, *registry.to_prepare(study, params), *registry.left_out(study, params)]))
    return OK


@command("[study]")
def _params(options: argparse.Namespace) -> int:
    """List the studies, or the parameters of one."""
    (study,) = _checked(options, _named_study)
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)
    if study is None:
        from lowres import registry

        print(study_table([(name, registry.load(name).TITLE) for name in registry.study_names()], width))
        print("\nThe parameters of one: lowres params STUDY")
    else:
        print(f"{study.TITLE}\n\n{parameter_table(describe(study.Params), width)}")
        print(f"\nTo set some: lowres run {options.study} -p name=value -p 'name=[value, value]'")
    return OK


@command("[tuner]", "--model", "--parameter")
def _tuners(options: argparse.Namespace) -> int:
    """Show how many parameters each tuner trains on a model; no weights are loaded."""
    (chosen,) = _checked(options, _chosen_tuners)
    from lowres.engine import counting

    print(counting.table(options.model, counting.count(options.model, chosen), options.tuner is not None))
    return OK


@command("[study]", "folders", "--ledger")
def _ledger(options: argparse.Namespace) -> int:
    """Show which records there are, stale and failed ones too; `lowres ledger merge DIR...` copies those of others."""
    (folders,) = _checked(options, _merged_folders)
    from lowres import ledger

    kept = ledger.Ledger(options.ledger, writes=bool(folders))
    print(ledger.merge(kept, folders) if folders else ledger.describe(kept, options.study))
    return OK


@command("study", "--ledger")
def _publish(options: argparse.Namespace) -> int:
    """Write the records of a study to results/, where its page draws them from."""
    _checked(options, _named_study)
    from lowres.ledger import Ledger, published

    shard = published.publish(Ledger(options.ledger), options.study)
    print(f"published: {shard}" if shard else "nothing new: all that the ledger holds is published")
    return OK


@command("lines", "--file", "--show", "--workers", "--shard", "--engine", "--ledger")
def _campaign(options: argparse.Namespace) -> int:
    """Run the lines of a campaign in their order, and show how far each is; any number of processes may share it."""
    workers, where = _checked(options, _count("workers"), _where)
    from lowres import campaign
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


@command("[study]")
def _rules(options: argparse.Namespace) -> int:
    """Show the rules of the second edition, by claim and column."""
    (study,) = _checked(options, _named_study)
    from lowres.claims import rulebook

    print(rulebook.text([study] if study else None))
    return OK


@command("[study]", "--json", "--picture")
def _verdicts(options: argparse.Namespace) -> int:
    """Decide the claims from the published records by the rules of the second edition."""
    (study,) = _checked(options, _named_study)
    from lowres.claims import rulebook

    found = rulebook.decided([study] if study else None)
    print(rulebook.as_json(found) if options.json else rulebook.table(found))
    if options.picture:
        from lowres.page.answer import answer_picture

        options.picture.write_text(answer_picture(), encoding="utf-8")
    return OK


@command("study", "--sample", "--ledger")
def _verify(options: argparse.Namespace) -> int:
    """Run some published trials again, drawn at random, and compare."""
    _, sample = _checked(options, _named_study, _count("sample"))
    from lowres import engine
    from lowres.ledger import Ledger

    text, agree = engine.verify(options.study, sample, Ledger(options.ledger))
    print(text)
    return OK if agree else FAILED


@command("studies", "--tier", "--parameter")
def _book(options: argparse.Namespace) -> int:
    """Execute the notebooks whose inputs changed, and build the pages."""
    (parameters,) = _checked(options, _book_parameters)
    from lowres import book

    try:
        page = book.make(parameters, studies=options.studies or None)
    except book.BookError as error:
        return _say(str(error), FAILED)
    print(f"the book: {page}")
    return OK


@command("models", "--publish")
def _pretrain(options: argparse.Namespace) -> int:
    """Pretrain world models, or find them in the cache, and show what they know."""
    (names,) = _checked(options, _world_models)
    from lowres import models
    from lowres.world.levels import levels_table

    with_seconds = [(name, *models.pretrained(name)) for name in names]
    print(levels_table(with_seconds))
    if options.publish:
        from lowres.world import WorldModel, parse, weights

        for name, folder, _ in with_seconds:
            model = parse(name)
            assert isinstance(model, WorldModel)
            print(f"published: {weights.publish(model, models.fingerprint(name), folder)}")
    return OK


@command("folder", "--out", "--roster", "--predictions", "--seed", "--masters", "--workers")
def _grade(options: argparse.Namespace) -> int:
    """Mark a folder of coursework, each submission contained; points per test, one row per student."""
    options.seed = options.seed or str(1 + secrets.randbelow(10**6))  # one that no student can know
    workers, seed = _checked(options, _count("workers"), _count("seed"))
    from lowres.course import MASTERS, grading
    from lowres.ledger import write_atomically

    how = grading.How(options.masters or MASTERS, seed, workers, options.roster, options.predictions)
    marks, summary = grading.grade(options.folder, how)
    write_atomically(options.out.resolve(), marks.encode())
    print(f"{summary}: {options.out}")
    return OK


@command("--task", "[--model]", "--keep", "--rationales", "--ledger")
def _advise(options: argparse.Namespace) -> int:
    """Say which recipe and tuner the guide of the crossing takes on a task, and what that rests on."""
    task, keep = _checked(options, _own_task, _keep)
    from lowres.book import advice
    from lowres.ledger import Ledger

    asked = advice.Asked(task, options.model or "", keep, options.rationales == "yes")
    print(advice.advise(asked, Ledger(options.ledger)))
    return OK


@command("[--model]", "[--task]")
def _doctor(options: argparse.Namespace) -> int:
    """Show versions, devices, data and model files, and how to get what is missing; or look at a model and a task."""
    _checked(options)
    from lowres.cli import doctor

    own = options.model or options.task
    text, healthy = doctor.of_users_own(options.model, options.task) if own else doctor.examine()
    print(text)
    return OK if healthy else FAILED


# --- from the command line to checked values -------------------------------------------------------------------------


def _dispatch(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    whole = parser()
    if not given:
        whole.print_help(sys.stderr)
        return REFUSED
    if not given[0].startswith("-") and given[0] not in COMMANDS:
        raise InputError(
            f'unknown command "{given[0]}"{did_you_mean(given[0], COMMANDS)}; known: {", ".join(COMMANDS)}'
        )
    options, others = whole.parse_known_args(given)
    options.unknown = others  # told together with whatever else is wrong
    with ledger_at(getattr(options, "ledger", None)):  # rationales lie beside the records
        return int(options.command.act(options))


def _checked(options: argparse.Namespace, *steps: Callable[[argparse.Namespace], Any]) -> list[Any]:
    """What the steps make of the options, or one InputError with all that is wrong with any of them."""
    problems = unknown(options)
    results = []
    for step in steps:
        try:
            results.append(step(options))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return results


def _load(name: str) -> ModuleType:
    from lowres import registry

    names = registry.study_names()
    if name not in names:
        raise InputError(f'unknown study "{name}"{did_you_mean(name, names)}; known: {", ".join(names)}')
    return registry.load(name)


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


def _count(name: str) -> Callable[[argparse.Namespace], int]:
    def step(options: argparse.Namespace) -> int:
        text = getattr(options, name)
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f'--{name} must be an integer of at least 1, not "{text}"')
        return int(text)

    return step


def _book_parameters(options: argparse.Namespace) -> dict[str, object]:
    """The parameters for the notebooks, each of which must be one of every chosen study."""
    from lowres import registry

    assignments = [*([f"tier={options.tier}"] if options.tier is not None else []), *options.parameter]
    values: dict[str, object] = {}
    problems: list[str] = []
    for name in options.studies or registry.study_names():
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
    return aligned([("study", "title"), *titles], caps=(24,), width=width)


def parameter_table(rows: Iterable[ParameterRow], width: int = WIDTH) -> str:
    """Name, type, default and meaning of parameters; where the tier decides, the default has a line per tier."""
    cells = [(row.name, row.type.removesuffix(" | None"), _default(row), row.meaning) for row in rows]
    return aligned([("name", "type", "default", "meaning"), *cells], caps=(24, 12, 32), width=width)


def _default(row: ParameterRow) -> str:
    if not row.tiers:
        return "none" if row.default is None else literal(row.default)
    longest = max(map(len, row.tiers))
    return "\n".join(f"{tier:<{longest}}  {literal(value)}" for tier, value in row.tiers.items())


def _say(message: str, code: int) -> int:
    print(f"lowres: {message}", file=sys.stderr)
    return code

"""What may be written behind `lowres`: the commands by name, their arguments, and how wrong ones are told."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lowres.params import InputError, did_you_mean
from lowres.places import RESULTS

Act = Callable[[argparse.Namespace], int]
CAMPAIGN = RESULTS / "campaign.toml"
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
    """One subcommand: what it does, and which arguments of `ARGUMENTS` it takes."""

    act: Act
    arguments: tuple[str, ...]

    @property
    def says(self) -> str:
        """What it does: the docstring of its function."""
        return self.act.__doc__ or ""


COMMANDS: dict[str, Command] = {}


def command(*arguments: str) -> Callable[[Act], Act]:
    """Make a function a command under its own name, less the underscore."""

    def entered(act: Act) -> Act:
        COMMANDS[act.__name__.removeprefix("_")] = Command(act, arguments)
        return act

    return entered


def _argument(metavar: str | None, help: str, **more: Any) -> dict[str, Any]:
    return {"metavar": metavar, "help": help, **more} if metavar else {"help": help, **more}


# What may follow a command: how it is shown, what it says, and what argparse has to know besides.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "study": _argument("STUDY", "name of a study; `lowres params` lists them"),
    "[study]": _argument("STUDY", "name of a study; all when left out", nargs="?"),
    "folders": _argument("DIR", "after `merge`: ledgers of other machines", nargs="*", type=Path),
    "studies": _argument("STUDY", "names of studies; all when left out", nargs="*"),
    "[tuner]": _argument("TUNER", "name of a tuner, whose options -p sets; all when left out", nargs="?"),
    "--model": _argument(
        "MODEL",
        "a model, a folder, a config.json, a Hub id, or llama-7b, llama-13b, llama-3-8b, roberta-base, -large",
        default="smollm2-135m-instruct",
    ),
    "[--model]": _argument("MODEL", "look at this model: a folder or a Hub id"),
    "[--task]": _argument("TASK", "look at this task: jsonl:PATH or hub:ID"),
    "--task": _argument("TASK", "jsonl:PATH, another FILE of rows, hub:ID or a task's name", required=True),
    "--keep": _argument("X", "how much old knowledge counts beside a gain (default 0.5)", default="0.5"),
    "--rationales": _argument(None, "whether rationales can be had (default no)", default="no", choices=("yes", "no")),
    "models": _argument("MODEL", "names like world-s, world-m-encdec, world-m-instruct~0.60@3", nargs="+"),
    "--parameter": _argument(
        "NAME=VALUE", "set a parameter; may be given again for another one", action="append", default=[]
    ),
    "--tier": _argument(None, "how much to run: the same as -p tier=TIER"),
    "--workers": _argument("N", "processes that run trials side by side (default 1)", default="1"),
    "--shard": _argument(
        "I/N", "run one of N parts, counted from 0, without any locks; every part needs the same command"
    ),
    "--engine": _argument(
        "parsl:FILE", "run on the workers of a Parsl config: a file, or one of laptop, gpus, slurm, kubernetes"
    ),
    "--fresh": _argument(None, "run every trial again, also those that are in the ledger", action="store_true"),
    "--measure": _argument(None, "time some updates and items here instead of going by records", action="store_true"),
    "--cards": _argument(
        "FILE", "graphics cards and what an hour of them costs, in place of lowres/engine/cards.csv", type=Path
    ),
    "--ledger": _argument("DIR", "folder of the records (default: $LOWRES_LEDGER, or the usual)", type=Path),
    "lines": _argument("LINE", "names of lines; all when left out", nargs="*"),
    "--file": _argument("FILE", "the campaign (default: results/campaign.toml)", type=Path, default=CAMPAIGN),
    "--show": _argument(None, "run nothing, only show", action="store_true"),
    "--publish": _argument(
        None, "also write their weights to results/weights/, for everybody's use", action="store_true"
    ),
    "--json": _argument(None, "as JSON, with estimates, intervals, seeds and dates", action="store_true"),
    "--picture": _argument(
        "FILE", "draw what is decided into an SVG file (that of README: book/static/answer.svg)", type=Path
    ),
    "folder": _argument("FOLDER", "submissions: notebooks, folders or zip files", type=Path),
    "--out": _argument("FILE", "the marks (default: marks.csv)", type=Path, default=Path("marks.csv")),
    "--roster": _argument("FILE", "CSV of all students; its columns are kept, in its order", type=Path),
    "--seed": _argument("N", "seed of the tests; the same one gives the same marks (default: drawn, and told)"),
    "--predictions": _argument("DIR", "predictions that were handed in before the capstones", type=Path),
    "--masters": _argument("DIR", "folder of the assignments, if they are not the book's", type=Path),
    "--sample": _argument("N", "how many trials to run again (default 3)", default="3"),
}


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


def parser() -> argparse.ArgumentParser:
    """What reads a command line; it raises InputError where one is wrong."""
    whole = _Parser(prog="lowres", description="Run and read the studies of the book.", epilog=_EPILOG)
    whole.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    commands = whole.add_subparsers(metavar="COMMAND", title="commands", required=True)
    for name, command in COMMANDS.items():
        words = f"{command.says[0].lower()}{command.says[1:-1]}"
        one = commands.add_parser(name, help=words, description=command.says)
        one.set_defaults(command=command)
        for argument in command.arguments:
            names = ["-p", argument] if argument == "--parameter" else [argument.strip("[]")]
            one.add_argument(*names, **ARGUMENTS[argument])
    return whole


def unknown(options: argparse.Namespace) -> list[str]:
    """A sentence on each argument that the command does not take."""
    known = [argument for argument in options.command.arguments if argument.startswith(("--", "[--"))]
    problems = []
    for before, argument in zip(["", *options.unknown], options.unknown, strict=False):
        if argument.startswith("-"):
            flag = argument.partition("=")[0]
            problems.append(f"unknown option {flag}{did_you_mean(flag, known)}")
        elif not before.startswith("-") or "=" in before:  # else it is the value of the unknown option
            problems.append(f'unexpected argument "{argument}"')
    return problems

"""The tables that the book's pages do not write by hand: each page names one in a line `<!-- generated: NAME -->`."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import yaml

from lowres import book, registry
from lowres.data import METRICS
from lowres.params import InputError, ParameterRow, describe, literal
from lowres.places import ROOT

REMEMBERED = Path("_build/generated")
MEASURES = {**METRICS, "nll": "nats per token"}


class Raw(str):
    """Text that is Markdown already and goes into a cell as it is."""


def fragment(name: str, root: Path) -> str:
    """The Markdown of one generated table.

    Raises:
        InputError: there is no table of that name; names those that there are.
    """
    if name not in FRAGMENTS:
        raise InputError(f'no generated table "{name}"; known: {", ".join(FRAGMENTS)}')
    return FRAGMENTS[name](root)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; what would end a cell or begin mathematics or HTML in one is escaped."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return value if isinstance(value, Raw) else _escaped(value)


def _escaped(value: object) -> str:
    text = " ".join(str(value).split())
    for character in "\\|$<*_":
        text = text.replace(character, f"\\{character}")
    return text


def _code(value: object) -> Raw:
    return Raw(f"`{value}`")


def _remembered(make: Callable[[Path], str]) -> Callable[[Path], str]:
    """Keep a table that takes seconds to make until the code that it is made from, or a package's pin, changes."""

    @functools.wraps(make)
    def remembered(root: Path) -> str:
        sources = [
            *(path for room in ("data", "tuners") for path in sorted((book.PACKAGE / room).rglob("*.py"))),
            Path(__file__),
            *(ROOT / name for name in ("requirements.txt", "requirements-nodeps.txt")),
        ]
        key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
        place = root / REMEMBERED / f"{make.__name__.strip('_')}-{key}.md"
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(make(root), encoding="utf-8")
        return place.read_text(encoding="utf-8")

    return remembered


def _every_study() -> dict[str, ModuleType]:
    """The studies by name, in the order of their pages."""
    found = {name: registry.load(name) for name in registry.study_names()}
    return dict(sorted(found.items(), key=lambda entry: entry[1].NOTEBOOK))


# --- the tables ------------------------------------------------------------------------------------------------------


def _studies(_: Path) -> str:
    from lowres.page import verdicts

    return "\n".join(
        f"- [{study.TITLE}](/{study.NOTEBOOK}): {verdicts.tally(verdicts.entries(name))}"
        for name, study in _every_study().items()
    )


def _answer(_: Path) -> str:
    from lowres.page import answer, verdicts

    return verdicts.raw(answer.answer())


def _guide(_: Path) -> str:
    from lowres.page.verdicts import raw
    from lowres.studies.crossing import page

    return f"{raw(page.the_guide().html())}\n\n{raw(page.the_regret().html())}"


def _scoreboard(_: Path) -> str:
    from lowres.page import verdicts

    return verdicts.scoreboard()


def _records(study: str, _: Path) -> str:
    from lowres.page import parts, records
    from lowres.page.verdicts import raw

    rates = raw(parts.rates_table(study).html())
    file = raw(f'<p><a href="../_static/records-{study}.csv" download>One line per trial, as CSV</a></p>')
    return f"{file}\n\n{raw(records.table(study))}\n\n## Learning rates\n\n{rates}"


def _rules(_: Path) -> str:
    from lowres.claims import rulebook

    return rulebook.text()


def _others(root: Path) -> str:
    from lowres.book import others

    listed = [(Raw(cited), *told) for cited, *told in others.rows(root / "book" / "others.csv")]
    return table(("Source", "Their result", "Their scale", "Ours", "Agree?"), listed)


def _deviations(_: Path) -> str:
    parts = []
    for study in _every_study().values():
        rows = [(row.original, row.here, row.expected_bias) for row in getattr(study, "DEVIATIONS", ())]
        shown = table(("In the paper", "Here", "Expected bias"), rows) if rows else "None is known."
        parts.append(f"## {study.TITLE}\n\n{shown}")
    return "\n\n".join(parts)


def _parameters(_: Path) -> str:
    parts = []
    for name, study in _every_study().items():
        rows = [(_named(row), _default(row.default, row.tiers), row.meaning) for row in describe(study.Params)]
        parts.append(f"### `{name}`\n\n{table(('Name and type', 'Default', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def _named(row: ParameterRow) -> Raw:
    return Raw(f"`{row.name}`<br>{row.type.removesuffix(' | None')}")


def _default(default: object, tiers: Mapping[str, object]) -> Raw:
    if not tiers:
        return Raw("") if default is None else _code(literal(default))
    return Raw("<br>".join(f"{tier} `{literal(value)}`" for tier, value in tiers.items()))


@_remembered
def _tasks(_: Path) -> str:
    from lowres.data import catalogue

    tasks = [row for row in catalogue() if row.kind == "task"]
    rows = [
        (row.name, *map(_whole, (row.train, row.validation, row.test)), _chance(row.chance), MEASURES[row.metric])
        for row in tasks
    ]
    numbers = table(("Task", "Training", "Validation", "Test", "Chance", "Metric"), rows)
    return f"{numbers}\n\n{_notes((row.name, row.source, row.licence, row.note) for row in tasks)}"


@_remembered
def _probes(_: Path) -> str:
    from lowres.data import catalogue

    probes = [row for row in catalogue() if row.kind == "probe"]
    rows = [(row.name, _whole(row.test), _chance(row.chance), MEASURES[row.metric]) for row in probes]
    numbers = table(("Probe", "Items", "Chance", "Measure"), rows)
    return f"{numbers}\n\n{_notes((row.name, row.source, row.licence, row.note) for row in probes)}"


@_remembered
def _pool(_: Path) -> str:
    from lowres.data import pool_sources

    sources = pool_sources()
    rows = [(row.name, *map(_whole, (row.items, row.too_long, row.repeated, row.in_a_probe))) for row in sources]
    numbers = table(("Part", "Items", "Too long", "Repeated", "Near a probe"), rows)
    return f"{numbers}\n\n{_notes((row.name, row.note, row.licence, '') for row in sources)}"


def _notes(entries: Iterable[tuple[str, str, str, str]]) -> str:
    """One list entry per data set: where from, licence, and what to know of it; sets that share all three share one."""
    names: dict[str, list[str]] = {}
    for name, source, licence, note in entries:
        parts = [_escaped(source), f"*{_escaped(licence)}*", _escaped(re.sub(NOTHING_LEFT_OUT, "", note))]
        said = ". ".join(part.rstrip(".") for part in parts if part.strip("*"))
        names.setdefault(said, []).append(f"**{_escaped(name)}**")
    return "\n".join(f"- {', '.join(own)}: {said}." for said, own in names.items())


NOTHING_LEFT_OUT = r"(; |^)0 training items are left out because they share text with a probe"


def _whole(number: int) -> str:
    return f"{number:,}"


@_remembered
def _tuners(_: Path) -> str:
    from lowres import tuners
    from lowres.engine import counting
    from lowres.models import model_names

    counts = counting.count(model_names()[0], [tuners.make(name) for name in tuners.tuner_names()])
    rows = [
        (_code(each.tuner.name), f"{each.trained:,}", f"{each.percent:.3f} %", _sentence(type(each.tuner).__doc__))
        for each in counts
    ]
    return table(("Tuner", "Trained parameters", "Of the model", "What is trained"), rows)


def _sentence(text: str | None) -> str:
    """The first paragraph of a docstring."""
    return (text or "").strip().split("\n\n")[0]


def _benchmarks(root: Path) -> str:
    path = root / "results" / "bench.json"
    parts = []
    for name, part in json.loads(path.read_text(encoding="utf-8")).items() if path.is_file() else ():
        rows = [
            (
                row["work"],
                row["peer"],
                row["precision"],
                f"{row['ours_rate']:.1f}",
                f"{row['peer_rate']:.1f}",
                f"{row['ratio']:.2f} (aim {row['reach']:g})",
                _memory(row),
            )
            for row in part["rows"]
        ]
        header = ("Work", "Peer", "Precision", "Here, per s", "Peer, per s", "Times as fast", "Memory, MB (peer)")
        where = f"{part['gpu'] or part['processor']}, {_counted(part['threads'], 'thread')}"
        parts.append(f"**{name.capitalize()}**, measured on {part['date']} ({where}):\n\n{table(header, rows)}")
    return "\n\n".join(parts) or "Nothing has been measured yet: `make bench` does it."


def _memory(row: Mapping[str, float]) -> str:
    if not row["ours_memory"]:
        return ""
    return f"{row['ours_memory'] / 1e6:.0f} ({row['peer_memory'] / 1e6:.0f})"


def _wheels(_: Path) -> str:
    from lowres.data import wheels
    from lowres.models import BUNDLED

    rows = [(wheel.name, wheel.version, wheel.use) for wheel in wheels()]
    packages = {name: bundled.package.replace("_", "-") for name, bundled in BUNDLED.items()}
    rows += [(package, metadata.version(package), f"the model {name}") for name, package in packages.items()]
    return table(("Package", "Version here", "What comes out of it"), rows)


def _run_times(root: Path) -> str:
    rows = [
        (
            facts["study"],
            facts["parameters"]["tier"],
            facts["provenance"]["date"],
            book.duration(facts["seconds"]),
            book.duration(facts["slowest"]["seconds"]),
            facts["provenance"]["hardware"],
        )
        for facts in book.executed_copies(root)
    ]
    return table(("Study", "Tier", "When", "Time", "Slowest cell", "Machine"), rows)


def _chance(chance: float | None) -> str:
    return "" if chance is None else f"{chance:.2f}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _cluster(root: Path) -> str:
    path = root / "results" / "cluster.json"
    if not path.is_file():
        return "It has not been run yet."
    seen = json.loads(path.read_text(encoding="utf-8"))
    parsl, array = seen["parsl-slurm"], seen["array"]
    return (
        f"It passed on {seen['date']}, with SLURM {seen['slurm']} and Parsl {seen['parsl']}, in {seen['minutes']} "
        f"minutes, over {array['nodes']} nodes. Through Parsl, {parsl['lost']} of {parsl['trials']} trials were lost "
        f"with a job and ran again. The array job left {' and '.join(map(str, array['shards']))} records in its "
        f"shards, {array['kept']} of them from before the kill. Both tables were, byte for byte, that of one command."
    )


def _sweep(root: Path) -> str:
    if not (path := root / "results" / "sweep.json").is_file():
        return "Nothing has been simulated yet: `python -m benchmarks.sweep` does it."
    from pandas import DataFrame

    from lowres.page import figures

    kept = json.loads(path.read_text(encoding="utf-8"))
    panels = {False: "no card is lost", True: "cards are lost"}
    points = [
        {
            "x": row["workers"],
            "y": row[how] * row["workers"] / kept["hours"],
            "series": how,
            "panel": panels[row["loss"] > 0],
        }
        for row in kept["rows"]
        for how in ("queue", "shards")
    ]
    alt = "The time of the paper tier over an even share of it, on one card to a thousand, for a queue and for shards."
    plot = figures.Plot("sweep", alt, "Time over an even share of all work.", "cards", x_scale="log")
    lines = figures.curve(DataFrame(points), plot).html().splitlines()
    hours = ", ".join(f"{row['queue']:.2g} on {row['workers']:,}" for row in kept["rows"] if not row["loss"])
    told = (
        f"All {kept['trials']:,} trials of the paper tier are {kept['hours']:.0f} hours of one {kept['card']} by the "
        f"plan, the longest {60 * kept['longest']:.0f} minutes. From a queue they take, in hours: {hours}."
    )
    return "\n".join([told, "", *filter(str.strip, lines)])  # an empty line would end the HTML


def _pace(root: Path) -> str:
    path = root / "results" / "pace.json"
    if not path.is_file():
        return "Nothing has been compared yet: `python -m benchmarks.pace` does it."
    kept = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (
            _code(row["size"]),
            f"{row['trials']:,}",
            f"{row['seconds']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['error']:.0%}",
            "" if row["unseen"] is None else f"{row['unseen']:.0%}",
        )
        for row in kept["rows"]
    ]
    header = ("Model", "Trials", "Seconds, recorded", "Predicted over recorded", "Error", "Error, study not seen")
    return f"{table(header, rows)}\n\nMedians over the trials published until {kept['until'][:10]}."


def _elsewhere(root: Path) -> str:
    """Where the book runs without an installation: a link to Binder, and a cell for Colab."""
    repository = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    address, branch = repository["url"].rstrip("/"), repository["branch"]
    binder = f"https://mybinder.org/v2/git/{quote(address, safe='')}/{branch}?urlpath=lab/tree/notebooks"
    launch = f"[Start the notebooks on Binder]({binder}). It needs minutes until it is up, and is small: tier `smoke`."
    unknown = (
        "This copy of the book does not know the address of its repository (`repository.url` in `_config.yml`), so "
    )
    cell = [
        f"!git clone --depth 1 --branch {branch} {address or 'ADDRESS'} /content/lowres",
        "%cd /content/lowres",
        "%env PYTHONPATH=",
        "%env MPLBACKEND=agg",
        "!make .venv/.lowres-installed",
        "!.venv/bin/lowres run tell -p tier=smoke",
    ]
    told = launch if address else f"{unknown}it links to no Binder; replace ADDRESS below by yours."
    return "\n".join([told, "", "```", *cell, "```"])


def _marking(root: Path) -> str:
    path = root / "results" / "grading.json"
    if not path.is_file():
        return "How long that takes has not been measured yet: `python -m benchmarks.grading` does it."
    seen = json.loads(path.read_text(encoding="utf-8"))
    kinds = ", ".join(f"{number} {kind}" for kind, number in seen["kinds"].items())
    return (
        f"{seen['submissions']} submissions ({kinds}) took {seen['seconds'] / 60:.1f} minutes with {seen['workers']} "
        f"workers on {seen['date']} ({seen['machine']}); `python -m benchmarks.grading` measures it anew."
    )


def _families(root: Path) -> str:
    path = root / "results" / "families.json"
    if not path.is_file():
        return "Nothing has been tried yet: `python tests/families.py` does it."
    refused = json.loads(path.read_text(encoding="utf-8"))["refused"]
    rows = [(", ".join(family for family, reasons in refused.items() if not reasons), "none", "")]
    for family, reasons in refused.items():
        for reason in dict.fromkeys(reasons.values()):
            names = [_code(tuner) if tuner else "all" for tuner, why in reasons.items() if why == reason]
            rows.append((family, Raw(", ".join(names)), reason))
    return table(("Family", "Tuners that are refused", "Why"), rows)


FRAGMENTS: dict[str, Callable[[Path], str]] = {
    "answer": _answer,
    "guide": _guide,
    "studies": _studies,
    "scoreboard": _scoreboard,
    **{f"records-{name}": functools.partial(_records, name) for name in registry.study_names()},
    "rules": _rules,
    "others": _others,
    "deviations": _deviations,
    "parameters": _parameters,
    "tasks": _tasks,
    "probes": _probes,
    "pool": _pool,
    "tuners": _tuners,
    "benchmarks": _benchmarks,
    "wheels": _wheels,
    "run-times": _run_times,
    "cluster": _cluster,
    "pace": _pace,
    "elsewhere": _elsewhere,
    "sweep": _sweep,
    "families": _families,
    "marking": _marking,
}

"""Run the golden trials and print what differs from what is recorded; `--write` records."""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.update(ATEN_CPU_CAPABILITY="avx2", MKL_CBWR="COMPATIBLE", MKL_ENABLE_INSTRUCTIONS="AVX2")  # `machine.EXACT`

SHOWN = 3  # differences of a case


def main() -> int:
    """0 where the rule holds, or after recording."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("names", nargs="*", help="run the cases whose name contains one of these; default: all")
    parser.add_argument("--write", action="store_true", help="record, if RESULT_VERSION allows it")
    parser.add_argument("--amend", action="store_true", help="with --write: also results that moved under one version")
    options = parser.parse_args()
    from tests.golden import verdict
    from tests.golden.cases import all_cases
    from tests.golden.running import outcomes_of

    started, every, expected = time.monotonic(), all_cases(), verdict.Expected.read()
    chosen = {name: made for name, made in every.items() if any(part in name for part in options.names or [""])}
    found = outcomes_of(chosen)
    if options.names:
        expected.cases = {name: case for name, case in expected.cases.items() if name in chosen}
    moved = verdict.moved_cases(expected, found, every)
    for name, told in moved.items():
        more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
        print(f"{name}: {'; '.join(told[:SHOWN])}{more}")
    print(f"{len(found)} trials in {time.monotonic() - started:.0f} s, {len(moved)} moved")
    wrong = verdict.problems(expected, found, moved)
    if not options.write:
        print(*wrong, sep="\n")
        return int(bool(wrong))
    return _write(options, expected, found, moved)


def _write(options: argparse.Namespace, expected, found, moved) -> int:  # type: ignore[no-untyped-def]
    from tests.golden import verdict

    if options.names:
        print("--write records all cases: leave the names out")
        return 2
    if moved and expected.version == verdict.VERSION and not options.amend:
        print("results moved: raise RESULT_VERSION in lowres/trial first (or --amend, before it is published)")
        return 1
    if expected.cases and not moved and expected.version != verdict.VERSION:
        print("no result moved: RESULT_VERSION must stay what it was")
        return 1
    verdict.recorded(expected, found, moved).write()
    print(f"recorded in {verdict.EXPECTED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

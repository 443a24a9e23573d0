"""All figures of speed, each beside its peer in the same run: ``make bench``, or ``python -m bench``.

``python -m bench [FIGURE ...]`` measures only some; ``--quick`` takes fewer runs, for trying out; ``--json
FILE`` also writes all as JSON. The exit code is 0 whether targets are reached or not: a busy machine is no
failure; it is 1 when something could not be measured, which keeps nothing else from being measured. It takes
about seven minutes; use a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from bench import first_frame, headless, idle, leaving, live, ssh, table
from bench.figure import Chapter, text

CHAPTERS: dict[str, Callable[..., Chapter]] = {
    "first-frame": first_frame.measure,
    "nodes": headless.measure,
    "live": live.measure,
    "idle": idle.measure,
    "leaving": leaving.measure,
    "ssh": ssh.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "figure",
        nargs="*",
        choices=[*CHAPTERS, "table", []],
        metavar="FIGURE",
        help=f"{', '.join(CHAPTERS)} or table (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs: less to be trusted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    options = parser.parse_args(arguments)
    chosen = options.figure or [*CHAPTERS, "table"]
    print(_machine(), flush=True)
    chapters = []
    failed = []
    for name in chosen:
        try:
            if name == "table":
                print("\nThe fleet table beside DataTable, step by step", flush=True)
                table.main([])
                continue
            chapter = CHAPTERS[name](quick=options.quick)
        except Exception:  # noqa: BLE001 - whatever it is, it is shown, and the rest is measured
            failed.append(name)
            print(f"\n{name} could not be measured", flush=True)
            traceback.print_exc()
            continue
        chapters.append(chapter)
        print(f"\n{text(chapter)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(_document(chapters), indent=2) + "\n")
    figures = [figure for chapter in chapters for figure in chapter.figures if figure.reached is not None]
    missed = [figure.what for figure in figures if not figure.reached]
    print(
        f"\n{len(figures) - len(missed)} of {len(figures)} targets reached"
        + (f"; not: {', '.join(missed)}" if missed else "")
    )
    if failed:
        print(f"Could not be measured: {', '.join(failed)}")
    return 1 if failed else 0


def _machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"CPython {platform.python_version()}, Textual {version('textual')}, {os.cpu_count()} cores,"
        f" load {load:.1f} when it began (above 0.5 or so, believe ratios only)"
    )


def _document(chapters: Sequence[Chapter]) -> dict[str, object]:
    return {
        "machine": _machine(),
        "chapters": [
            {
                "title": chapter.title,
                "method": chapter.method,
                "figures": [figure.as_json() for figure in chapter.figures],
            }
            for chapter in chapters
        ],
    }


if __name__ == "__main__":
    sys.exit(main())

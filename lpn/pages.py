"""The page of a run: one HTML file with every figure and table, which needs no network and no JavaScript."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pydantic import Field

from lpn.errors import UserError
from lpn.settings import Settings
from lpn.tables import FORMULA

STYLE = """
:root {
  color-scheme: light dark; --line: #8884; --soft: #8881;
  --good: light-dark(#17692f, #7ddb96); --bad: light-dark(#a11, #ff9b90);
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
.box { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .85rem; overflow-wrap: normal; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { border-bottom-width: 2px; }
td { max-width: 24rem; }
td.text { min-width: 6rem; }
td.long { min-width: 15rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.published { background: var(--soft); font-style: italic; }
.mark { white-space: nowrap; font-size: .8rem; color: var(--good); }
.mark.failed { color: var(--bad); }
"""


class Figure(Settings):
    """A figure of the page."""

    name: str = Field(description="name of its files in figures/")
    caption: str = Field(description="what it shows")


class MethodChoice(Settings):
    """How the parameters of a method were set."""

    experiment: str = Field(description="title of the experiment")
    method: str = Field(description="title of the method")
    fixed: dict[str, Any] = Field(description="parameters that the configuration sets, by their paths")
    grid: dict[str, list[Any]] = Field(default={}, description="values that were tried, of each parameter of the search")
    images: int = Field(default=0, description="validation images of the search")
    chosen: str | None = Field(default=None, description="file of scripts/choose.py, in the run's folder")


class Part(Settings):
    """A curve, a prior, or the experiments of a table."""

    title: str = Field(description="its heading")
    tables: list[str] = Field(default=[], description="names of the files in tables/")
    figures: list[Figure] = Field(default=[], description="its figures, in their order")
    choices: list[MethodChoice] = Field(default=[], description="how parameters were set")
    learned: dict[str, dict[str, str]] = Field(
        default={}, description="models of methods, by titles of experiment and method"
    )


class Paper(Settings):
    """What a run makes of a paper."""

    title: str = Field(description="its title and authors")
    parts: list[Part] = Field(description="its parts, in the order of the paper")


class Model(Settings):
    """A network of the run, in words."""

    model: str = Field(description="its name")
    network: str = Field(description="architecture and sizes")
    data: str = Field(description="training data")
    noise: str = Field(description="standard deviation of the noise that it was trained on")
    schedule: str = Field(description="losses, steps and rates, or where it comes from")


class Page(Settings):
    """The content of the page of a run."""

    run: str = Field(description="name of the run")
    label: str = Field(description="scale of the run")
    command: str = Field(description="command that makes what is missing")
    papers: list[Paper] = Field(description="the papers, in their order")
    models: list[Model] = Field(description="the networks of the run")
    certificates: dict[str, str] = Field(description="file of the certificate in the run's folder, by model")


def markup(text: str) -> str:
    """Return a title as HTML: formulas between $ signs become MathML, all else is escaped."""
    from latex2mathml.converter import convert

    parts = re.split(f"({FORMULA})", text)
    parts[1::2] = [convert(part[1:-1]) for part in parts[1::2]]
    parts[::2] = [escape(part.replace(r"\$", "$")) for part in parts[::2]]
    return "".join(parts)


def cell(value: str) -> str:
    """Return a cell of a table, of the text that a CSV file has."""
    if not value:
        return "<td></td>"
    try:
        number = float(value)
    except ValueError:
        return f'<td class="text{" long" if len(value) > 30 else ""}">{markup(value)}</td>'
    return f'<td class="number">{number:.4g}</td>'


def html_table(rows: Sequence[Mapping[str, str]], marks: Iterable[str] = ()) -> str:
    """Return rows as an HTML table in a box that scrolls; `marks` are HTML, beside the model or method of each row.

    Rows whose source is not this run are marked as published.
    """
    if not rows:
        return "<p>No rows.</p>"
    columns = list(rows[0])
    marked = next((name for name in ("method", "model") if name in columns), None)
    heads = "".join(f'<th scope="col">{escape(name).replace("_", "_<wbr>")}</th>' for name in columns)
    lines = []
    for row, mark in zip(rows, [*marks] or [""] * len(rows), strict=True):
        published = "method" in row and row.get("source", "this run") != "this run"
        cells = [cell(row[name]) for name in columns]
        if mark and marked:
            place = columns.index(marked)
            cells[place] = cells[place].replace("</td>", f" {mark}</td>")
        start = '<tr class="published">' if published else "<tr>"
        lines.append(f"{start}{''.join(cells)}</tr>")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="box" tabindex="0" role="region" aria-label="table">{table}</div>'


def table_page(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a whole HTML file with one table."""
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Table</title><style>{STYLE}</style></head>'
    return f"{head}<body>{html_table(rows)}</body></html>\n"


def picture(path: Path, text: str) -> str:
    """Return a PNG file as an HTML image that holds its bytes; 100 of its pixels are an inch."""
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise UserError(f"{path} is no PNG file. If it was made from other files, delete it and make it again.")
    plain = re.sub(r"[$\\{}]", "", text)
    width, height = struct.unpack(">II", content[16:24])
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" alt="{escape(plain)}" width="{width // 2}" height="{height // 2}">'


def certificate_mark(folder: Path, file: str) -> str:
    """Return what a certificate says, as HTML: passed, failed, or that it is missing."""
    path = folder / file
    if not path.exists():
        return '<span class="mark failed">no certificate</span>'
    failures = json.loads(path.read_text(encoding="utf-8"))["failures"]
    passed = '<span class="mark">✓ certified</span>'
    mark = f'<span class="mark failed">✗ {escape(", ".join(map(str, failures)))}</span>' if failures else passed
    return f'<a href="{escape(file)}">{mark}</a>'


def choice_row(choice: MethodChoice, folder: Path) -> dict[str, str]:
    """Return a row that says how the parameters of a method were set."""
    row = {"experiment": choice.experiment, "method": choice.method}
    row["set by the configuration"] = ", ".join(f"{key} {value}" for key, value in choice.fixed.items())
    row["searched for"] = "; ".join(f"{key} of {', '.join(map(str, values))}" for key, values in choice.grid.items())
    row["chosen"] = ""
    if choice.chosen:
        path = folder / choice.chosen
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        row["chosen"] = _chosen(found, choice.images) if found else "not yet"
    return row


def _chosen(found: dict[str, Any], images: int) -> str:
    """Return the best point of a grid in words."""
    best = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in found["parameters"].items()
    )
    edge = f"; at an end of the grid: {', '.join(found['at_edge'])}" if found["at_edge"] else ""
    return f"{best}, by PSNR on {images} validation image{'s' * (images > 1)}{edge}"

"""The report's page says what the report says, needs no network, and works in a browser."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import torch
from page_reader import PageReader
from support import refuses

from sdewm import FunctionSDE, PerturbedSDE, System, TimeGrid, verify
from sdewm.cli import main
from sdewm.page import write_page
from sdewm.page.content import content
from theory_checks import run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """A short run: one claim with figures, one with none."""
    folder = tmp_path_factory.mktemp("report")
    command = ["w1_kl", "tables", "--quick", "--fresh", "--workers", "1", "--runs", str(folder / "runs")]
    assert run.main([*command, "--json", str(folder / "run.json")]) == 0
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(report, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "run.html"
    write_page(report, path)
    return path


def test_every_row_is_there_with_its_verdict(report, page):
    rows = [
        a for tag, a in PageReader(page.read_text(encoding="utf-8")).tags if tag == "tr" and a.get("class") == "row"
    ]
    expected = sorted((r["system"], r["status"]) for r in report["records"])
    assert sorted((a["data-system"], a["data-status"]) for a in rows) == expected


def test_nothing_is_fetched(page):
    read = PageReader(page.read_text(encoding="utf-8"))
    assert not any(tag in ("link", "img", "iframe") or "src" in a for tag, a in read.tags)
    links = [a["href"] for tag, a in read.tags if tag == "a"]
    anchors = {a["id"] for _, a in read.tags if "id" in a}
    assert links and all(link.startswith("#") and link[1:] in anchors for link in links)
    assert "url(http" not in page.read_text(encoding="utf-8") and "@import" not in page.read_text(encoding="utf-8")


def test_figures_are_inline_and_have_names(page):
    read = PageReader(page.read_text(encoding="utf-8"))
    figures = [a for tag, a in read.tags if tag == "figure"]
    assert figures and all(a["aria-label"] for a in figures)
    assert sum(tag == "svg" for tag, _ in read.tags) == len(figures)


def test_the_verdict_comes_first_and_follows_the_rows(report):
    good = content(report)
    assert good.good and re.match(r"\d+ of \d+ corrected rows are verified", good.sentence)
    worse = copy.deepcopy(report)
    row = next(r for r in worse["records"] if r["form"] == "corrected")
    row["status"] = "refuted"
    found = content(worse)
    assert not found.good and "1 are refuted or open" in found.sentence
    assert [c.name for c in found.claims if c.failures] == [row["claim"]]


def test_the_command_repeats_the_claim(report):
    commands = [claim.command for claim in content(report).claims]
    assert commands[0] == "python -m theory_checks w1_kl --seed 0 --precision 0.01"
    for command in commands:
        assert run.parse(command.split()[3:]).precision == 0.01


def test_the_report_is_as_its_schema_says(report):
    schema = json.loads(files("sdewm.verdicts").joinpath("report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(report, schema)
    recorded = Path(__file__).parents[2] / "results" / "theory_checks.json"
    jsonschema.validate(json.loads(recorded.read_text(encoding="utf-8")), schema)
    base = FunctionSDE(lambda t, x: -x, lambda t, x: 0.1 + 0 * x)
    family = PerturbedSDE(base, FunctionSDE(lambda t, x: x))
    system = System(family, lambda x: x.sum(-1), torch.ones(1, dtype=torch.float64), TimeGrid(0.0, 1.0, 8))
    jsonschema.validate(verify(system, ["sensitivities"]).as_record(), schema)
    row = report["records"][0]
    for broken in ({**row, "status": "true"}, {**row, "stderr": -1.0}, {k: v for k, v in row.items() if k != "margin"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**report, "records": [broken]}, schema)


def test_what_is_written_by_others_is_escaped(report, tmp_path):
    mean = copy.deepcopy(report)
    mean["records"][0]["system"] = '<script>alert("x")</script>'
    write_page(mean, tmp_path / "p.html")
    assert '<script>alert("x")' not in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_what_is_no_report_is_one_line(tmp_path, capsys):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("not JSON")
    for name, words in (("a", "expected what theory_checks --json writes"), ("b", "got no JSON")):
        with refuses(ValueError, words):
            write_page(tmp_path / f"{name}.json", tmp_path / "p.html")
        with pytest.raises(SystemExit, match=words):
            main(["report", str(tmp_path / f"{name}.json")])
    assert not list(tmp_path.glob("*.html*"))


def test_the_command_writes_beside_the_json(report, tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps(report))
    main(["report", str(tmp_path / "run.json")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "run.html")
    assert (tmp_path / "run.html").read_text(encoding="utf-8").startswith("<!doctype html>")


SCRIPT = """<script>
addEventListener("load", () => setTimeout(() => {
  const out = {}, form = document.getElementById("filter"), rows = () => [...document.querySelectorAll("tr.row")];
  const visible = () => rows().filter(r => !r.hidden && !r.closest("section").hidden).length;
  out.all = visible(); out.rows = rows().length;
  form.status.value = "refuted"; form.dispatchEvent(new Event("change")); out.refuted = visible();
  form.claim.value = "tables"; form.dispatchEvent(new Event("change")); out.both = visible();
  out.count = document.getElementById("count").textContent;
  form.reset();
  setTimeout(() => {
    out.again = visible();
    out.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
    out.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.insertAdjacentHTML("afterbegin", "<pre id=found>" + JSON.stringify(out) + "</pre>");
  }, 50);
}, 50));
addEventListener("error", e => document.body.insertAdjacentHTML("afterbegin", "<pre id=found>" + e.message + "</pre>"));
</script></body>"""


def in_chromium(probe: Path, folder: Path, width: int, *options: str) -> dict:
    """What the script in the page writes into the element "found"."""
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
        "--virtual-time-budget=2000", f"--user-data-dir={folder}", "--dump-dom", probe.as_uri(), *options,
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    return json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom)[1])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser(report, page, tmp_path, width, dark):
    """Filters show what they say, the page is no wider than the window, and no script fails."""
    probe = tmp_path / "probe.html"
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", SCRIPT), encoding="utf-8")
    found = in_chromium(probe, tmp_path, width, *(["--blink-settings=preferredColorScheme=0"] if dark else []))
    records = report["records"]
    refuted = [r for r in records if r["status"] == "refuted"]
    assert found["all"] == found["rows"] == found["again"] == len(records)
    assert found["refuted"] == len(refuted)
    assert found["both"] == sum(r["claim"] == "tables" for r in refuted)
    assert found["count"] == f"{found['both']} rows"
    assert not found["wide"] and found["dark"] == dark


PRINTED = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const wide = [...document.querySelectorAll("table")].filter(t => t.scrollWidth > t.parentElement.clientWidth + 1);
  const out = {wide: wide.length, form: getComputedStyle(document.getElementById("filter")).display,
    ink: getComputedStyle(document.body).color, tables: document.querySelectorAll("table").length};
  document.body.insertAdjacentHTML("afterbegin", "<pre id=found>" + JSON.stringify(out) + "</pre>");
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_on_paper(page, tmp_path):
    """No column is cut off at the width of A4 between its margins, and ink is black on a dark screen too."""
    probe = tmp_path / "probe.html"
    text = page.read_text(encoding="utf-8").replace("@media print", "@media all").replace("</body>", PRINTED)
    probe.write_text(text, encoding="utf-8")
    found = in_chromium(probe, tmp_path, 703, "--blink-settings=preferredColorScheme=0")
    assert found["tables"] > 2 and not found["wide"]
    assert found["form"] == "none" and found["ink"] == "rgb(0, 0, 0)"


def test_a_claim_is_titled_by_the_statements_that_it_covers(report):
    covered = report["run"]["statements"]
    for claim in content(report).claims:
        assert set(claim.title.split(", ")) == set(covered[claim.name])
    old = {**report, "run": {key: value for key, value in report["run"].items() if key != "statements"}}
    assert all(claim.title == claim.name and not claim.statements for claim in content(old).claims)

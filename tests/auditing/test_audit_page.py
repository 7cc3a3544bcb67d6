"""An audit's page says what the audit says, needs no network, and fits a telephone; the command makes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from page_reader import PageReader

from sdewm.auditing import ModelAudit, audit
from sdewm.cli import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def found(right, episodes) -> ModelAudit:
    return audit(right, episodes, horizon=8, context=4, steps=4, paths=64, name="<b>mine</b>")


@pytest.fixture(scope="module")
def page(found, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "audit.html"
    found.to_html(path)
    return path


def test_it_says_what_the_audit_says_and_escapes_it(found, page):
    read = PageReader(page.read_text(encoding="utf-8"))
    assert found.verdict in read.words and all(caution in read.words for caution in found.cautions)
    assert "<b>" not in page.read_text(encoding="utf-8")
    for e in (found.against_mean[0], found.small_growth[8], found.log_norm, found.expansions[0].first):
        assert f"{e.mean:.3g} ± {e.stderr:.2g}" in read.words


def test_nothing_is_fetched_and_figures_have_names(found, page):
    read = PageReader(page.read_text(encoding="utf-8"))
    assert not any(tag in ("link", "img", "iframe") or "src" in a for tag, a in read.tags)
    assert "url(http" not in page.read_text(encoding="utf-8") and "@import" not in page.read_text(encoding="utf-8")
    figures = [a for tag, a in read.tags if tag == "figure"]
    assert len(figures) == 2 + len(found.expansions) and all(a["aria-label"] for a in figures)


def test_an_audit_without_a_horizon_says_why(wrong, episodes, tmp_path):
    found = audit(wrong, episodes[:1], horizon=4, context=4, steps=2, paths=32)
    found.to_html(tmp_path / "a.html")
    read = PageReader((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "this audit cannot be trusted" in read.words and "± unknown" in read.words
    assert ("p", {"class": "verdict no", "id": "verdict"}) in read.tags


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_window(page, tmp_path, width, dark):
    script = """<script>addEventListener("load", () => {
      document.querySelectorAll("details").forEach(d => d.open = true);
      const seen = document.documentElement, wide = [...document.querySelectorAll(".scroll")].map(
        s => s.scrollWidth > s.clientWidth);
      document.body.insertAdjacentHTML("afterbegin", "<pre id=found>" + JSON.stringify({
        wide: seen.scrollWidth > seen.clientWidth, tables: wide,
        dark: matchMedia("(prefers-color-scheme: dark)").matches}) + "</pre>"); });</script></body>"""
    probe = tmp_path / "probe.html"
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900",
        "--virtual-time-budget=2000", f"--user-data-dir={tmp_path}", "--dump-dom", probe.as_uri(),
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom)[1])
    assert not found["wide"] and found["dark"] == dark
    assert not any(found["tables"]), "a table is cut off"


MODEL = """
import torch
from sdewm.adapters import GaussianRSSM, Recording

def pair():
    model = GaussianRSSM(
        recurrent=lambda h, z, a: torch.tanh(h + z + a), prior=lambda h: (h, 0.1 + 0 * h),
        posterior=lambda h, e: (e, 0.1 + 0 * h), decoder=lambda h, z: z, policy=lambda h, z: 0 * z,
        h0=torch.zeros(2, dtype=torch.float64), name="mine")
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(12, 2, generator=generator, dtype=torch.float64)
    return model, [Recording(draw(), draw()) for _ in range(3)]

alone = 3
"""


def test_the_command_audits_anyones_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("my_audited.py").write_text(MODEL, encoding="utf-8")
    small = ["--horizon", "3", "--context", "4", "--steps", "2", "--paths", "32"]
    main(["audit", "my_audited:pair", *small, "--json", "a.json", "--html", "a.html"])
    assert capsys.readouterr().out.startswith("mine: no trust horizon.")
    assert json.loads(Path("a.json").read_text(encoding="utf-8"))["run"]["episodes"] == 3
    assert Path("a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(SystemExit, match=r"MODEL: expected my_audited:alone to be \(model, episodes\)"):
        main(["audit", "my_audited:alone"])
    with pytest.raises(SystemExit, match="2"):
        main(["audit", "my_audited:pair", "--json", "none/a.json"])
    assert "argument --json: no folder" in capsys.readouterr().err


def test_the_command_audits_what_ships_and_names_what_does_not(tmp_path, capsys):
    small = ["--horizon", "2", "--steps", "2", "--paths", "32"]
    main(["audit", "walker_walk", *small])
    assert capsys.readouterr().out.startswith("walker_walk: ")
    with pytest.raises(SystemExit, match="name: expected one of"):
        main(["audit", "walker_run"])
    with pytest.raises(SystemExit, match="--replay: expected the folder"):
        main(["audit", str(tmp_path)])
    with pytest.raises(SystemExit, match="runs/none: no such run"):
        main(["audit", "runs/none"])

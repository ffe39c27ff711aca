"""The demo, in its quick form: everything is shown and one page tells it."""

from __future__ import annotations

import re

from edgewise.runs import open_run


def test_the_whole_journey(edgewise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = edgewise("demo", "--out", "runs/demo", "--quick", "--seed", 1)
    assert result.exit_code == 0, result.output
    for words in ("HitRate@10", "Popularity", "BLEU-1", "recommended", "the model writes"):
        assert words in result.output
    run = open_run("runs/demo")
    assert run.config.seed == 1
    page = (run.folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    outside = re.findall(r'(?:src|href|srcset)="(?!data:)', page) + re.findall(r"https?://", page)
    assert outside == []
    assert "<script" not in page
    for heading in ("How good is it?", "How did it learn?", "How does it explain?"):
        assert heading in page
    assert page.count('class="card"') == 3 + 2
    again = edgewise("demo", "--out", "runs/demo", "--method", "elmrek")
    assert again.exit_code == 2 and "Did you mean 'elmrec'?" in again.output

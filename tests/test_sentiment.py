"""`hub sentiment` as its user meets it: lines in, lines out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.hubs import ENVIRONMENT, HUB, hub


def told(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_headline_on_the_command_line(tmp_path: Path) -> None:
    answer = hub(tmp_path, "sentiment", "Bitcoin plunges 8%")
    [found] = told(answer.stdout)
    assert (answer.returncode, set(found)) == (0, {"text", "score", "label", "scorer"})
    assert (found["text"], found["label"], found["scorer"]) == ("Bitcoin plunges 8%", "negative", "lexicon")
    assert found["score"] < -0.3


def test_lines_of_stdin_come_out_one_for_one_whatever_is_in_them(tmp_path: Path) -> None:
    lines = [b"Bitcoin rallies", b"", b"\xff\xfe\x00 broken", b"x" * 1_000_000, b"\x1b[31mETH\x1b[0m crashes", "\u202eBTC \u00fc".encode()]
    for arguments in (["-"], [], ["--scorer", "lexicon", "--json", "-"]):
        command = [*HUB, "sentiment", *arguments]
        answer = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, input=b"\n".join(lines), capture_output=True, timeout=60, check=True
        )
        found = told(answer.stdout.decode())
        assert [each["label"] for each in found] == ["positive", "neutral", "neutral", "neutral", "negative", "neutral"]
        assert found[1]["score"] == 0.0
        assert b"\x1b" not in answer.stdout


def test_each_line_is_answered_before_the_next_is_asked(tmp_path: Path) -> None:
    """So that another program can hold a conversation with it."""
    command = [*HUB, "sentiment", "-"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("Bitcoin rallies", "Bitcoin crashes"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
        assert process.wait(20) == 0


def test_where_gemma_is_not_it_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("plugins: {news: {ollama: {base_url: 'http://127.0.0.1:9'}}}")
    answer = hub(tmp_path, "sentiment", "--scorer", "gemma", "Bitcoin rallies")
    assert answer.returncode == 4
    assert "ollama serve" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_scorer_is_a_usage_error(tmp_path: Path) -> None:
    assert hub(tmp_path, "sentiment", "--scorer", "vader", "x").returncode == 2


def test_it_needs_neither_numpy_heavy_friends_nor_a_network() -> None:
    """No torch, no scikit-learn, no pandas."""
    program = (
        "import sys; from hub.headline.judge import Judge; Judge().judge(['Bitcoin']); "
        "print({'torch', 'sklearn', 'scipy', 'pandas', 'httpx'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "set()"

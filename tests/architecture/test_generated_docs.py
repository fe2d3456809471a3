"""The generated references are as the code has it; `make docs-check` and this see when one is not."""

from pathlib import Path

from pressroom.settings import Settings
from tools.generate_docs import FOLDER, REFERENCES, cli_reference, settings_reference, stale, write


def test_our_references_are_fresh() -> None:
    assert stale(FOLDER, REFERENCES) == [], "run `make docs`"


def test_a_missing_and_a_changed_reference_are_stale(tmp_path: Path) -> None:
    references = {"one.md": lambda: "one\n", "two.md": lambda: "two\n"}
    assert stale(tmp_path, references) == ["one.md", "two.md"]

    write(tmp_path, references)
    assert stale(tmp_path, references) == []

    (tmp_path / "two.md").write_text("by hand\n")
    assert stale(tmp_path, references) == ["two.md"]


def test_every_setting_has_its_row_with_bounds_and_default() -> None:
    text = settings_reference()

    assert text.count("\n| `") == len(Settings.model_fields)
    assert "| `PRESSROOM_DATABASE_URL` | secret | not set |" in text
    assert "| `PRESSROOM_WORKER_THREADS` | whole number, ≥ 1, ≤ 64 | `4` |" in text
    assert "| `OPENAI_API_KEY` | secret | not set |" in text


def test_every_command_shows_its_usage() -> None:
    text = cli_reference()

    assert {"## pressroom", "## pressroom run", "## pressroom jobs list"} <= set(text.splitlines())
    assert text.count("\nUsage: ") == text.count("\n## ")

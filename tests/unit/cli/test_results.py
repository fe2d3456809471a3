"""Where results go: never over the input, never over each other, never half written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.results import Places, check_places, replaced
from pressroom.errors import InvalidInput


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def symlink(path: Path, target: Path) -> None:
    path.symlink_to(target)


def half_written(path: Path) -> None:
    path.write_text("half")
    path.parent.write_text("fails")


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("{}\n")
    return path


@pytest.mark.parametrize("link", [hard_link, symlink])
def test_the_input_is_refused_under_any_name(
    link: Callable[[Path, Path], None], input_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    link(other, input_file)
    elsewhere = tmp_path / "out.jsonl"
    for places, option in (
        (Places(other), "--output"),
        (Places(tmp_path / "." / "in.jsonl"), "--output"),
        (Places(elsewhere, contact_sheet=other), "--contact-sheet"),
    ):
        with pytest.raises(InvalidInput, match=f"{option}: is the same file as INPUT"):
            check_places(places, input_file=input_file)
    assert input_file.read_text() == "{}\n"


def test_places_are_refused_that_are_each_other(input_file: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    with pytest.raises(InvalidInput, match="--contact-sheet: is the same file as --output"):
        check_places(Places(one, contact_sheet=tmp_path / "x" / ".." / "one"), input_file=input_file)
    with pytest.raises(InvalidInput, match="--artifacts: is the same file as --output"):
        check_places(Places(one, artifacts=one), input_file=input_file)
    assert list(tmp_path.iterdir()) == [input_file]


def test_results_that_could_not_be_written_are_found_before_the_run(tmp_path: Path) -> None:
    output = tmp_path / "new" / "out.jsonl"
    check_places(Places(output, tmp_path / "pictures"))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "new", tmp_path / "pictures"]
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"--output: cannot be written: .* Name a file in a folder"):
        check_places(Places(tmp_path / "file" / "out.jsonl"))
    with pytest.raises(InvalidInput, match="--artifacts: cannot be written"):
        check_places(Places(output, tmp_path / "file" / "pictures"))
    with pytest.raises(InvalidInput, match="--output: cannot be written: File name too long"):
        check_places(Places(tmp_path / ("x" * 250)))


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with pytest.raises(IsADirectoryError), replaced(path) as scratch:
        half_written(scratch)
    assert path.read_text() == "before"
    with replaced(path) as scratch:
        scratch.write_text("whole")
        assert path.read_text() == "before"
    assert path.read_text() == "whole"
    with replaced(path):
        pass  # nothing to write, as for a contact sheet without pictures
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    with replaced(link) as scratch:
        scratch.write_text("after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    null = Path(os.devnull)
    check_places(Places(null))
    with replaced(null) as scratch:
        scratch.write_text("gone")
    assert null.is_char_device()

"""Where a batch's results go on this machine: the output file, the images, a contact sheet."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from cli.context import System
    from pressroom.batches.output import ArtifactRow
    from pressroom.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Places:
    """Where results are to go: the output file, and where asked for, images and a contact sheet."""

    output: Path
    artifacts: Path | None = None
    contact_sheet: Path | None = None

    def named(self, output_option: str) -> Iterator[tuple[str, Path]]:
        """Each place with the name that it has on the command line."""
        yield output_option, self.output
        if self.contact_sheet is not None:
            yield "--contact-sheet", self.contact_sheet
        if self.artifacts is not None:
            yield "--artifacts", self.artifacts


@dataclass(frozen=True, slots=True)
class Results:
    """What was written. `images` counts those in the output; `artifacts` and `contact_sheet` are None without any."""

    output: Path
    lines: int
    images: int
    artifacts: Path | None = None
    contact_sheet: Path | None = None


def check_places(places: Places, *, input_file: Path | None = None, output_option: str = "--output") -> None:
    """Refuse places that are the input or each other; make their folders, and try to write there.

    Raises InvalidInput naming the option, before anything is spent or overwritten.
    """
    taken = [("INPUT", input_file)] if input_file is not None else []
    for option, path in places.named(output_option):
        for other, known in taken:
            if is_same_file(path, known):
                raise _refused(option, path, f"is the same file as {other}", "Name another file")
        taken.append((option, path))
    for option, path in places.named(output_option):
        _try_to_write(option, path, is_folder=path is places.artifacts)


def refuse_input_as_output(path: Path, input_sha256: str | None) -> None:
    """Raises InvalidInput when the file at `path` has the contents of the batch's input."""
    if input_sha256 is None or not path.is_file():
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == input_sha256:
            raise _refused("OUT.jsonl", path, "is the batch's own input", "Name another file")


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, by whatever links; also to one that is not there yet."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one.resolve() == other.resolve()


def _try_to_write(option: str, path: Path, *, is_folder: bool) -> None:
    if _is_device(path):
        return
    trial = path / f".pressroom.{os.getpid()}" if is_folder else _scratch(path.resolve())
    try:
        trial.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        what = "folder" if is_folder else "file in a folder"
        remedy = f"Name a {what} that this user may write to"
        raise _refused(option, path, f"cannot be written: {error.strerror or error}", remedy) from error


def _refused(option: str, path: Path, reason: str, remedy: str) -> InvalidInput:
    from pressroom.errors import InvalidInput, Problem

    return InvalidInput([Problem(option, reason, remedy, value=str(path))])


def write_results(system: System, batch_id: UUID, places: Places) -> Results:
    """Write the output, and images and contact sheet where asked. A file appears only when it is complete.

    Links are paths of downloaded images, else `s3://` addresses. Raises StorageError, OSError, NotFound.
    """
    from pressroom.batches.output import contact_sheet_for, download_images, write_output

    link: Callable[[ArtifactRow], str] | None = None
    if places.artifacts is not None:
        files = download_images(system.engine, batch_id, system.store, places.artifacts)

        def link(picture: ArtifactRow) -> str:
            return str(files[picture.id])

    with replaced(places.output) as scratch, scratch.open("wb") as file:
        written = write_output(system.engine, batch_id, file, store=system.store, link=link)
    drawn = 0
    if places.contact_sheet is not None:
        with replaced(places.contact_sheet) as scratch:
            drawn = contact_sheet_for(system.engine, batch_id, system.store, scratch)
    return Results(
        output=places.output,
        lines=written.lines,
        images=written.images,
        artifacts=places.artifacts if written.images else None,
        contact_sheet=places.contact_sheet if drawn else None,
    )


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A scratch file in the same folder that takes the place of `path` at the end, if it was written at all.

    A link stays and leads to the new contents. A device, such as /dev/null, is written to as it is.
    """
    if _is_device(path):
        yield path
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(target)
    try:
        yield scratch
        if scratch.exists():
            scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _scratch(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}")


def _is_device(path: Path) -> bool:
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False  # whoever tries to write there hears why not

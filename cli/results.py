"""Where a batch's results go on this machine: the output file, the images, a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from cli.context import System
    from pressroom.batches.output import ArtifactRow


@dataclass(frozen=True, slots=True)
class Results:
    """What was written. `images` counts those in the output; `artifacts` and `contact_sheet` are None without any."""

    output: Path
    lines: int
    images: int
    artifacts: Path | None = None
    contact_sheet: Path | None = None


def check_places(output: Path, contact_sheet: Path | None, artifacts: Path | None) -> None:
    """Make the folders that results go to, and try to write there before anything is spent. Raises OSError."""
    folders = [output.parent] + ([contact_sheet.parent] if contact_sheet else []) + ([artifacts] if artifacts else [])
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".pressroom.{os.getpid()}"
        trial.touch()
        trial.unlink()


def write_results(
    system: System, batch_id: UUID, output: Path, *, artifacts: Path | None = None, contact_sheet: Path | None = None
) -> Results:
    """Write the output, and images and contact sheet where asked. The output appears only when it is complete.

    Links are paths of downloaded images, else `s3://` addresses. Raises StorageError, OSError, NotFound.
    """
    from pressroom.batches.output import contact_sheet_for, download_images, write_output

    output.parent.mkdir(parents=True, exist_ok=True)
    link: Callable[[ArtifactRow], str] | None = None
    if artifacts is not None:
        files = download_images(system.engine, batch_id, system.store, artifacts)

        def link(picture: ArtifactRow) -> str:
            return str(files[picture.id])

    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            written = write_output(system.engine, batch_id, file, store=system.store, link=link)
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)
    drawn = 0
    if contact_sheet is not None:
        contact_sheet.parent.mkdir(parents=True, exist_ok=True)
        drawn = contact_sheet_for(system.engine, batch_id, system.store, contact_sheet)
    return Results(
        output=output,
        lines=written.lines,
        images=written.images,
        artifacts=artifacts if written.images else None,
        contact_sheet=contact_sheet if drawn else None,
    )

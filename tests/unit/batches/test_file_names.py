"""Names of downloaded pictures stay in their directory and tell pictures apart."""

import pytest

from pressroom.batches.downloads import file_name
from pressroom.batches.pages import ArtifactRow
from pressroom.ids import new_id


def picture(custom_id: str | None, position: int = 0, content_type: str = "image/png") -> ArtifactRow:
    """A row of a picture."""
    return ArtifactRow(
        id=new_id(),
        job_id=new_id(),
        line_no=1,
        custom_id=custom_id,
        position=position,
        key="k",
        content_type=content_type,
        byte_size=1,
        sha256="",
        width=1,
        height=1,
    )


@pytest.mark.parametrize("custom_id", ["a", "line-7", "Parti_0001.v2"])
def test_plain_names_stay_as_they_are(custom_id: str) -> None:
    assert file_name(picture(custom_id, 3)) == f"{custom_id}-3.png"


@pytest.mark.parametrize(
    "custom_id", ["../../etc/passwd", "/etc/passwd", "..", ".", ".bashrc", "-rf", "a\\b", "a\nb", "ä"]
)
def test_no_name_leaves_its_directory_or_hides(custom_id: str) -> None:
    name = file_name(picture(custom_id))
    assert "/" not in name
    assert "\\" not in name
    assert not name.startswith((".", "-"))
    assert name.isascii()
    assert name.isprintable()


def test_what_looks_alike_once_mended_is_told_apart() -> None:
    names = {file_name(picture(given)) for given in ("a/b", "a:b", "a_b", "x" * 200, "x" * 201)}
    assert len(names) == 5
    assert all(len(name) < 120 for name in names)


def test_the_format_is_the_pictures_own() -> None:
    assert file_name(picture("a", content_type="image/webp")) == "a-0.webp"


def test_a_job_without_a_custom_id_goes_by_its_own() -> None:
    row = picture(None)
    assert file_name(row) == f"{row.job_id.hex}-0.png"

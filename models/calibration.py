"""How many tokens calls really take, against what was estimated: by deployment, endpoint, kind of job and project."""

from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKey, Identity, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Calibration(Base):
    """Moving means, merged by weight from all worker processes. The row without a project is for all projects together.

    `ratio` is actual over estimated tokens; `ratio_bins` counts the ratios of single calls in the bins of
    `pressroom/limits/calibration.py`, older calls less; `samples` counts calls, never less.
    """

    __tablename__ = "calibrations"
    __table_args__ = (
        UniqueConstraint("deployment_id", "url", "kind", "project_id", postgresql_nulls_not_distinct=True),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    url: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    ratio: Mapped[float]
    ratio_bins: Mapped[list[float]] = mapped_column(ARRAY(Double))
    output_tokens_mean: Mapped[float]
    samples: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

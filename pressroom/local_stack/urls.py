"""Where the running stack is reached, in the form the settings take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

_PASSWORD_IN_URL = re.compile(r"(?<=:)[^:@/]+(?=@)")


@dataclass(frozen=True, repr=False)
class StackUrls:
    """Addresses and credentials of one running stack. `repr` masks every secret."""

    database_url: str
    """SQLAlchemy form (`postgresql+psycopg://…`), password included."""
    redis_url: str
    """`redis://:password@127.0.0.1:port/0`: understood by redis-py and by Celery alike."""
    s3_endpoint_url: str
    s3_bucket: str
    s3_access_key_id: str
    s3_secret_access_key: SecretStr

    def environment(self) -> dict[str, str]:
        """The variables that make Pressroom's settings, and boto3, use this stack. Contains secrets."""
        return {
            "PRESSROOM_DATABASE_URL": self.database_url,
            "PRESSROOM_REDIS_URL": self.redis_url,
            "PRESSROOM_S3_ENDPOINT_URL": self.s3_endpoint_url,
            "PRESSROOM_S3_BUCKET": self.s3_bucket,
            "AWS_ACCESS_KEY_ID": self.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_access_key.get_secret_value(),
        }

    def __repr__(self) -> str:
        return (
            f"StackUrls(database_url={masked(self.database_url)!r}, redis_url={masked(self.redis_url)!r}, "
            f"s3_endpoint_url={self.s3_endpoint_url!r}, s3_bucket={self.s3_bucket!r}, "
            f"s3_access_key_id={self.s3_access_key_id!r}, s3_secret_access_key={self.s3_secret_access_key!r})"
        )


def masked(url: str) -> str:
    """`url` with its password replaced by `***`."""
    return _PASSWORD_IN_URL.sub("***", url, count=1)

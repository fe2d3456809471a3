"""Real PostgreSQL, Valkey and an S3 server from pip wheels: the embedded default.

with LocalStack() as urls:
    ...  # urls.database_url, urls.redis_url, urls.s3_endpoint_url
"""

from pressroom.local_stack.errors import LocalStackError
from pressroom.local_stack.stack import LocalStack, ServerStatus, default_data_dir
from pressroom.local_stack.urls import StackUrls
from pressroom.local_stack.watch import StackGone, StackWatch

__all__ = [
    "LocalStack",
    "LocalStackError",
    "ServerStatus",
    "StackGone",
    "StackUrls",
    "StackWatch",
    "default_data_dir",
]

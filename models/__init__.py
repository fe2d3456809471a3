"""The tables: one a file, each with its states and legal transitions. Imports only SQLAlchemy."""

from models.alert import Alert
from models.api_key import ApiKey, Scope
from models.artifact import Artifact, ArtifactKind
from models.attempt import Attempt, AttemptOutcome
from models.base import Base
from models.batch import Batch, BatchState
from models.budget import Budget, BudgetPeriod, BudgetScope
from models.budget_window import BudgetWindow
from models.calibration import Calibration
from models.daily_cost import DailyCost
from models.deployment import Deployment, StopKind
from models.event import Event
from models.flow import Flow
from models.health_window import HealthWindow
from models.hold import Hold, HoldState
from models.idempotency_key import IdempotencyKey
from models.job import FINAL_STATES, LEGAL_TRANSITIONS, Job, JobState
from models.job_dependency import JobDependency
from models.job_note import JobNote
from models.job_request import JobRequest
from models.job_result import JobResult
from models.job_tag import JobTag
from models.lease import Lease
from models.pool import Pool
from models.price import Price
from models.project import DEFAULT_PROJECT_ID, Project
from models.reconciliation import Reconciliation
from models.route import Route
from models.settlement import Settlement
from models.stake import CLASS_WEIGHTS, PriorityClass, Stake
from models.uploaded_file import FilePurpose, UploadedFile
from models.webhook_delivery import WebhookDelivery
from models.webhook_endpoint import WebhookEndpoint
from models.worker_process import WorkerProcess

__all__ = [
    "CLASS_WEIGHTS",
    "DEFAULT_PROJECT_ID",
    "FINAL_STATES",
    "LEGAL_TRANSITIONS",
    "Alert",
    "ApiKey",
    "Artifact",
    "ArtifactKind",
    "Attempt",
    "AttemptOutcome",
    "Base",
    "Batch",
    "BatchState",
    "Budget",
    "BudgetPeriod",
    "BudgetScope",
    "BudgetWindow",
    "Calibration",
    "DailyCost",
    "Deployment",
    "Event",
    "FilePurpose",
    "Flow",
    "HealthWindow",
    "Hold",
    "HoldState",
    "IdempotencyKey",
    "Job",
    "JobDependency",
    "JobNote",
    "JobRequest",
    "JobResult",
    "JobState",
    "JobTag",
    "Lease",
    "Pool",
    "Price",
    "PriorityClass",
    "Project",
    "Reconciliation",
    "Route",
    "Scope",
    "Settlement",
    "Stake",
    "StopKind",
    "UploadedFile",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WorkerProcess",
]

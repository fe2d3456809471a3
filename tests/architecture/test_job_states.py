"""The state machine in models/job.py and the one in the database are the same: every pair of states is tried in SQL."""

from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from models.job import FINAL_STATES, LEGAL_TRANSITIONS, JobState
from pressroom.ids import new_id


@dataclass(frozen=True)
class Verdict:
    """What the database said to one update."""

    accepted: bool
    message: str


def _insert(connection: Connection, state: JobState) -> object:
    job_id = new_id()
    connection.execute(
        text(
            "INSERT INTO jobs (id, project_id, flow_id, deployment_id, url, state, lease_id, est_cost_usd)"
            " SELECT :id, (SELECT id FROM projects LIMIT 1), 1, 1, '/v1/chat/completions', :state, :lease, 0"
        ),
        {"id": job_id, "state": state.value, "lease": _lease_for(state)},
    )
    return job_id


def _lease_for(state: JobState) -> object:
    """A job that is out has a lease, no other has one (the table checks it)."""
    return uuid4() if state in (JobState.LEASED, JobState.RUNNING) else None


def _move(connection: Connection, before: JobState, after: JobState) -> Verdict:
    job_id = _insert(connection, before)
    try:
        with connection.begin_nested():
            connection.execute(
                text("UPDATE jobs SET state = :state, lease_id = :lease WHERE id = :id"),
                {"id": job_id, "state": after.value, "lease": _lease_for(after)},
            )
    except IntegrityError as error:
        return Verdict(accepted=False, message=str(error.orig))
    return Verdict(accepted=True, message="")


def test_the_table_names_every_state() -> None:
    assert set(LEGAL_TRANSITIONS) == set(JobState)


def test_no_path_leaves_a_final_state() -> None:
    assert all(not LEGAL_TRANSITIONS[state] for state in FINAL_STATES)
    assert all(LEGAL_TRANSITIONS[state] for state in set(JobState) - FINAL_STATES)


def test_the_database_accepts_exactly_the_legal_transitions(engine: Engine) -> None:
    with engine.connect() as connection:
        accepted = {
            before: {after for after in JobState if after != before and _move(connection, before, after).accepted}
            for before in JobState
        }

    assert accepted == LEGAL_TRANSITIONS


def test_a_refusal_names_the_job_and_both_states(engine: Engine) -> None:
    with engine.connect() as connection:
        verdict = _move(connection, JobState.SUCCEEDED, JobState.QUEUED)

    assert "illegal transition succeeded -> queued" in verdict.message


@pytest.mark.parametrize("state", list(JobState))
def test_writing_the_same_state_again_is_allowed(engine: Engine, state: JobState) -> None:
    with engine.connect() as connection:
        assert _move(connection, state, state).accepted

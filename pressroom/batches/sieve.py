"""From lines to jobs: lets good ones pass until the first bad one, then only collects what is wrong."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pressroom.batches.duplicates import duplicate
from pressroom.batches.raw_json import numbers_as_written
from pressroom.batches.read_input import InputKind, InputLine, in_words_of
from pressroom.errors import PressroomError, Problem
from pressroom.jobs.check import NewJobDraft, RequestChecker
from pressroom.jobs.estimate import Tally
from pressroom.jobs.submit import NewJob

REMEMBERED_IDS = 10_000
"""`custom_id`s compared in memory, so that files of any size take the same. The rest is compared in the database."""


class Refused(PressroomError):
    """The file has a bad line: nothing of it may be stored. Stays in this package; callers get InvalidInput."""


class Sieve:
    """`problems` holds the first `max_problems`, `more` counts the others; the rest adds up jobs that passed."""

    def __init__(
        self, checker: RequestChecker, kind: InputKind, *, max_problems: int, deadline: datetime | None = None
    ) -> None:
        self._checker = checker
        self._kind = kind
        self._max_problems = max_problems
        self._deadline = deadline
        self._first_line: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.more = 0
        self.models: dict[str, int] = {}
        self.tally = Tally()
        self.unseen_ids = False
        """Whether lines passed whose `custom_id` was not compared with all before."""

    def accept(self, lines: Iterable[InputLine]) -> Iterator[NewJob]:
        """The jobs of good lines. Raises Refused at the first bad one."""
        models, tally, deadline = self.models, self.tally, self._deadline
        for line in lines:
            draft = self._pass(line)
            if draft is None:
                raise Refused
            _, model, estimate = draft
            models[model] = models.get(model, 0) + 1
            tally.add(line.url, model, line.body, estimate)
            yield NewJob(line.url, model, line.body_json, estimate, line.custom_id, line.number, None, deadline)

    def check_rest(self, lines: Iterable[InputLine]) -> None:
        """Collect what is wrong with the lines that are left."""
        for line in lines:
            self._pass(line)

    def refuse_all(self, problems: Sequence[Problem], more: int) -> None:
        """Add problems found elsewhere. Raises Refused if there are any."""
        for problem in problems:
            self._add(problem)
        self.more += more
        if problems:
            raise Refused

    def _pass(self, line: InputLine) -> NewJobDraft | None:
        if line.problems:
            for problem in line.problems:
                self._add(problem)
            return None
        draft = self._checker.check(line.url, line.body)
        if type(draft) is list:
            found = [in_words_of(self._kind, problem, line.number) for problem in draft]
            for problem in found if line.source is None else numbers_as_written(line.source, found):
                self._add(problem)
        # Asked for bad lines too: their ids count, and an id used twice is a problem of its own.
        is_new = self._is_new(line)
        return draft if is_new and type(draft) is NewJobDraft else None

    def _is_new(self, line: InputLine) -> bool:
        # Prompts are named by their line: no two are alike.
        if self._kind is not InputKind.JSONL:
            return True
        first = self._first_line.get(line.custom_id)
        if first is not None:
            self._add(duplicate(line.custom_id, first, line.number))
            return False
        if len(self._first_line) < REMEMBERED_IDS:
            self._first_line[line.custom_id] = line.number
        else:
            self.unseen_ids = True
        return True

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < self._max_problems:
            self.problems.append(problem)
        else:
            self.more += 1

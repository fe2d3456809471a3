"""Every error of the house is on the tree that pressroom/errors.py prints, so a door can map it without knowing it."""

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pressroom
from pressroom import errors
from tests.architecture.rules import printed_tree


def _error_classes() -> Iterator[type[Exception]]:
    """The public exception classes that the house defines; an underscore marks one that never leaves its module."""
    for info in pkgutil.walk_packages(pressroom.__path__, "pressroom."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, found in vars(module).items():
            defined_here = inspect.isclass(found) and found.__module__ == info.name
            if defined_here and issubclass(found, Exception) and not name.startswith("_"):
                yield found


def test_the_printed_tree_is_the_real_one() -> None:
    real = {
        name: None if found is errors.PressroomError else found.__bases__[0].__name__
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, Exception)
    }

    assert printed_tree(errors.__doc__ or "") == real


def test_every_error_of_the_house_is_on_the_tree() -> None:
    strays = [f"{found.__module__}.{found.__name__}" for found in _error_classes() if not _on_the_tree(found)]

    assert not strays, f"not a PressroomError: {strays}"


def _on_the_tree(found: type[Exception]) -> bool:
    return issubclass(found, errors.PressroomError)


def test_a_stray_error_would_be_seen() -> None:
    assert errors.InvalidInput in set(_error_classes())
    assert not _on_the_tree(RuntimeError)


def test_no_two_errors_share_a_name() -> None:
    names = Counter(found.__name__ for found in _error_classes())

    assert [name for name, count in names.items() if count > 1] == []


def test_every_error_says_what_it_means() -> None:
    assert [found.__qualname__ for found in _error_classes() if not (found.__doc__ or "").strip()] == []

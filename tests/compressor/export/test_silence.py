"""What is held back while a converter works, and what is not."""

import sys
import warnings

import pytest

from compressor.export.silence import quiet
from profiler.errors import EdgetimeWarning


def test_other_libraries_are_not_heard(capfd: pytest.CaptureFixture[str]):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet() as chatter:
            warnings.warn("of a library", DeprecationWarning, stacklevel=1)
            print("chatter", file=sys.stderr)
    assert caught == []
    assert "chatter" in chatter.text
    assert capfd.readouterr().err == ""


def fail_with_a_warning() -> None:
    with quiet():
        warnings.warn("a plug-in is left out", EdgetimeWarning, stacklevel=1)
        raise ZeroDivisionError


def test_what_edgetime_warns_of_is_given_afterwards_even_if_the_work_fails():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ZeroDivisionError):
            fail_with_a_warning()
    assert [str(one.message) for one in caught] == ["a plug-in is left out"]
    assert caught[0].category is EdgetimeWarning

"""What is held back while a converter works, and what is not."""

import logging
import sys
import warnings

import pytest

from compressor.export.silence import last_complaint, quiet
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x.py:1: error: 'tf.Erfinv' op is neither a custom op nor a flex op", "TFLite has no Erfinv"),
        ("Some ops are not supported\n\ttf.Fft(tensor) -> (tensor)", "TFLite has no Fft"),
        (
            "x.py:1: error: 'tf.Transpose' op x should be of the same rank with y\nx.py:1: note: called from",
            "'tf.Transpose' op x should be of the same rank with y",
        ),
        ("\n  it broke  \nhere", "it broke"),
        ("", "ValueError"),
    ],
)
def test_what_a_converter_complains_of(text: str, said: str):
    assert last_complaint("", ValueError(text)) == said


def test_a_logger_that_was_made_meanwhile_writes_to_a_stream_that_is_open(capsys: pytest.CaptureFixture[str]):
    logger = logging.getLogger("made meanwhile")
    with quiet():
        logger.addHandler(logging.StreamHandler())
    logger.warning("heard")
    assert capsys.readouterr().err == "heard\n"

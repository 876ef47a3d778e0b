"""How scripts end."""

import signal
import sys
from collections.abc import Iterator

import pytest

from lpn.errors import UserError, on_stop_signals, run_cli

STOP = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """The handlers of a Python that was just started, whatever the tests run under."""
    before = [signal.signal(number, signal.default_int_handler) for number in STOP]
    yield
    for number, handler in zip(STOP, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP)
def test_signals_end_a_script_as_an_exception_does(number: signal.Signals) -> None:
    ended = []

    def main() -> None:
        try:
            signal.raise_signal(number)
        finally:
            ended.append(True)

    with pytest.raises(SystemExit) as ending:
        run_cli(main)
    assert (ending.value.code, ended) == (128 + number, [True])
    assert signal.getsignal(number) is signal.default_int_handler


def test_handlers_end_with_main() -> None:
    run_cli(lambda: None)
    with pytest.raises(SystemExit, match="error: mend it"):
        run_cli(lambda: (_ for _ in ()).throw(UserError("mend it")))
    with pytest.raises(SystemExit):
        run_cli(sys.exit)
    assert [signal.getsignal(number) for number in STOP] == [signal.default_int_handler] * 3


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    received: list[int] = []
    with on_stop_signals(lambda number, frame: received.append(number)):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]

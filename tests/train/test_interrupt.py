import signal

import jax
import pytest
from jax.experimental import multihost_utils

from jax_ssl.train.interrupt import catch_signals


@pytest.fixture
def handlers():
    """The handlers of both signals; they are put back."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    old = {number: signal.getsignal(number) for number in numbers}
    yield lambda: {number: signal.getsignal(number) for number in numbers}
    for number, handler in old.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_an_answer_and_the_handlers_come_back(handlers, number):
    before = handlers()
    with catch_signals() as interrupt:
        assert not interrupt.asked()
        assert interrupt.signal is None
        signal.raise_signal(number)
        assert interrupt.asked()
    assert interrupt.signal == number
    assert handlers() == before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_after_another_signal_leaves_at_once(handlers, first):
    with catch_signals():
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with catch_signals() as interrupt:  # SIGTERM again and again does not.
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert interrupt.signal == signal.SIGTERM


def test_several_processes_stop_when_jax_says_so(handlers, monkeypatch):
    questions, got = [], []
    signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    caught = handlers()[signal.SIGTERM]

    def agreed(number):
        questions.append(number)
        return len(questions) == 3

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", agreed)
    with catch_signals() as interrupt:
        assert not interrupt.asked()
        signal.raise_signal(signal.SIGINT)
        assert got == [signal.SIGTERM]  # What jax would catch and tell the others.
        assert not interrupt.asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupt.asked()
    assert interrupt.signal == signal.SIGTERM
    assert questions == list(range(questions[0], questions[0] + 3))
    assert handlers()[signal.SIGTERM] == caught

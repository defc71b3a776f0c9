import io
import logging
import sys
import time

import pytest

from jax_ssl.core import telling
from jax_ssl.core.signals import departure


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(telling, "BEAT", 0.02)
    monkeypatch.setattr(telling, "TICK", 0.02)


def test_a_log_has_the_start_the_share_and_the_end(quick, caplog):
    caplog.set_level(logging.INFO)
    with telling.telling("compiling (a minute)", total=4) as advance:
        assert departure.doing == "compiling"
        advance(3)
        time.sleep(0.1)
    assert departure.doing != "compiling"
    assert caplog.messages[0] == "compiling (a minute)…"
    assert "compiling (a minute)… 75%, 0 s" in caplog.messages[1:-1]
    assert caplog.messages[-1] == "compiling: done in 0 s"


def test_what_is_short_says_nothing_where_nothing_is_asked(caplog):
    caplog.set_level(logging.INFO)
    with telling.telling("evaluating", only_if_long=True):
        pass
    with caplog.at_level(logging.WARNING), telling.telling("compiling"):
        pass
    assert caplog.messages == []


def test_a_terminal_has_one_line_with_a_clock(quick, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with telling.telling("x" * 90), telling.telling("compiling"):
        time.sleep(0.1)
    lines = screen.getvalue().split(telling.CLEAR)
    assert lines.count("compiling… 0 s") > 1
    assert max(map(len, lines)) < 80
    assert caplog.messages[0] == "compiling: done in 0 s"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (65, "1:05 min")]
)
def test_clock(seconds, said):
    assert telling.clock(seconds) == said

"""Who owns a run's folder."""

import os
import socket

import pytest

from jax_ssl.checkpoint.lock import LOCK, owned, refuse_owned


def test_a_folder_has_one_owner_and_what_is_left_behind_is_taken_over(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "elsewhere"}')
    with owned(tmp_path):
        assert "process 1 on elsewhere; taken over" in caplog.text
        named = rf"{os.getpid()} on {socket.gethostname()}"
        for take in (refuse_owned, lambda folder: owned(folder).__enter__()):
            with pytest.raises(ValueError, match=named):
                take(tmp_path)
    refuse_owned(tmp_path)
    with owned(tmp_path):
        assert caplog.text.count("taken over") == 1

"""A world of one; several processes are in tests/training/test_processes.py."""

import pytest

from in2x import distributed


def test_one_process_is_the_main_one_and_waits_for_nobody():
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.gather("mine") == ["mine"]
    assert distributed.on_main(lambda: 3) == 3
    assert list(distributed.share(3)) == [0, 1, 2]
    distributed.barrier()
    distributed.start()
    distributed.leave()


def test_an_error_goes_through():
    with pytest.raises(ZeroDivisionError):
        distributed.on_main(lambda: 1 / 0)


def test_what_is_done_alone_may_be_nested(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (distributed.rank(), distributed.world_size()) == (1, 2)
    with distributed.alone():
        with distributed.alone():
            assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.gather("mine") == ["mine"]  # still alone: nobody is waited for
    assert list(distributed.share(5)) == [1, 3]

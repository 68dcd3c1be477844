"""Programs: numbered, listed while open."""

from __future__ import annotations

import threading

from agentkernel.kernel.programs import Programs


def test_programs_are_listed_oldest_first_until_they_are_closed() -> None:
    programs = Programs(clock=lambda: 5.0)
    first = programs.open("crew", tenant="t", parent=None)
    second = programs.open("crew", tenant="t", parent=first.id)
    assert [program.id for program in programs.current] == ["crew-1", "crew-2"]
    assert (second.parent, second.opened, second.tenant) == ("crew-1", 5.0, "t")
    assert programs.close(first.id) and not programs.close(first.id)
    assert programs.current == [second] and programs.opened == 2


def test_programs_opened_by_many_threads_have_different_ids() -> None:
    programs = Programs(clock=lambda: 0.0)
    threads = [
        threading.Thread(
            target=lambda: [programs.open("p", tenant="t", parent=None) for _ in range(100)]
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({program.id for program in programs.current}) == 800 == programs.opened


def test_a_program_whose_end_was_put_off_ends_then_unless_it_is_resumed() -> None:
    programs = Programs(clock=lambda: 0.0)
    program = programs.open("crew", tenant="t", parent=None)
    first = programs.put_off(program.id)
    assert programs.current == [program]
    assert programs.resume(program.id)
    assert not programs.close_unless_resumed(program.id, first)
    second = programs.put_off(program.id)
    assert not programs.close_unless_resumed(program.id, first)
    assert programs.close_unless_resumed(program.id, second)
    assert programs.current == [] and not programs.resume(program.id)


def test_a_program_that_was_closed_does_not_end_again() -> None:
    programs = Programs(clock=lambda: 0.0)
    program = programs.open("crew", tenant="t", parent=None)
    end = programs.put_off(program.id)
    assert programs.close(program.id)
    assert not programs.close_unless_resumed(program.id, end)

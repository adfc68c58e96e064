"""A log without a terminal says what a step takes, and a line a minute."""

from __future__ import annotations

from etastar.cli.heartbeat import Heartbeat


def test_a_line_a_minute_until_it_is_over():
    now, said = [0.0], []
    beat = Heartbeat(said.append, clock=lambda: now[0])

    def wait(seconds: float) -> bool:
        now[0] += seconds
        if now[0] == 80:
            beat.planned(12)
            beat.done("lr 0.1, loss 1.5")
        return now[0] > 150

    beat.run(wait)
    assert said == [
        "0.3 min: reading and checking the problem, and which engine trains it",
        "1.3 min: 1 of at most 12 lanes done (the last: lr 0.1, loss 1.5)",
        "2.3 min: 1 of at most 12 lanes done (the last: lr 0.1, loss 1.5)",
    ]


def test_the_thread_ends_with_the_command():
    said = []
    beat = Heartbeat(said.append)
    beat.stop()
    beat.run(beat._over.wait)
    assert said == []

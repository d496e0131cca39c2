"""Does the echo stutter?"""


def test_echo(perf):
    perf.measure()
    perf.check()

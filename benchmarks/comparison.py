from benchmarks.figures import Outcome


def run(setting):
    return Outcome("x", "x", [])

"""Prints one line a case, as a sentence with its seconds, and a line of totals."""

import sys
import time
import unittest


class Sentences(unittest.TestResult):
    """A result that says at once what was proved, and why not at once after it failed."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self._line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("SKIPPED", test, reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("FAILED", test, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._line("FAILED", test, self.errors[-1][1])

    def _line(self, outcome: str, test, detail: str = "") -> None:
        seconds = time.monotonic() - self._started if self._started else 0.0
        print(f"  {outcome:8}{seconds:6.2f} s  {sentence(test)}", flush=True)
        for line in detail.rstrip().splitlines():
            print(f"           {line}", flush=True)


def sentence(test) -> str:
    """`test_a_stream_ends` of `Streams` is `Streams: a stream ends`."""
    name = test.id().rsplit(".", 1)[-1]
    group = type(test).__name__
    return f"{group}: {name.removeprefix('test_').replace('_', ' ')}"


def run(module, only: list[str]) -> int:
    """Runs a module's cases, or those whose sentence holds one of the words; the exit code."""
    loader = unittest.TestLoader()
    loader.testMethodPrefix = "test_"
    cases = list(flatten(loader.loadTestsFromModule(module)))
    if only:
        cases = [case for case in cases if any(word in sentence(case) for word in only)]
    result = Sentences()
    started = time.monotonic()
    unittest.TestSuite(cases).run(result)
    failed, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"  all together {time.monotonic() - started:.1f} s")
    print(f"{result.passed} passed, {failed} failed, {skipped} skipped", flush=True)
    if not cases:
        print("no case has such a name", file=sys.stderr)
    return 0 if failed == 0 and cases else 1


def flatten(suite):
    """The cases of nested suites."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item

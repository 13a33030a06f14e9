"""Cases told one a line, as tests/interop/run.sh counts them."""

import sys


class Cases:
    def __init__(self):
        self.failed = 0

    def note(self, text):
        print(f"     {text}", flush=True)

    def case(self, name, holds, detail=""):
        print(f"{'ok  ' if holds else 'FAIL'} {name}", flush=True)
        if not holds:
            self.failed += 1
            print(f"{name}:\n{detail}", file=sys.stderr, flush=True)
        return holds

    def skip(self, name):
        print(f"skip {name}", flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)

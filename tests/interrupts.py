"""How long Ctrl-C may have to wait: the longest that the main thread of a call looks at no signal.

``python -m tests.interrupts --rows 20000000`` runs calls on so many rows (a tenth of them with 10 classes) beside a
timer that asks for a signal every 3 ms, and prints the longest time between two answers in processor seconds of the
main thread (what it waits for others is interrupted at once), and where it ended. What is above ``--limit`` ends in
exit code 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import public_calls
from public_calls import CALLS, FITS, Rows, words

import fastcal as fc

# The numbers of rows at which these take half a minute grow faster than the others'.
SLOW = words("BBQ.fit VennAbers.fit corp_curve confidence_interval")


def rows_of(n):
    """One set of rows for binary calls, and one for those of 10 classes."""
    rng = np.random.default_rng(0)
    p = rng.random(n, dtype=np.float32)
    binary = {
        "p": p,
        "y": (rng.random(n, dtype=np.float32) < p).astype(np.int64),
        "weights": rng.integers(1, 4, n) * 1.0,
    }
    logits = rng.standard_normal((n // 10, 10), dtype=np.float32) * 2
    labels = (logits + rng.standard_normal(logits.shape, dtype=np.float32)).argmax(axis=1)
    probs = fc.softmax(logits)
    wide = {"logits": logits, "labels": labels, "probs": probs, "features": abs(logits) + 1, "groups": labels % 3}
    return binary | wide | {"members": np.stack([probs, probs[::-1]])}


class Watch:
    """The longest time between two looks at signals."""

    def __enter__(self):
        self.longest, self.where, self.last = 0.0, "", time.thread_time()
        self.before = signal.signal(signal.SIGALRM, self.look)
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        return self

    def look(self, _, frame):
        now = time.thread_time()
        if now - self.last > self.longest:
            self.longest = now - self.last
            self.where = f"{'/'.join(frame.f_code.co_filename.split('/')[-2:])}:{frame.f_lineno}"
        self.last = now

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.look(None, sys._getframe(1))
        signal.signal(signal.SIGALRM, self.before)


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m tests.interrupts", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--limit", type=float, default=0.3)
    parser.add_argument("names", nargs="*", help="calls; all by default")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", fc.FitWarning)
    rows, few, late = rows_of(given.rows), Rows(), []
    for name in given.names or [*CALLS, *FITS]:
        public_calls.answer(name, few)  # compiled
        arrays = {key: array[: len(array) // (20 if name in SLOW else 1)] for key, array in rows.items()}
        if name == "Evaluation, groups":
            arrays["weights"] = arrays["weights"][: len(arrays["labels"])]
        if name in ("UncertaintyAccumulator", "ensemble_uncertainty", "ensemble_uncertainty, a list"):
            arrays["members"] = rows["members"]
        with Watch() as watch:
            if name in CALLS:
                CALLS[name](arrays)
            else:
                kind = name.removesuffix(".fit")
                taken = public_calls.taken(kind)
                public_calls.class_of(kind)(input=taken).fit(arrays[taken], arrays["labels"])
        print(f"{watch.longest * 1e3:6.0f} ms  {name:36} {watch.where}", flush=True)
        late += [name] if watch.longest > given.limit else []
    print(f"{len(late)} above {given.limit * 1e3:.0f} ms: {', '.join(late) or 'none'}")
    return len(late) > 0


if __name__ == "__main__":
    sys.exit(main())

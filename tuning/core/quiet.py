"""Suppresses TensorFlow's greeting: lines about the processor that ignore its log level."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from tuning.core import interruption

#: Lines that TensorFlow's libraries print before their log is initialised: information and warnings, no errors.
_GREETING = re.compile(rb"(?:WARNING: All log messages before absl::InitializeLog|[IW]0000 )")
_STDERR = 2


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
    """Removes the greeting from the stderr of a block that may import Keras.

    All output to the process's stderr is held back until the block ends. A signal takes effect then, too.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with interruption.deferred(), tempfile.TemporaryFile() as held:
        try:
            before = os.dup(_STDERR)
        except OSError:
            # The process has no stderr.
            yield
            return
        sys.stderr.flush()
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, _STDERR)
            held.seek(0)
            rest = b"".join(line for line in held if not _GREETING.match(line))
            if rest:
                os.write(before, rest)
            os.close(before)

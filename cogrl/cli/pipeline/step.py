"""A step of `cogrl run`, as a process of its own: `python -m cogrl.cli.pipeline.step ...`; it ends with its launcher.

Its standard input is a pipe that the launcher holds and never writes to. The pipe closes when the launcher is gone,
even if it was killed, and the step is then stopped as by SIGTERM: a training run keeps its last step.
"""

import sys

from cogrl.cli.main import main
from cogrl.cli.stopping import end_with_standard_input

if __name__ == "__main__":
    end_with_standard_input()
    sys.exit(main())

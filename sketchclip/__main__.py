"""``python -m sketchclip`` is the ``sketchclip`` command."""

import os
import sys

if __name__ == "__main__":
    try:
        from sketchclip.cli import console
    except KeyboardInterrupt:  # before anything listens
        print("Stopped.", file=sys.stderr)
        os._exit(130)
    console()

"""``python -m sketchclip`` is the ``sketchclip`` command."""

from sketchclip.cli import console

if __name__ == "__main__":
    console()

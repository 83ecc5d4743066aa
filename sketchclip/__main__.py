"""``python -m sketchclip`` is the ``sketchclip`` command."""

from sketchclip.cli import main

if __name__ == "__main__":
    main()

"""``python -m fastcal`` is the command ``fastcal``."""

from .cli import main

if __name__ == "__main__":
    main()

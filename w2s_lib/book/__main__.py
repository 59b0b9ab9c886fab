"""Build the book: ``python -m w2s_lib.book --edition world``."""

import sys

from w2s_lib.book.build import main

if __name__ == "__main__":  # processes that execute notebooks import this module again
    sys.exit(main())

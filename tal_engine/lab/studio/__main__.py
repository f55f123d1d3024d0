"""Run the trainer once; see `tal_engine.lab.studio.run`."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

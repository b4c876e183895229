"""``python -m starnet`` is the command line."""

from starnet.cli import main

if __name__ == "__main__":
    main()

"""`python -m etastar` is the command line."""

from etastar.cli.main import main

if __name__ == "__main__":
    main()

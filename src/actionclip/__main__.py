"""`python -m actionclip`: the command, where its script is not on the path."""

from actionclip.cli import main

if __name__ == "__main__":
    main()

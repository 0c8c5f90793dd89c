"""`python -m actionclip`, and so `torchrun -m actionclip train RECIPE.toml`."""

from actionclip.cli import main

if __name__ == "__main__":
    main()

"""python -m lambdad."""

from lambdad.cli.main import main

if __name__ == "__main__":
    main()

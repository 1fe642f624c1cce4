"""Entry of the `keeld` command and of `python -m keeld`."""

from __future__ import annotations

from keeld.cli import keeld


def main() -> None:
    """Run the command line; exit codes are those of `keeld.cli`."""
    keeld(prog_name="keeld")


if __name__ == "__main__":
    main()

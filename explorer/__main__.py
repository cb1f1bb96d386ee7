"""`python -m explorer` is the `explorer` command."""

from explorer.cli.app import main

main()

"""`python -m admit`: the command, where no script is on PATH."""

from admit.cli.entry import main

main()

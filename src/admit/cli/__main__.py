"""`python -m admit.cli`, where no script is on PATH."""

from admit.cli.entry import main

main()

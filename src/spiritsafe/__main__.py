"""``python -m spiritsafe``: the command without the script."""

from spiritsafe.cli import main

main()

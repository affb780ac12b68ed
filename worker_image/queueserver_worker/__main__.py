"""`python -m queueserver_worker`."""

from queueserver_worker.main import main

main()

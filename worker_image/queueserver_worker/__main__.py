"""`python -m queueserver_worker`."""

from queueserver_worker.runtime.init import split_off_init

split_off_init()

from queueserver_worker.main import main  # noqa: E402  # process 1 of a container keeps none of it in memory

main()

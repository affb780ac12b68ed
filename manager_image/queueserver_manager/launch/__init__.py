"""Starting, ending and watching the process or pod of a worker."""

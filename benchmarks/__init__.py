"""Speed and memory of the queue server beside those of upstream's and of the bare work, measured from outside."""

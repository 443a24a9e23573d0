"""The read side: sources observe the outside systems and keep one immutable `Fleet`."""

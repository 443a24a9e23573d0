"""One file per outside system, and the only file that imports its SDK."""

"""The embedded hosts: real SSH on loopback, and behind it small scripted machines that can join the cluster.

Nothing here ever runs anything on the real system: shell, programs and files exist in memory only.
"""

"""Processes by procfs, sockets by sock_diag."""

"""The packages of the system that the local run needs."""

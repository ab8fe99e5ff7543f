"""What the local cloud is made of, whatever the service: time, places, calls, faults, executions."""

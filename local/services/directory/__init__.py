"""AWS Directory Service and AWS Directory Service Data."""

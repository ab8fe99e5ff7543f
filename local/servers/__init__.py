"""Real servers on loopback: KDCs, PostgreSQL, Active Directory."""

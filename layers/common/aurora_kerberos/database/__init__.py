"""The cluster's database: sessions of the master user, and the roles."""

"""Amazon RDS and the RDS Data API."""

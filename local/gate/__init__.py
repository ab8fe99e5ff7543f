"""What every call passes between botocore and moto."""

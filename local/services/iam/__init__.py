"""AWS IAM and AWS STS."""

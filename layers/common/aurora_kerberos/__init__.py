"""What the steps of the workflow share: the step contract, the errors, the AWS clients and the names."""

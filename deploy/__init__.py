"""What is deployed: the templates, the build, and the template for the accounts of an organization."""

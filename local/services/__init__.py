"""AWS's services as far as moto does not know them, a package or module for each."""

"""The templates into moto."""

"""The framework's routes, by what they are about. Handlers only translate; what happens is in service."""

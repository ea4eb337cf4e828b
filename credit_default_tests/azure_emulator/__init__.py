"""A stand-in for the parts of Azure that the real SDK talks to; see README.md."""

from credit_default_tests.azure_emulator.emulator import Emulator, Workspace

__all__ = ["Emulator", "Workspace"]

"""`make azure-check`; see `docs/azure-check.md`."""

from credit_default_tests.azure_check.command import main

if __name__ == "__main__":
    main()

"""Clients of Azure: sign-in, retries, blobs and leases."""

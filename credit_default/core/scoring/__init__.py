"""Scoring: predictions as they are kept, files that are streamed, requests that are answered."""

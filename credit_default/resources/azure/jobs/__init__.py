"""Jobs on Azure ML: submitted once, found again, watched, cancelled, and what they report."""

"""When things run: jobs, schedules and sensors."""

"""What miners say, decoded: pure functions from one answer to readings, and the polling that their drivers share."""

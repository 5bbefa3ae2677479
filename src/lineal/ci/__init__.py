"""What the CI says about this run, and what it shows of it: one folder a provider."""

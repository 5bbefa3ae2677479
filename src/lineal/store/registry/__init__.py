"""A registry as a store: requests, credentials, retries, and what its failures mean."""

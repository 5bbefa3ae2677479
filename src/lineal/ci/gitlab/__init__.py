"""Everything that is peculiar to GitLab CI/CD, reading and writing."""

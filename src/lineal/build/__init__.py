"""Makes missing stages: the scheduler makes several at once, a stage builder makes one."""

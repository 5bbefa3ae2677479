"""One module a verb: what a command does, as functions from a session to values, without click.

In each module the function with the name of the command is the whole command, with its report and its output; the
functions beside it (`plan_images`, `build_images`, `deploy_release`) are what a program calls."""

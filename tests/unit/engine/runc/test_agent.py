"""SSH agents: a command uses an agent of this machine, for what a build may ask of it."""

from __future__ import annotations

from tests.unit.engine.docker.test_ssh_forward import (
    agent,
    test_a_command_signs_with_an_agent_that_it_cannot_change,
    test_an_agent_that_is_gone_is_an_agent_that_refuses,
    test_commands_at_once_have_connections_of_their_own,
    test_the_socket_has_the_wanted_mode_and_owner,
    with_ssh,
)

__all__ = ["agent", "with_ssh"]

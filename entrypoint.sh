#!/bin/bash
# GitHub's runner starts the action without arguments, or with the words of its input `args`; everyone else gives those
# of `lineal`. bash, because dash drops variables with a hyphen, such as INPUT_KUBE-CONTEXT. -I: nothing is imported
# from the workspace.
set -eu
if [ "${GITHUB_ACTIONS:-}" = true ] && [ -n "${INPUT_COMMAND+given}" ] && { [ $# = 0 ] || [ -n "${INPUT_ARGS:-}" ]; }; then
  exec /usr/bin/python3 -I -m lineal.cli.action
fi
if [ "${GITHUB_ACTIONS:-}" = true ] && [ -n "${LINEAL_BUILD_PUSH+given}" ] && [ $# = 0 ]; then
  exec /usr/bin/python3 -I -m lineal.cli.build_push
fi
exec /usr/local/bin/lineal "$@"

"""One module a verb: functions from a session to a result, without click."""

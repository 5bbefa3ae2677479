"""A client of the OCI distribution API that needs no cooperation of the registry and trusts none of its answers.

`client` is the store; `transport` sends requests, again where that helps; `auth` and `credentials` log in;
`network_policy` says which addresses are followed; `tag_list` lists tags; `server_clock` tells the registry's time;
`errors` turns refusals into sentences."""

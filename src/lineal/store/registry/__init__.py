"""A client of the OCI distribution API that needs no cooperation of the registry and trusts none of its answers.

`client` is the store; `uploads` sends blobs, `tag_list` lists tags; `transport` sends requests, `tries` says how
often and after which pause, `response` what an answer means; `auth` and `credentials` log in; `http` sends one
request over a `connection`, which has `tls` and a `deadline`; `proxies` and `network_policy` say by which way and
where to; `server_clock` tells the registry's time; `errors` turns refusals into sentences."""

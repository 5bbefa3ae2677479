"""Where published stages live: a registry or an OCI layout directory."""

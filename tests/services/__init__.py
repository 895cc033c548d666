"""Stand-ins for services of others, each answering what its documentation says for the calls that are made of it."""

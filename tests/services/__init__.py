"""Stand-ins for other companies' services. Each responds to the tested calls as its documentation says."""

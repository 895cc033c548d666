"""Stand-ins for other companies' services. They respond to the tested calls as documented."""

"""Users of devices, employees, and the people behind user IDs."""

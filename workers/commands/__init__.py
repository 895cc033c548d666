"""Commands sent to the gateway, one at a time for each device."""

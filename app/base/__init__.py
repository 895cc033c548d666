"""The basis of all other packages: IDs, encryption at rest, logs, addresses. It imports none of them."""

"""One call through a gateway: the message, its signature, its retries, its pages."""
